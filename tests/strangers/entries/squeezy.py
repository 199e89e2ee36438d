# kind: named as its file, beside one that fits better
# images: colour 16
# expect: typed: --entry Squeezy --replace-head
# expect: entry: Squeezy
from torch import nn


class Head(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


class Squeezy(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.fc = nn.Linear(6, 10)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
