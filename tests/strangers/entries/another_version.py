# kind: what is missing
# expect: error: has no timm.layers.no_such_file: the file was written for another version of timm.
from timm.layers.no_such_file import build_model_with_cfg
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.fc = build_model_with_cfg(nn.Linear(64, num_classes))

    def forward(self, x):
        return self.fc(x.flatten(1))
