# kind: builders that pass on any keyword and fix the number of classes, of a layer by a star of what is not installed
# images: colour 16
# expect: error: No module named 'no_such_layers'
from no_such_layers import *
from torch import nn


class Net(nn.Module):
    def __init__(self, width, num_classes=1000):
        super().__init__()
        self.pool = ConcatPool(1)  # noqa: F405
        self.out = nn.Linear(3 * width, num_classes)

    def forward(self, x):
        return self.out(self.pool(x).flatten(1))


def _net(width, **kwargs):
    return Net(width, num_classes=10, **kwargs)


def small(**kwargs):
    return _net(1, **kwargs)


def large(**kwargs):
    return _net(2, **kwargs)
