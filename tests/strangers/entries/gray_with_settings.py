# kind: settings in a dict
# images: colour 16
# expect: typed: --entry Gray --model-arg 'configs={width: 64, num_classes: 2}'
import torch.nn as nn


class Gray(nn.Module):
    def __init__(self, configs):
        super().__init__()
        self.conv = nn.Conv2d(1, configs["width"], 3)
        self.head = nn.Linear(configs["width"], configs["num_classes"])

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))
