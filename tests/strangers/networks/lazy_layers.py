# kind: layers that wait
# expect: trains
from torch import nn


def build_model(num_classes):
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(num_classes))
