# kind: two networks that both need larger images: the line names which
# images: colour 16
# train: --image-size 16
# expect: typed: --entry build --image-size 28 --replace-head
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 5, 4), nn.ReLU(), nn.MaxPool2d(3, 2), nn.MaxPool2d(2))
        self.out = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.out(self.features(x).flatten(1))


def build():
    return Net(10)
