# kind: entry
# images: colour 16
# expect: typed: --entry Small
# expect: entry: Small
import torch
from torch import nn


class Gap(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(num_classes))

    def forward(self, x):
        return x.mean((1, 2, 3))[:, None] * self.scale


class Small(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 20, 3)
        self.fc = nn.Linear(20, num_classes)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


class Larger(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 40, 3)
        self.fc = nn.Linear(40, num_classes)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))
