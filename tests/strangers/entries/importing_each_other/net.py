# kind: two files that import each other
# images: colour 16
# expect: trains
# expect: entry: Net
from head_of_mine import Head
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)

    def forward(self, x):
        return self.conv(x).relu()


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.block = Block(3)
        self.head = Head(num_classes)

    def forward(self, x):
        return self.head(self.block(x))
