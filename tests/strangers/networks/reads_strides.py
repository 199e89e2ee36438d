# kind: memory order
# expect: trains
# expect: says: answers otherwise in channels_last
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.pool(F.relu(self.conv(x)))
        return self.fc(torch.as_strided(x, (len(x), 16), (16, 1)))
