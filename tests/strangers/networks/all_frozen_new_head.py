# kind: no gradient
# train: --replace-head
# expect: trains
# expect: says: final layer fc replaced: 5 → 2 outputs
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)
        for parameter in self.parameters():
            parameter.requires_grad = False

    def forward(self, x):
        return self.fc(self.pool(self.conv(x)).flatten(1))


def build_model():
    return Net(5)
