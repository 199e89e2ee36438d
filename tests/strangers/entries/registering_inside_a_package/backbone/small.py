# kind: a package that imports all its files, which register, below a package that fails
# images: colour 16
# expect: trains
from backbone import Backbone
from registry import register
from torch import nn


class Small(Backbone):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


@register("small")
def small(num_classes):
    return Small(num_classes)
