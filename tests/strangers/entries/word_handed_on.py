# kind: a name that another function compares
# images: colour 16
# expect: typed: --entry get_tiny --model-arg model_name=tiny_s
import torch.nn as nn


def widths(model_name):
    if "tiny_s" in model_name:
        return 4
    elif "tiny_m" in model_name:
        return 8
    raise ValueError(f"no {model_name}")


class Tiny(nn.Module):
    def __init__(self, width, nclass):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.head = nn.Linear(width, nclass)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))


def get_tiny(model_name, nclass=1000):
    return Tiny(widths(model_name), nclass)
