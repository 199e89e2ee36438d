# kind: settings mapping
# images: colour 16
# expect: typed: --entry SmallNet --model-arg 'config={data: {num_classes: 2}, model: {}}'
import torch.nn as nn


class SmallNet(nn.Module):
    def __init__(self, config, channels=3):
        super().__init__()
        classes = config["data"]["num_classes"]
        dropout = config["model"].get("dropout", 0.5)
        self.net = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(8, classes))

    def forward(self, x):
        return self.head(self.net(x))
