"""A small residual network for images of 32x32 that halves them at once, as wide as it is asked to be."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """Two convolutions with a short cut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(2))
        self.short = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / 2, W / 2)."""
        y = self.relu(self.norms[0](self.first(x)))
        z: Tensor = self.relu(self.norms[1](self.second(y)) + self.short(x))
        return z


def build_model(num_classes: int, in_channels: int = 3, width: int = 16) -> nn.Module:
    """Build the network; hardener calls this."""
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        Block(width, 2 * width),
        Block(2 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, num_classes),
    )
