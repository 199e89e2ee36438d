# kind: another number of channels
# train: --set data.channels=1
# expect: error: to have 3 channels, but got 1 channels
# expect: error: Pass --set data.channels=3
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.fc(self.pool(self.conv(x)).flatten(1))
