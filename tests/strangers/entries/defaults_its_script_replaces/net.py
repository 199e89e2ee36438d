# kind: its own defaults make a size of a fraction; its script gives another number
# expect: typed: --entry Mixer --model-arg ratio=2
# expect: entry: Mixer
from torch import nn


class Mixer(nn.Module):
    def __init__(self, width=4, ratio=2.0, num_classes=10):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width * ratio), nn.Linear(width * ratio, num_classes))

    def forward(self, x):
        return self.layers(x)
