from torch import nn


class Block(nn.Module):
    def __init__(self, num_channels, output_channels, strides, **kwargs):
        super().__init__(**kwargs)
        self.conv = nn.Conv2d(num_channels, output_channels, 3, strides, 1)

    def forward(self, x):
        return self.conv(x).relu()
