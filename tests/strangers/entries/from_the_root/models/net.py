# kind: a package
# images: colour 16
# expect: trains
# expect: entry: Net
import torch
import torch.nn as nn

from common.sizes import WIDTH
from common.blocks import ConvBlock


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.block = ConvBlock(3, WIDTH)
        self.fc = nn.Linear(WIDTH, num_classes)

    def forward(self, x):
        return self.fc(self.block(x).mean((2, 3)))
