# kind: heads
# train: --replace-head
# expect: error: no final linear layer with 5 outputs to replace: they are made by fc, a Cosine
import torch
import torch.nn.functional as F
from torch import nn


class Cosine(nn.Module):
    def __init__(self, width, num_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, width))

    def forward(self, x):
        return F.linear(F.normalize(x), F.normalize(self.weight))


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)
        self.fc = Cosine(16, num_classes)

    def forward(self, x):
        return self.fc(self.pool(self.conv(x)).flatten(1))


def build_model():
    return Net(5)
