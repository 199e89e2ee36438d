# kind: no logits
# expect: typed: --replace-head
# expect: says: a linear layer is put behind the average of the model's 8 maps of 4 x 4 (output 2)
from torch import nn


class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.stage = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, stride=2), nn.ReLU())

    def forward(self, x):
        first = self.stem(x)
        return first, self.stage(first)
