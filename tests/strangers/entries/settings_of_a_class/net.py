# kind: settings that a class of another file has by itself
# images: colour 16
# expect: typed: --model-arg 'cfg={width: 5, num_classes: 2, rounds: 2}'
from torch import nn


class Net(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.first = nn.Conv2d(3, cfg.width, 1)
        self.rest = nn.Sequential(*(nn.Conv2d(cfg.width, cfg.width, 1) for _ in range(cfg.rounds)))
        self.out = nn.Linear(cfg.width, cfg.num_classes)

    def forward(self, x):
        return self.out(self.rest(self.first(x)).mean((2, 3)))
