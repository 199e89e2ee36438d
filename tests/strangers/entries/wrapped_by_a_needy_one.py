# kind: entry
# images: colour 16
# expect: trains
# expect: entry: Small
# expect: says: also holds Scaled, of which this is a part, which needs settings: --entry Scaled
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


class Scaled(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.inner = Small(settings["classes"])
        self.scale = nn.Parameter(torch.ones(settings["classes"]))

    def forward(self, x):
        return self.inner(x) * self.scale
