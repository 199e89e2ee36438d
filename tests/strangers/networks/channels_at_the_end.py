# kind: another order of dimensions
# expect: error: The dimensions are in another order there
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.conv(x.permute(0, 3, 1, 2))
        return self.fc(self.pool(x).flatten(1))
