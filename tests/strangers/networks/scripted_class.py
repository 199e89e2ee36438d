# kind: torch.jit
# expect: trains
# expect: silent: torch.jit
# expect: exports: any
import torch
from torch import nn


class Block(torch.jit.ScriptModule):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def survives(self):
        return torch.equal(torch.bernoulli(torch.tensor(0.8)), torch.tensor(1.0))

    @torch.jit.script_method
    def forward(self, x):
        if self.training:
            return self.conv(x) + x if self.survives() else x
        return 0.8 * self.conv(x) + x


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.block = Block(4)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.block(self.stem(x)).mean((2, 3)))
