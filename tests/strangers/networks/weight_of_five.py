# kind: memory order
# expect: trains
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.pieces = nn.Parameter(0.1 * torch.randn(2, 4, 1, 3, 3))
        self.deep = nn.Conv3d(1, 2, (2, 3, 3), padding=(0, 1, 1))
        self.fc = nn.Linear(6, num_classes)

    def forward(self, x):
        flat = sum(F.conv2d(x, piece, padding=1) for piece in self.pieces)
        deep = self.deep(torch.stack([x, x], dim=2)).flatten(1, 2)
        return self.fc(torch.cat([flat, deep], dim=1).mean((2, 3)))
