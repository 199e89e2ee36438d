# kind: a class that holds a network and answers nothing itself
# expect: trains
# expect: entry: Small
from torch import nn


class Small(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))

    def forward(self, x):
        return self.layers(x)


class Trainer(nn.Module):
    def __init__(self, settings, num_classes=10):
        super().__init__()
        self.network = Small(num_classes)
        self.rate = settings.rate

    def step(self, images, labels):
        return nn.functional.cross_entropy(self.network(images), labels) * self.rate
