# kind: scripts call one with as many outputs as there are classes, and another takes their number and fetches weights
# images: colour 16
# expect: typed: --entry Small
# expect: entry: Small
from torch import nn
from torchvision import models


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.fc = nn.Linear(16, 2)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


class Fetched(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.resnet = models.resnet18(weights="DEFAULT")
        self.resnet.fc = nn.Linear(self.resnet.fc.in_features, num_classes)

    def forward(self, x):
        return self.resnet(x)
