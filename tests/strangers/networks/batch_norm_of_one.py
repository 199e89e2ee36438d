# kind: one image
# train: --batch-size 1
# expect: error: a step of training fails on 1 image of 1 x 8 x 8
# expect: error: raise --batch-size
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)
        self.norm = nn.BatchNorm1d(16)

    def forward(self, x):
        return self.fc(self.norm(self.pool(self.conv(x)).flatten(1)))
