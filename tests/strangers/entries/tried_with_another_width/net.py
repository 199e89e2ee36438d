# kind: the file tries itself out with one width, its scripts have another
# expect: typed: --entry Wide --model-arg width=12
# expect: entry: Wide
from torch import nn


class Wide(nn.Module):
    def __init__(self, width, num_classes=10):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, num_classes))

    def forward(self, x):
        return self.layers(x)


def test():
    return Wide(3)
