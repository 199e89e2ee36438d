# kind: settings dataclass
# images: colour 16
# expect: typed: --entry Net --model-arg 'cfg={num_labels: 2}'
from dataclasses import dataclass

import torch.nn as nn


@dataclass
class NetConfig:
    width: int = 8
    num_labels: int = 1000


class Net(nn.Module):
    def __init__(self, cfg: NetConfig):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, cfg.width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(cfg.width, cfg.num_labels)

    def forward(self, x):
        return self.head(self.features(x))
