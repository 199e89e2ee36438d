# kind: a network that is given another one
# images: colour 16
# expect: typed: --entry Net --model-arg 'backbone=Small()'
from torch import nn


class Small(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.fc = nn.Linear(width, 1)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))


class Net(nn.Module):
    def __init__(self, backbone, num_classes):
        super().__init__()
        width = backbone.fc.in_features
        backbone.fc = nn.Identity()
        self.backbone = backbone
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.backbone(x))
