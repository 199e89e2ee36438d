# kind: a fixed batch
# expect: error: the number of images is fixed in its code (batch_of_two.py, line HERE)
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        x = self.pool(self.conv(x))
        return self.fc(x.view(2, -1)[:, :16])  # here
