from net import Capsules


class Trainer:
    def __init__(self, routes):
        self.net = Capsules(channels=6, num_classes=10, out_dim=4, routes=routes)
