# kind: adds a folder to sys.path by a name that counts from the repository's root
# expect: trains
# expect: entry: Net
import sys

from torch import nn

sys.path.append("./layers")

from layers.pair import Pair  # noqa: E402


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.first = Pair(1, 4)
        self.out = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.out(self.first(x).mean((2, 3)))
