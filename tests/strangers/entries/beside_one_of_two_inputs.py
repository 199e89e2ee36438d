# kind: one that takes images beside one that takes two inputs: that is said
# images: colour 16
# expect: trains
# expect: entry: Net
# expect: says: also holds Hybrid, which takes no such images (TypeError: Hybrid.forward() missing 1 required
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.out = nn.Linear(3, num_classes)

    def forward(self, x):
        return self.out(x.mean((2, 3)))


class Hybrid(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.out = nn.Linear(7, num_classes)

    def forward(self, x, descriptors):
        return self.out(x.mean((2, 3)) + descriptors)
