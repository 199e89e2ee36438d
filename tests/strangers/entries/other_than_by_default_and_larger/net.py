# kind: a network for images of another size, of which every script makes another than its defaults: the line has both
# images: colour 16
# expect: typed: --image-size 32 --model-arg width=5
# expect: silent: is built by its own defaults
from torch import nn


class Net(nn.Module):
    def __init__(self, width=12, num_classes=10):
        super().__init__()
        self.first = nn.Conv2d(3, width, 4, stride=4)
        self.out = nn.Linear(width * 8 * 8, num_classes)

    def forward(self, x):
        return self.out(self.first(x).flatten(1))
