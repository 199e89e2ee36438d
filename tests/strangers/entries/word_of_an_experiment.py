# kind: a network whose name tells its depth; the name that a script has is its experiment's
# images: colour 16
# expect: error: --entry Wide --model-arg name=...
import argparse

from torch import nn


class Wide(nn.Module):
    def __init__(self, name, num_classes):
        super().__init__()
        depth = int(name.split("-")[1])
        layers = [nn.Conv2d(4, 4, 3, padding=1) for _ in range(depth)]
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), *layers)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.layers(x).mean((2, 3)))


def asked():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default="baseline-28-10")
    return parser.parse_args()
