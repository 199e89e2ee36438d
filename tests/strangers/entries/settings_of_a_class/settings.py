import json


class NetConfig:
    rounds: int = 2

    def __init__(self, file=None):
        self.width = 5
        self.num_classes = None
        for name, value in json.load(open(file)).items() if file else ():
            setattr(self, name, value)
