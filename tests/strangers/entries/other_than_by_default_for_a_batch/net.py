# kind: a network that shows itself a batch of some shape, of which every script makes another: that is said
# images: colour 16
# expect: trains
# expect: says: The repository's scripts give it others (32 parameters): --model-arg width=5
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, input_shape, width=12, num_classes=10):
        super().__init__()
        self.first = nn.Conv2d(input_shape[1], width, 1)
        out = self.first(torch.zeros(input_shape))
        self.out = nn.Linear(out.mean((2, 3)).shape[1], num_classes)

    def forward(self, x):
        return self.out(self.first(x).mean((2, 3)))
