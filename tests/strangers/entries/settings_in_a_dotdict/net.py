# kind: its settings lie in a mapping of a file beside that reads like an object
# expect: typed: --entry Net --model-arg 'configs={width: 7, num_classes: 2, depth: 2}'
# expect: entry: Net
from torch import nn


class Net(nn.Module):
    def __init__(self, configs):
        super().__init__()
        width = configs.width
        layers = [nn.Linear(width, width) for _ in range(configs.depth)]
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width), *layers, nn.Linear(width, configs.num_classes))

    def forward(self, x):
        return self.layers(x)
