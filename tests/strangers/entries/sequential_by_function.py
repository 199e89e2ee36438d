# kind: a function without a class
# images: colour 16
# expect: trains
# expect: entry: get_net
from torch import nn


def conv_bn(inp, oup, stride):
    return nn.Sequential(nn.Conv2d(inp, oup, 3, stride, 1, bias=False), nn.BatchNorm2d(oup), nn.ReLU(inplace=True))


def init_weights(m):
    if isinstance(m, nn.Linear):
        nn.init.normal_(m.weight, std=0.01)
    return m


def get_net(nb_classes, width=8):
    net = nn.Sequential(conv_bn(3, width, 2), conv_bn(width, width, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.add_module("fc", nn.Linear(width, nb_classes))
    net.apply(init_weights)
    return net
