# kind: a class of settings, and an object of it, as a script has them
# expect: typed: --entry Net --model-arg args=args --replace-head
from torch import nn


class Args:
    num_classes = 10
    width = 4
    device = "cuda"


args = Args()


class Net(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.conv = nn.Conv2d(1, args.width, 3)
        self.fc = nn.Linear(args.width, args.num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
