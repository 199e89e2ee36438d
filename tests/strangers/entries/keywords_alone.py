# kind: settings that are read from **kwargs alone, in the class itself
# expect: typed: --entry Net --model-arg width=64
from torch import nn


class Net(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.width = kwargs["width"]
        channels = kwargs.pop("in_channels")
        self.conv = nn.Conv2d(channels, self.width, 3, padding=1)
        self.drop = nn.Dropout(kwargs.get("drop", 0.1))
        self.fc = nn.Linear(self.width, kwargs["classes"])

    def forward(self, x):
        return self.fc(self.drop(self.conv(x).relu().mean((2, 3))))
