# kind: arguments that depend on one another
# expect: typed: --entry Net --model-arg patch=4 --model-arg dim=64 --model-arg depth=6 --model-arg heads=4
from torch import nn


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.attend = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        return self.norm(x + self.attend(x, x, x)[0])


class Net(nn.Module):
    def __init__(self, patch, dim, num_classes, depth=None, heads=None, transformer=None):
        super().__init__()
        assert transformer is not None or (depth is not None and heads is not None)
        self.cut = nn.Conv2d(1, dim, patch, patch)
        self.body = transformer or nn.Sequential(*(Block(dim, heads) for _ in range(depth)))
        self.head = nn.Linear(dim, num_classes)

    def forward(self, x):
        return self.head(self.body(self.cut(x).flatten(2).transpose(1, 2)).mean(1))
