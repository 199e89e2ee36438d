# kind: exits in a mapping, of which only the last leads through all layers
# expect: trains
# expect: says: 'exit_2' is taken as its logits
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.stage_1 = nn.Conv2d(1, 4, 3, padding=1)
        self.stage_2 = nn.Conv2d(4, 4, 3, padding=1)
        self.exit_1 = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))
        self.exit_2 = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))

    def forward(self, x):
        first = self.stage_1(x)
        return {"exit_1": self.exit_1(first), "exit_2": self.exit_2(self.stage_2(first))}
