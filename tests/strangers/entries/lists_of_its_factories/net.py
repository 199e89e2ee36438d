# kind: a file beside it has a list for each of two sizes, in functions
# expect: typed: --entry Deep --model-arg 'rows=[[4, 1, 0], [8, 2, 1]]' --model-arg mode=large
# expect: entry: Deep
from torch import nn


class Deep(nn.Module):
    def __init__(self, rows, mode, num_classes=10):
        super().__init__()
        assert mode in ["large", "small"]
        self.rows = rows
        layers, width = [], 1
        for channels, stride, _ in self.rows:
            layers.append(nn.Conv2d(width, channels, 3, stride, 1))
            width = channels
        self.layers, self.fc = nn.Sequential(*layers), nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.layers(x).mean((2, 3)))
