# kind: settings of torch
# expect: error: the model is built on the device meta, which holds shapes and no numbers (on_meta.py, line HERE)
import torch
from torch import nn

torch.set_default_device("meta")  # here


class Net(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))
