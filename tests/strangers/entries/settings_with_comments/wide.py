# kind: of several files of settings the one that names the network tells its arguments, in JSON with comments
# images: colour 16
# expect: typed: --entry Wide --model-arg 'layers=[1, 1, 2]' --model-arg k=3
# expect: entry: Wide
from torch import nn


class Wide(nn.Module):
    def __init__(self, layers, k, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 4 * k, 3)
        self.more = nn.Sequential(*[nn.Conv2d(4 * k, 4 * k, 1) for _ in range(sum(layers))])
        self.fc = nn.Linear(4 * k, num_classes)

    def forward(self, x):
        return self.fc(self.more(self.conv(x).relu()).mean((2, 3)))
