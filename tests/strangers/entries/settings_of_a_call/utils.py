class Params:
    def __init__(self, name, classes=1000):
        self.name = name
        self.classes = classes
        self.widths = {"small": 8, "large": 16}
