# kind: a network that needs an argument, and another that would give features
# images: colour 16
# expect: typed: --entry Net --model-arg width=64
# expect: entry: Net
from torch import nn


class Trunk(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.conv = nn.Conv2d(3, hidden, 3, 2)

    def forward(self, x):
        return self.conv(x).relu()


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, width, 3), nn.Linear(width, 2)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
