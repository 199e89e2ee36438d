# kind: memory order
# expect: trains
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.again.weight = self.middle.weight

    def forward(self, x):
        x = F.relu(self.again(self.middle(self.conv(x))))
        return self.fc(self.pool(x).flatten(1))
