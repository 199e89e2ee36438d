# kind: arguments
# images: colour 16
# expect: typed: --entry Small --model-arg dropout=0.1
# expect: entry: Small
import torch.nn as nn


class Small(nn.Module):
    def __init__(self, crop, resize, in_channels, num_classes, dropout):
        super().__init__()
        size = crop if resize is None else resize
        assert size >= 16 and size % 2 == 0
        self.net = nn.Sequential(nn.Conv2d(in_channels, 4, 2, 2), nn.Flatten(), nn.Dropout(dropout))
        self.head = nn.Linear(4 * (size // 2) ** 2, num_classes)

    def forward(self, x):
        return self.head(self.net(x))
