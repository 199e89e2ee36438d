# kind: features
# images: colour 16
# expect: typed: --entry tiny --replace-head
# expect: entry: tiny
# expect: says: average of the model's 16 maps of 3 x 3
from torch import nn


class Trunk(nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, stride=2), nn.ReLU(), nn.Conv2d(widths[0], widths[1], 3, stride=2)
        )

    def forward(self, x):
        return self.layers(x)


def tiny(pretrained=False, **kwargs):
    return Trunk([8, 16], **kwargs)


def small(pretrained=False, **kwargs):
    return Trunk([12, 24], **kwargs)
