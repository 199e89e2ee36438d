# kind: a required word that only the error lists
# images: colour 16
# expect: typed: --entry build --model-arg kind=b0
from torch import nn

WIDTHS = {"b0": 4, "b1": 8}


def build(kind, num_classes):
    if kind not in WIDTHS:
        raise ValueError("kind should be one of: " + ", ".join(sorted(WIDTHS)))
    width = WIDTHS[kind]
    return nn.Sequential(
        nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes)
    )
