# kind: a width of features, which is no number of classes
# images: colour 16
# expect: typed: --entry Net --model-arg out_features_of_it=4 --replace-head
from torch import nn


class Net(nn.Module):
    def __init__(self, out_features_of_it):
        super().__init__()
        self.conv = nn.Conv2d(3, out_features_of_it, 3)

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))
