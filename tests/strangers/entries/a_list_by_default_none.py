# kind: arguments
# images: colour 16
# expect: typed: --entry pruned --model-arg 'compress_rate=[0.0, 0.0, 0.0]' --replace-head
# expect: entry: pruned
import torch
from torch import nn


class Pruned(nn.Module):
    def __init__(self, compress_rate=None):
        super().__init__()
        self.first = nn.Conv2d(3, int(16 * (1 - compress_rate[0])), 3)
        self.second = nn.Conv2d(int(16 * (1 - compress_rate[0])), int(32 * (1 - compress_rate[2])), 3)
        self.linear = nn.Linear(int(32 * (1 - compress_rate[2])), 10)

    def forward(self, x):
        x = torch.relu(self.second(torch.relu(self.first(x))))
        return self.linear(x.mean((2, 3)))


def pruned(compress_rate=None):
    return Pruned(compress_rate=compress_rate)
