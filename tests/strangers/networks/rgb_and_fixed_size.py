# kind: another number of channels
# expect: error: fails on images of 3 x 8 x 8
# expect: error: Pass --image-size 32.
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        self.fc = nn.Linear(2 * 32 * 32, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))
