"""A small convolutional network: 42,000 parameters with 10 classes, any image from 8x8 up."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions with a short cut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(2))
        self.short = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y = self.relu(self.norms[0](self.first(x)))
        z: Tensor = self.relu(self.norms[1](self.second(y)) + self.short(x))
        return z


def build_model(num_classes: int, in_channels: int = 3) -> nn.Module:
    """Build the network; hardener calls this."""
    return nn.Sequential(
        nn.Conv2d(in_channels, 16, 3, padding=1),
        nn.ReLU(),
        Block(16, 24, stride=1),
        Block(24, 48, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, num_classes),
    )
