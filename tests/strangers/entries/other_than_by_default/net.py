# kind: every script gives what also has a default: the network by its defaults is another, and that is said
# images: colour 16
# expect: trains
# expect: says: Net is built by its own defaults. The repository's scripts give it others (32 parameters): --model-arg width=5
from torch import nn


class Net(nn.Module):
    def __init__(self, width=12, num_classes=10):
        super().__init__()
        self.first = nn.Conv2d(3, width, 1)
        self.out = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.out(self.first(x).mean((2, 3)))
