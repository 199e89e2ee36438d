# kind: no gradient
# expect: trains
# expect: says: no gradient reaches 2 of 4 parameters, such as conv.weight
# expect: says: no gradient reaches the images
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        with torch.no_grad():
            x = self.pool(self.conv(x))
        return self.fc(x.flatten(1))
