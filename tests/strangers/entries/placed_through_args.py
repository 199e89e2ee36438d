# kind: builders that hand a name on by place, through *args of another
# images: colour 16
# expect: typed: --entry net_2
from torch import nn


class Net(nn.Module):
    def __init__(self, width=64, depth=1, num_classes=10, *args, **kwargs):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3)
        self.more = nn.Sequential(*[nn.Conv2d(width, width, 1) for _ in range(depth)])
        self.out = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.out(self.more(self.first(x)).mean((2, 3)))


def _net(arch, pretrained, depth, width=4, *args, **kwargs):
    if pretrained:
        raise ValueError(arch)
    return Net(width=width, depth=depth, *args, **kwargs)


def of_two(*args, **kwargs):
    return _net(depth=2, *args, **kwargs)


def of_three(*args, **kwargs):
    return _net(depth=3, *args, **kwargs)


def net_2(pretrained=False, num_classes=10, *args, **kwargs):
    return of_two("net_2", pretrained, num_classes=num_classes, width=6, *args, **kwargs)


def net_3(pretrained=False, num_classes=10, *args, **kwargs):
    return of_three("net_3", pretrained, num_classes=num_classes, width=6, *args, **kwargs)
