# kind: lists that are read by an index
# images: colour 16
# expect: typed: --entry Stages --model-arg 'nblock=[2, 2, 2, 2]' --model-arg 'sizes=[2, 2, 2, 2]'
import torch.nn as nn


class Unit(nn.Module):
    def __init__(self, width, out):
        super().__init__()
        self.conv = nn.Conv2d(width, out, 1)

    def forward(self, x):
        return self.conv(x).relu()


class Stages(nn.Module):
    def __init__(self, nblock, sizes, num_classes=1000):
        super().__init__()
        self.blocks, width = nn.Sequential(), 3
        for stage in range(4):
            for _ in range(nblock[stage]):
                self.blocks.append(Unit(width, sizes[stage]))
                width = sizes[stage]
        self.count = sum(nblock)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.blocks(x).mean((2, 3)))
