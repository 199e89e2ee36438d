# kind: scripts choose by default what has a fixed number of outputs, beside networks that take it
# images: colour 16
# expect: typed: --entry Fixed --replace-head
# expect: entry: Fixed
from torch import nn


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


class Residual(nn.Module):
    def __init__(self, width, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def residual8(num_classes=10):
    return Residual(8, num_classes)


def residual32(num_classes=10):
    return Residual(32, num_classes)
