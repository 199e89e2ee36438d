# kind: the word that it has by default is none that its code knows
# expect: typed: --entry Net --model-arg norm=batchnorm
# expect: entry: Net
from torch import nn


def made(width, norm="batch"):
    if norm == "batchnorm":
        return nn.BatchNorm2d(width)
    elif norm == "layernorm":
        return nn.GroupNorm(1, width)
    raise ValueError(f"Unknown norm: {norm}")


class Net(nn.Module):
    def __init__(self, norm="batch", num_classes=10):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 4, 3), made(4, norm), nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).mean((2, 3)))
