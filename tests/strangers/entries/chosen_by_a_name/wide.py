# kind: its script chooses it by a name, and gives a width that has another default
# expect: typed: --entry wide --model-arg depth=2 --model-arg widen=3
# expect: entry: wide
from torch import nn


class WideNet(nn.Module):
    def __init__(self, depth, num_classes=10, widen=1):
        super().__init__()
        width = 4 * widen
        layers = [nn.Linear(width, width) for _ in range(depth)]
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width), *layers, nn.Linear(width, num_classes))

    def forward(self, x):
        return self.layers(x)


def wide(**kwargs):
    return WideNet(**kwargs)
