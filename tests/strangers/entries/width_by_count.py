# kind: a width hangs on its own number of classes, and no other builds
# images: colour 16
# expect: typed: --replace-head
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, num_classes, 3, stride=8)
        self.classifier = nn.Sequential(nn.Linear(40, 8), nn.ReLU(), nn.Linear(8, num_classes))

    def forward(self, x):
        return self.classifier(F.relu(self.conv(x)).flatten(1))
