from single import Single
from torch import nn


class Pair(nn.Sequential):
    def __init__(self, channels, width):
        super().__init__(Single(channels, width), nn.Conv2d(width, width, 1))
