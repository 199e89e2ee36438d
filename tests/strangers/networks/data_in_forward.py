# kind: export
# expect: trains
# expect: exports: any
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x):
        x = self.conv(x)
        rest = torch.Tensor(x.size(0), 4, x.size(2), x.size(3)).zero_()
        return self.fc((torch.cat([x.data, rest], dim=1) + torch.cat([x, x], dim=1)).mean((2, 3)))
