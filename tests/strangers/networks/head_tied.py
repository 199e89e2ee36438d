# kind: heads
# train: --replace-head
# expect: trains
# expect: says: final layer fc, aux replaced: 5 → 2 outputs
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)
        self.aux = nn.Linear(16, num_classes)
        self.aux.weight = self.fc.weight

    def forward(self, x):
        x = self.pool(self.conv(x)).flatten(1)
        return self.fc(x), self.aux(x * 2)


def build_model():
    return Net(5)
