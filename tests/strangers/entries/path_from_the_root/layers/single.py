from torch import nn


class Single(nn.Conv2d):
    def __init__(self, channels, width):
        super().__init__(channels, width, 3)
