# kind: a function makes one of two networks by a word, and only one of them takes such images: the other is named
# images: colour 16
# expect: trains
# expect: entry: Small
# expect: silent: takes no such images
# expect: says: also holds Large, for images of 32 x 32: --entry Large --image-size 32
import torch.nn as nn


class Large(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4 * 8 * 8, num_classes)

    def forward(self, x):
        return self.fc(nn.functional.max_pool2d(self.conv(x).relu(), 4).flatten(1))


class Small(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def build(name, num_classes=10):
    if name == "small":
        return Small(num_classes)
    if name == "large":
        return Large(num_classes)
    raise ValueError(f"unknown network {name!r}")
