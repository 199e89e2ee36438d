# kind: settings mapping
# images: colour 16
# expect: typed: --entry Network --model-arg 'config={input_shape: [1, 3, 16, 16], n_classes: 2, depth: 20}'
# expect: entry: Network
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self, config):
        super().__init__()
        shape = config["input_shape"]
        classes = config["n_classes"]
        depth = config["depth"]
        blocks = (depth - 2) // 6
        assert blocks * 6 + 2 == depth
        self.conv = nn.Sequential(nn.Conv2d(shape[1], 8, 3, stride=2), *[nn.Conv2d(8, 8, 1) for _ in range(blocks)])
        with torch.no_grad():
            features = self.conv(torch.zeros(*shape)).view(-1).shape[0]
        self.fc = nn.Linear(features, classes)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))
