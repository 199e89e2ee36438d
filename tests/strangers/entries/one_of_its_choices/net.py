# kind: a script chooses by a setting without a default, one of whose choices the file has: a small one
# images: colour 16
# expect: typed: --entry preact
# expect: entry: preact
from torch import nn


class Net(nn.Module):
    def __init__(self, width, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def plain(num_classes=10):
    return Net(8, num_classes)


def large(num_classes=10):
    return Net(1600, num_classes)


def preact(num_classes=10):
    return Net(4, num_classes)
