# kind: needs arguments, and takes one size of images only, which no other network has, but its script
# images: colour 16
# expect: typed: --entry Net --model-arg width=5 --image-size 44
from torch import nn


class Net(nn.Module):
    def __init__(self, in_channels, out_dim, width):
        super().__init__()
        self.first = nn.Conv2d(in_channels, width, 3, stride=2, padding=1)
        self.out = nn.Linear(width * 22 * 22, out_dim)

    def forward(self, x):
        return self.out(self.first(x).flatten(1))
