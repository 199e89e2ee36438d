# kind: a base class
# images: colour 16
# expect: trains
# expect: entry: MyNet
import torch
import torch.nn as nn


class BaseNet(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.fc(self.pool(torch.relu(self.conv(x))).flatten(1))


class MyNet(BaseNet):
    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        self.conv = nn.Conv2d(3, 4, 5)
