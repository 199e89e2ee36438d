# kind: one network takes the number of classes, and the script calls another with a fixed one
# images: colour 16
# expect: trains
# expect: entry: Wide
# expect: says: net.py also holds Own, which scripts call, and which has 5 outputs: --entry Own
import torch
from torch import nn


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Conv2d(3, 16, 3)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        return self.head(torch.relu(self.layers(x)).mean((2, 3)))


class Wide(nn.Module):
    def __init__(self, num_classes=5):
        super().__init__()
        self.layers = nn.Conv2d(3, 32, 3)
        self.head = nn.Linear(32, num_classes)

    def forward(self, x):
        return self.head(torch.relu(self.layers(x)).mean((2, 3)))
