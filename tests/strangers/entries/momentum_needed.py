# kind: a momentum that is needed, and that no file tells: a share, as torch has it
# images: colour 16
# expect: typed: --entry Net --model-arg bn_momentum=0.1
from torch import nn


class Net(nn.Module):
    def __init__(self, bn_momentum, num_classes=10):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4, momentum=bn_momentum)
        self.out = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.out(self.norm(self.first(x)).mean((2, 3)))
