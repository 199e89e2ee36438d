# kind: a network of settings that cannot be guessed, and another that would give features
# images: colour 16
# expect: error: needs cfg, which hardener cannot know
from torch import nn


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 2)

    def forward(self, x):
        return self.conv(x).relu()


class Net(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.trunk = cfg.make_trunk(cfg.kind)
        self.fc = nn.Linear(16, cfg.classes)

    def forward(self, x):
        return self.fc(self.trunk(x).mean((2, 3)))
