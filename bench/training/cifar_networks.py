"""Networks as they are commonly cut for images of 32x32, for the benches."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torchvision
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "examples"))

from cifar_fast import build_model as cifar_fast
from cifar_resnet import build_model as cifar_resnet


def resnet18(classes: int) -> nn.Module:
    """ResNet-18 with a 3x3 stem and no pooling after it: 11.2 M parameters."""
    network: nn.Module = torchvision.models.resnet18(num_classes=classes)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def vgg16(classes: int) -> nn.Module:
    """VGG-16 with batch norm and one linear layer: 14.7 M parameters."""
    layers: list[nn.Module] = []
    inputs = 3
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs, classes))


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "cifar_fast": cifar_fast,
    "cifar_resnet": cifar_resnet,
    "resnet18": resnet18,
    "vgg16": vgg16,
}
