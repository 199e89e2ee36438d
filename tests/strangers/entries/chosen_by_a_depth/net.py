# kind: a builder that scripts call alone, and that makes others by a depth that they need not be told
# images: colour 16
# expect: typed: --entry NetK --model-arg k=18 --model-arg gated=true
# expect: entry: NetK
from torch import nn


class Net(nn.Module):
    def __init__(self, width, num_classes=10, gated=False):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.gate = nn.Conv2d(width, width, 1) if gated else nn.Identity()
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.gate(self.conv(x)).relu().mean((2, 3)))


def NetA(gated=False, num_classes=10):
    return Net(8, num_classes, gated)


def NetB(gated=False, num_classes=10):
    return Net(16, num_classes, gated)


def NetK(k, gated=False, num_classes=10):
    assert k in [18, 34], "Choose a depth"
    return NetA(gated, num_classes) if k == 18 else NetB(gated, num_classes)
