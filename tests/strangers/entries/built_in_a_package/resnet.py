# kind: a file of its package builds it with what is no default of its own
# expect: typed: --entry Net --model-arg block=Wide --model-arg 'widths=[6, 8]' --model-arg deep=true
# expect: entry: Net
from torch import nn


class Narrow(nn.Conv2d):
    pass


class Wide(nn.Conv2d):
    pass


class Net(nn.Module):
    def __init__(self, block, widths, deep=False, num_classes=10):
        super().__init__()
        layers = [block(1, widths[0], 3), nn.ReLU(), block(widths[0], widths[1], 3)]
        self.layers = nn.Sequential(*layers, *([nn.Conv2d(widths[1], widths[1], 1)] if deep else []))
        self.fc = nn.Linear(widths[1], num_classes)

    def forward(self, x):
        return self.fc(self.layers(x).mean((2, 3)))
