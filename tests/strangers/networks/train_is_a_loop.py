# kind: modes
# expect: trains
# expect: says: Net.train does not switch the mode
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.fc(self.pool(self.conv(x)).flatten(1))

    def train(self, loader, epochs=3):
        for _ in range(epochs):
            for images, labels in loader:
                F.cross_entropy(self(images), labels).backward()

    def eval(self, loader):
        return sum((self(images).argmax(dim=1) == labels).sum() for images, labels in loader)
