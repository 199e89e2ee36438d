# kind: scripts choose among its networks by a setting, and give them a switch that is off by default
# images: colour 16
# expect: typed: --entry wide --model-arg scaled=true
# expect: entry: wide
from torch import nn


class Net(nn.Module):
    def __init__(self, width, num_classes=10, scaled=False):
        super().__init__()
        self.first = nn.Conv2d(3, width, 1)
        self.out = nn.Linear(width, num_classes, bias=not scaled)

    def forward(self, x):
        return self.out(self.first(x).mean((2, 3)))


def narrow(num_classes=10, scaled=False):
    return Net(4, num_classes, scaled)


def middle(num_classes=10, scaled=False):
    return Net(8, num_classes, scaled)


def wide(num_classes=10, scaled=False):
    return Net(12, num_classes, scaled)
