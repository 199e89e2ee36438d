# kind: export
# needs: long
# expect: trains
# expect: exports: 8
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(36, num_classes)

    def forward(self, x):
        return torch.cat([self.fc(F.adaptive_avg_pool2d(self.conv(part), 3).flatten(1)) for part in x.split(4)])
