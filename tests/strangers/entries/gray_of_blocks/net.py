# kind: a gray network that needs an argument of no known name, of blocks from beside that take any keyword
# images: colour 16
# expect: typed: --entry Net --model-arg output_width=2
from blocks import Block
from torch import nn


class Net(nn.Module):
    def __init__(self, output_width):
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.block = Block(8, 16, 2)
        self.out = nn.Linear(16, output_width)

    def forward(self, x):
        return self.out(self.block(self.first(x)).mean((2, 3)))
