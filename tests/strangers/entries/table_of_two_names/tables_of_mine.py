from torch import nn


def small(width):
    return nn.Conv2d(1, width, 3)


def large(width):
    return nn.Conv2d(1, width, 5, stride=2)


PARAMETERS = {
    "imagenet": {"tiny-18": {"stem": large, "width": 8, "num_classes": 1000}},
    "cifar10": {"tiny-20": {"stem": small, "width": 4, "num_classes": 10}},
}
