# kind: helpers
# images: colour 16
# expect: trains
# expect: entry: ShuffleLike
import torch
import torch.nn as nn


class Flatten(nn.Module):
    def forward(self, x):
        return x.view(x.size(0), -1)


class SqueezeExcite(nn.Module):
    def __init__(self, channels=3, reduction=1):
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.fc(x.mean((2, 3), keepdim=True)))


class LabelSmoothingLoss(nn.Module):
    def __init__(self, classes=10, smoothing=0.1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(classes))

    def forward(self, pred, target):
        return nn.functional.cross_entropy(pred, target)


class ShuffleLike(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        self.se = SqueezeExcite()
        self.flat = Flatten()
        self.fc = nn.LazyLinear(classes) if False else nn.Linear(3 * 16 * 16, classes)

    def forward(self, x):
        return self.fc(self.flat(self.se(x)))
