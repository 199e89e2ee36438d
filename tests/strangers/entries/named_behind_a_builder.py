# kind: a function makes one of two networks by a setting, and the file is named after one of them: the other is named
# images: colour 16
# expect: trains
# expect: entry: NamedBehindABuilder
# expect: says: also holds NamedBehindABuilderSmall: --entry NamedBehindABuilderSmall
import torch.nn as nn


class NamedBehindABuilder(nn.Module):
    def __init__(self, num_classes=1000):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


class NamedBehindABuilderSmall(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        self.fc = nn.Linear(2, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


def set_model(cfg):
    if cfg.dataset == "small":
        return NamedBehindABuilderSmall(10)
    return NamedBehindABuilder(1000)
