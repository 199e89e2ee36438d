# kind: named as its file, beside one that fits as well
# images: colour 16
# expect: trains
# expect: entry: LeNetLike5
# expect: says: also holds OtherNet: --entry OtherNet
from torch import nn


class OtherNet(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.fc = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


class LeNetLike5(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
