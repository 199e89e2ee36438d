# kind: export
# needs: long
# expect: trains
# expect: exports: 8
import numpy as np
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(36, num_classes)

    def forward(self, x):
        x = F.adaptive_avg_pool2d(self.conv(x), 3)
        return self.fc(x.reshape(int(np.sqrt(x.shape[0] ** 2)), -1))
