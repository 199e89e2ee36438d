# kind: its script sets widths in a branch that a file of settings chooses; another script has a depth of its own
# images: colour 16
# expect: typed: --entry Net --model-arg width=6 --model-arg depth=3
from torch import nn


class Net(nn.Module):
    def __init__(self, width, depth, num_classes=10):
        super().__init__()
        self.first = nn.Conv2d(3, width, 1)
        self.more = nn.Sequential(*[nn.Conv2d(width, width, 1) for _ in range(depth)])
        self.out = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.out(self.more(self.first(x)).mean((2, 3)))
