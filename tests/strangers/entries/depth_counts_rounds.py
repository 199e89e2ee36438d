# kind: a builder whose depth counts the rounds of a loop
# images: colour 16
# expect: typed: --entry mixer --model-arg dim=64 --model-arg depth=6
from torch import nn


def mixer(dim, depth, n_classes=10):
    layers = [nn.Sequential(nn.Conv2d(dim, dim, 1), nn.GELU()) for _ in range(depth)]
    return nn.Sequential(
        nn.Conv2d(3, dim, 4, 4), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(dim, n_classes)
    )
