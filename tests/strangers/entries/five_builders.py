# kind: several builders, outputs hard-wired
# images: colour 16
# expect: typed: --entry net_a --replace-head
from torch import nn


def _net(width):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def net_a():
    return _net(4)


def net_b():
    return _net(5)


def net_c():
    return _net(6)


def net_d():
    return _net(7)


def net_e():
    return _net(8)
