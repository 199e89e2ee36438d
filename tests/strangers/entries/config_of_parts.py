# kind: settings dataclass with a part of its own making, a list and a size of images
# images: colour 16
# expect: typed: --entry Net --model-arg 'cfg={image_size: 16, num_labels: 2}'
from dataclasses import dataclass, field

import torch.nn as nn


@dataclass
class HeadConfig:
    width: int = 8
    dropout: float = 0.1


@dataclass
class NetConfig:
    channels = 3
    image_size: int = 224
    num_labels: int = 1000
    widths: list = field(default_factory=lambda: [4, 8])
    head: HeadConfig = field(init=False)

    def __post_init__(self):
        self.head = HeadConfig(width=self.widths[-1])


class Net(nn.Module):
    def __init__(self, cfg: NetConfig):
        super().__init__()
        first, second = cfg.widths
        self.features = nn.Sequential(nn.Conv2d(cfg.channels, first, 3, padding=1), nn.ReLU(), nn.Conv2d(first, second, 1))
        self.places = nn.Linear(cfg.image_size**2, 1)
        self.head = nn.Sequential(nn.Dropout(cfg.head.dropout), nn.Linear(cfg.head.width, cfg.num_labels))

    def forward(self, x):
        return self.head(self.places(self.features(x).flatten(2)).squeeze(2))
