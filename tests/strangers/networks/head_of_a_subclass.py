# kind: the final layer is of a class of its own that is a linear layer
# images: colour 16
# expect: typed: --replace-head
import torch.nn.functional as F
from torch import nn


class LastLayer(nn.Linear):
    def __init__(self, in_features, out_features, levels=127):
        super().__init__(in_features, out_features)
        self.levels = levels

    def forward(self, x):
        rounded = self.weight.mul(self.levels).round().div(self.levels)
        return F.linear(x, (rounded - self.weight).detach() + self.weight, self.bias)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.linear = LastLayer(4, 10)

    def forward(self, x):
        return self.linear(self.conv(x).relu().mean((2, 3)))
