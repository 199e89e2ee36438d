# kind: the file tries out one of its networks, and the script trains another: that one comes first
# images: colour 16
# expect: typed: --entry small
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width, num_classes):
        super().__init__()
        self.first = nn.Conv2d(3, width, 1)
        self.out = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.out(self.first(x).mean((2, 3)))


def large(num_classes=10):
    return Net(16, num_classes)


def small(num_classes=10):
    return Net(8, num_classes)


if __name__ == "__main__":
    print(large()(torch.zeros(1, 3, 16, 16)).shape)
