# kind: its forward sets a parameter's numbers, as quantised and binary layers do
# images: colour 16
# expect: trains
import torch
from torch import nn


class Binary(nn.Conv2d):
    def __init__(self, *args):
        super().__init__(*args)
        self.step = nn.Parameter(torch.Tensor([1]), requires_grad=False)

    def forward(self, x):
        with torch.no_grad():
            self.step.data = self.weight.abs().max() / 2
        return nn.functional.conv2d(x, self.weight + (self.weight.sign() * self.step - self.weight).detach())


class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = Binary(3, 16, 3)
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
