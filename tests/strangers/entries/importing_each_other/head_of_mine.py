import net
from torch import nn


class Head(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.fc = nn.Linear(4, count)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))


def small():
    return net.Net(2)
