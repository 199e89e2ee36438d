# kind: an argument that goes to the first convolution is the channels of the images, behind **kwargs too
# images: colour 16
# expect: typed: --entry net --model-arg inplanes=3
from torch import nn


class Net(nn.Module):
    def __init__(self, inplanes, num_classes=10):
        super().__init__()
        self.inplanes = 8
        self.first = nn.Conv2d(inplanes, self.inplanes, 3, bias=False)
        self.out = nn.Linear(self.inplanes, num_classes)

    def forward(self, x):
        return self.out(self.first(x).mean((2, 3)))


def _net(arch, **kwargs):
    return Net(**kwargs)


def net(pretrained=False, **kwargs):
    return _net("net", **kwargs)
