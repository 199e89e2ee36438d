# kind: takes each image as one row of numbers, which its own script makes of it
# images: gray 8
# expect: trains
# expect: exports: any
# expect: says: each image goes in as one row of 64 numbers, which hidden takes
from torch import nn


class Net(nn.Module):
    def __init__(self, inputs=64, width=12, num_classes=10):
        super().__init__()
        self.hidden = nn.Linear(inputs, width)
        self.out = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.out(self.hidden(x).relu())
