# kind: settings mapping
# images: colour 16
# expect: typed: 'cfg={model: {norm: {size: 5, alpha: 0.0001}, pool: {kernel_size: 2, type: max}, in_channels: 3, conv1: {out_channels: 12, padding: 1}, conv2: {out_channels: 6, padding: 0}, out_classes: 2}}'
# expect: entry: SmallNet
from typing import Any

import torch
from torch import nn


class SmallNet(nn.Module):
    def __init__(self, cfg: Any):
        super().__init__()
        c: Any = cfg.model
        norm = c.norm
        self.norm = nn.LocalResponseNorm(norm.size, alpha=norm.alpha)
        self.pool = self._pool(c.pool)
        self.conv1 = self._conv(c.in_channels, c.conv1)
        self.conv2 = self._conv(c.conv1.out_channels, c.conv2)
        self.fc = nn.Linear(c.conv2.out_channels, c.out_classes)

    def _conv(self, channels: int, cfg: Any):
        return nn.Conv2d(channels, cfg.out_channels, 3, padding=cfg.padding)

    def _pool(self, cfg: Any):
        return {"max": nn.MaxPool2d, "average": nn.AvgPool2d}[cfg.type](cfg.kernel_size)

    def forward(self, x):
        x = self.pool(torch.relu(self.norm(self.conv1(x))))
        return self.fc(self.conv2(x).mean((2, 3)))
