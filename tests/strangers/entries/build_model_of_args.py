# kind: a build_model of another kind
# images: colour 16
# expect: typed: --entry build_model --model-arg 'args={width: 64, depth: 28, nclass: 2}'
import torch
import torch.nn as nn


class Net(nn.Module):
    def __init__(self, width, depth, nclass):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.fc = nn.Linear(4 * width, nclass)

    def forward(self, x):
        return self.fc(self.pool(torch.relu(self.conv(x))).flatten(1))


def build_model(args):
    return Net(args.width, args.depth, args.nclass)
