# kind: arguments that hardener cannot know
# images: colour 16
# expect: typed: --entry Net --model-arg num_patches=16
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_patches, patch=4, width=8, num_classes=10):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.extra = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, num_patches + 1, width))
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.extra.expand(len(x), -1, -1), x], 1) + self.positions
        return self.fc(x.relu().mean(1))
