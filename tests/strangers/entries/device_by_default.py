# kind: the device that it builds its parts on is a GPU by default
# needs: no GPU
# expect: trains
# expect: entry: Placed
from torch import nn


class Placed(nn.Module):
    def __init__(self, num_classes=10, device="cuda:0"):
        super().__init__()
        self.fc = nn.Linear(64, num_classes, device=device)

    def forward(self, x):
        return self.fc(x.flatten(1))
