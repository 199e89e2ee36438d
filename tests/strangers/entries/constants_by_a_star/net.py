# kind: its script takes its values from a file of constants, by a star, and computes with them
# expect: typed: --entry Net --model-arg width=6 --model-arg hidden=12 --model-arg path_rate=0.0
# expect: entry: Net
from torch import nn


class Net(nn.Module):
    def __init__(self, width, hidden, path_rate, num_classes=10):
        super().__init__()
        assert 0 <= path_rate <= 1
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, width), nn.Linear(width, hidden), nn.Linear(hidden, num_classes)
        )

    def forward(self, x):
        return self.layers(x)
