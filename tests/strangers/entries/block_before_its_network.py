# kind: a block before the network that it is handed to
# images: colour 16
# expect: typed: --entry Wide --model-arg block=PoolBlock --model-arg width=64 --replace-head
# expect: entry: Wide
from torch import nn


class PoolBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc = nn.Linear(3, width)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


class Wide(nn.Module):
    def __init__(self, block, width):
        super().__init__()
        self.block = block(width)
        self.fc = nn.Linear(width, 10)

    def forward(self, x):
        return self.fc(self.block(x).relu())
