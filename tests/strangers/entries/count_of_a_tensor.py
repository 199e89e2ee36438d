# kind: a class count that is asked for as a tensor
# expect: trains
# expect: entry: LeNet
from torch import nn


class LeNet(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes.item())

    def forward(self, x):
        return self.fc(self.pool(self.conv(x)).flatten(1))
