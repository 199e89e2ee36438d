# kind: partial
# images: colour 16
# expect: typed: --entry DenseNet10
import functools

import torch
import torch.nn as nn


class Layer(nn.Module):
    def __init__(self, in_planes, growth_rate):
        super().__init__()
        self.conv = nn.Conv2d(in_planes, growth_rate, 3, padding=1)

    def forward(self, x):
        return torch.cat([self.conv(torch.relu(x)), x], 1)


class DenseNet(nn.Module):
    def __init__(self, block, nblocks, growth_rate=12, num_classes=10):
        super().__init__()
        width = 2 * growth_rate
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        layers = []
        for _ in range(nblocks[0] + nblocks[1]):
            layers.append(block(width, growth_rate))
            width += growth_rate
        self.dense = nn.Sequential(*layers)
        self.linear = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.linear(self.dense(self.conv1(x)).mean((2, 3)))


DenseNet10 = functools.partial(DenseNet, Layer, [1, 1], growth_rate=4)
DenseNet14 = functools.partial(DenseNet, Layer, [2, 2], growth_rate=4)
