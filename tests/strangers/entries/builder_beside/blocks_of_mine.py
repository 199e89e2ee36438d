from torch import nn


class ConvBlock(nn.Module):
    def __init__(self, inp, out):
        super().__init__()
        self.conv = nn.Conv2d(inp, out, 3)

    def forward(self, x):
        return self.conv(x).relu()


WIDTH = 4
