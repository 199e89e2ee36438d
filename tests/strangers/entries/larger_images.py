# kind: size of images
# images: colour 16
# expect: typed: --image-size 32
import torch.nn as nn


class BigNet(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU())
        self.fc = nn.Linear(4 * 16 * 16, num_classes)

    def forward(self, x):
        return self.fc(self.features(x).flatten(1))
