# kind: classes and functions of layers as arguments, with no call anywhere
# expect: typed: --entry Net --model-arg conv=conv3x3 --model-arg norm_layer=nn.BatchNorm2d --model-arg 'act=nn.ReLU()' --replace-head
from torch import nn


def conv3x3(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Net(nn.Module):
    def __init__(self, conv, norm_layer, act):
        super().__init__()
        self.conv = conv(1, 4)
        self.norm = norm_layer(4)
        self.act = act
        self.fc = nn.Linear(4, 10)

    def forward(self, x):
        return self.fc(self.act(self.norm(self.conv(x))).mean((2, 3)))
