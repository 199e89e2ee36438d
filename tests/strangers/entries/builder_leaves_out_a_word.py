# kind: a builder that leaves out what its network needs, so that only the network can be built
# images: colour 16
# expect: error: Net in
# expect: error: needs name, which hardener cannot know. Pass what is right for you as --entry Net --model-arg name=...
# expect: silent: give what else forward takes

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, name: str, num_classes: int = 100) -> None:
        super().__init__()
        width = {8.0: 8, 12.5: 12}[float(name.split("-")[1])]
        self.layers = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x).flatten(1))


def net() -> nn.Module:
    return Net()
