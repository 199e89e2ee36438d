# kind: features alone
# images: colour 16
# expect: typed: --entry small --replace-head
from torch import nn


class Extractor(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        x = self.norm(self.conv(x)).mean((2, 3))
        return x, x


def small():
    return Extractor(6)


def large():
    return Extractor(12)
