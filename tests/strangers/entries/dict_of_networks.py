# kind: a word chooses
# images: colour 16
# expect: typed: --entry get_model --model-arg name=small
from torch import nn


def _small(num_classes):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))


def _large(num_classes):
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))


_NETWORKS = {"small": _small, "large": _large}


def get_model(name, num_classes):
    if name not in _NETWORKS:
        raise ValueError(f"unknown model {name}")
    return _NETWORKS[name](num_classes)
