# kind: spelling
# images: colour 16
# expect: typed: --entry Net --model-arg outs=2 --model-arg width=64
from torch import nn


class Net(nn.Module):
    def __init__(self, outs, width):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, width, 3), nn.Linear(width, outs)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
