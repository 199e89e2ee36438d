# kind: input_dim, which may count numbers or channels, and images of one size only
# images: colour 16
# expect: typed: --image-size 32
# expect: entry: Net
from torch import nn


class Net(nn.Module):
    def __init__(self, input_dim, output_dim=3):
        super().__init__()
        self.first = nn.Conv2d(input_dim, 4, 3, stride=2, padding=1)
        self.out = nn.Linear(4 * 16 * 16, output_dim)

    def forward(self, x):
        return self.out(self.first(x).flatten(1))
