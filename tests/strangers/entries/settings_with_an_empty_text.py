# kind: settings of which one is what to load, an empty text by default
# images: colour 16
# expect: typed: --entry Net --model-arg 'args={width: 7, num_classes: 2, resume: ""}'
import argparse

from torch import nn


def read():
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=7)
    parser.add_argument("--resume", type=str, default="")
    parser.add_argument("--num_classes", type=int, default=10)
    return parser.parse_args()


class Net(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.first = nn.Conv2d(3, args.width, 3)
        if len(args.resume) > 0:
            self.load(args.resume)
        self.out = nn.Linear(args.width, args.num_classes)

    def forward(self, x):
        return self.out(self.first(x).mean((2, 3)))
