# kind: a baseline that needs nothing beside a network that takes the number of classes, and images of one size
# images: colour 16
# expect: typed: --entry Small --image-size 48
# expect: entry: Small
from torch import nn


def baseline():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7))


class Small(nn.Module):
    def __init__(self, in_channel, out_dim):
        super().__init__()
        self.first = nn.Conv2d(in_channel, 4, 3, stride=2, padding=1)
        self.out = nn.Linear(4 * 24 * 24, out_dim)

    def forward(self, x):
        return self.out(self.first(x).flatten(1))
