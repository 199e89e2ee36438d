"""A residual network for images of about 32x32: 0.70 million parameters with 10 classes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Block(nn.Module):
    """A pre-activation residual block."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.short: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.short = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, H / stride, W / stride)."""
        y = self.relu(self.norm1(x))
        residual: Tensor = self.conv2(self.relu(self.norm2(self.conv1(y))))
        short: Tensor = self.short(y if self.conv1.stride != (1, 1) else x)
        return residual + short


def build_model(num_classes: int, in_channels: int = 3) -> nn.Module:
    """Build the network; hardener calls this."""
    return residual(num_classes, in_channels, widths=(32, 32, 64, 64, 128, 128), strides=(1, 1, 2, 1, 2, 1))


def residual(
    num_classes: int, in_channels: int, *, widths: Sequence[int], strides: Sequence[int], stem_stride: int = 1
) -> nn.Module:
    """Build a stem as wide as the first block, a block for each width, and a linear head."""
    layers: list[nn.Module] = [nn.Conv2d(in_channels, widths[0], 3, stride=stem_stride, padding=1, bias=False)]
    inputs = widths[0]
    for outputs, stride in zip(widths, strides, strict=True):
        layers.append(Block(inputs, outputs, stride))
        inputs = outputs
    return nn.Sequential(
        *layers,
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, num_classes),
    )
