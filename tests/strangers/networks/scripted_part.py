# kind: torch.jit
# expect: trains
# expect: silent: torch.jit
# expect: exports: any
import torch
from torch import nn
from torch.nn import functional as F


@torch.jit.script
def twice(x):
    return 2 * x


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(36, num_classes)

        self.conv = torch.jit.script(nn.Sequential(self.conv, nn.ReLU()))

    @torch.jit.export
    def scaled(self, x):
        return twice(x)

    def forward(self, x):
        return self.fc(F.adaptive_avg_pool2d(self.scaled(self.conv(x)), 3).flatten(1))
