# kind: weights read as NumPy arrays in forward
# expect: trains
# expect: exports: any
import numpy as np
from torch import nn, ones


class Selection(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.indexes = nn.Parameter(ones(channels))

    def forward(self, x):
        kept = np.squeeze(np.argwhere(self.indexes.data.cpu().numpy()))
        if kept.size == 1:
            kept = np.resize(kept, (1,))
        return x[:, kept, :, :]


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)
        self.select = Selection(8)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.fc(self.select(self.norm(self.conv(x))).relu().mean((2, 3)))
