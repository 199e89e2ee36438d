# kind: a builder of a class
# images: colour 16
# expect: trains
# expect: entry: create_model
import torch
import torch.nn as nn


class SmallNet(nn.Module):
    def __init__(self, num_classes=10, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, x):
        return self.fc(self.pool(torch.relu(self.conv(x))).flatten(1))


def create_model(num_classes, width=6):
    model = SmallNet(num_classes, width)
    return model
