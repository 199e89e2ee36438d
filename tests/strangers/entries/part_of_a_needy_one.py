# kind: entry
# images: colour 16
# expect: typed: --entry Whole --model-arg 'settings={width: 64, classes: 2}'
# expect: entry: Whole
import torch
from torch import nn


class Auxiliary(nn.Module):
    def __init__(self, in_channels=3, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).mean((2, 3)))


class Whole(nn.Module):
    def __init__(self, settings):
        super().__init__()
        self.stem = nn.Conv2d(3, settings["width"], 3)
        self.auxiliary = Auxiliary(settings["width"], settings["classes"])

    def forward(self, x):
        return self.auxiliary(torch.relu(self.stem(x)))
