# kind: features alone
# images: colour 16
# expect: typed: --entry small --replace-head
from torch import nn


class Extractor(nn.Module):
    def __init__(self, width, num_classes=0):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes) if num_classes > 0 else nn.Identity()

    def forward(self, x):
        return self.norm(self.conv(x).mean((2, 3)))


def small(patch=4, **kwargs):
    return Extractor(6, **kwargs)


def large(patch=4, **kwargs):
    return Extractor(12, **kwargs)
