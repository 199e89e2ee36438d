# kind: two networks that need arguments, of which one is left to guess at
# images: colour 16
# expect: error: beside_one_that_stays_open.py also holds Exits, which needs plan: --entry Exits
# expect: error: --entry Plain --model-arg depth=2
import torch
from torch import nn


class Plain(nn.Module):
    def __init__(self, depth, num_classes=100):
        super().__init__()
        layers = {2: [nn.Conv2d(3, 8, 3), nn.ReLU()]}[depth]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.head(self.layers(x).mean((2, 3)))


class Exits(nn.Module):
    def __init__(self, plan, num_classes=100):
        super().__init__()
        self.layers = plan.stem(plan.widths["first"])
        self.head = nn.Linear(plan.widths["last"], num_classes)

    def forward(self, x):
        return self.head(torch.relu(self.layers(x)).mean((2, 3)))
