"""Models and data whose answers are known in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from hardener.threat import NORMS


class Linear(nn.Module):
    """Two classes with logits ±(w·x + b) / 2: the margin of the class 1 is w·x + b."""

    def __init__(self, weight: Tensor, bias: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.flatten())
        self.bias = nn.Parameter(torch.tensor(bias))

    def margin(self, images: Tensor) -> Tensor:
        """w·x + b, (N,)."""
        return images.flatten(1) @ self.weight + self.bias

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (N, 2)."""
        half = self.margin(images) / 2
        return torch.stack([-half, half], dim=1)


def dual_norm(weight: Tensor, norm: str) -> Tensor:
    """How much w·x can change with a step of size 1, a row of weights: the sum of |w| for linf, the largest for l1."""
    size: Tensor = torch.linalg.vector_norm(weight.detach().flatten(1), ord=NORMS[norm].dual_order, dim=1)
    return size


def plane_distance(model: Linear, images: Tensor, norm: str) -> Tensor:
    """How far each image lies from the plane w·x + b = 0 inside the box, (N,).

    In l1 the box counts even for points well inside it: the nearest point of the plane has the pixels with the
    largest weights at their sides, one after the other. In other norms only where the plane is not too far.
    """
    margins = model.margin(images).detach()
    if norm != "l1":
        return margins.abs() / dual_norm(model.weight.unsqueeze(0), norm)
    weight = model.weight.detach()
    found = []
    for pixels, margin in zip(images.flatten(1), margins, strict=True):
        left, way = float(margin.abs()), 0.0
        for place in weight.abs().argsort(descending=True).tolist():
            heavy = float(weight[place])
            room = 1 - float(pixels[place]) if heavy * float(margin) < 0 else float(pixels[place])
            step = min(room, left / abs(heavy))
            left, way = left - step * abs(heavy), way + step
            if step < room:
                break
        found.append(way)
    return torch.tensor(found)


def linear_problem(count: int, shape: tuple[int, int, int], seed: int) -> tuple[Linear, Tensor, Tensor]:
    """A linear model, images well inside the box, and labels that it gets right; some lie near the plane."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(shape, generator=generator)
    images = 0.35 + 0.3 * torch.rand((count, *shape), generator=generator)
    model = Linear(weight, -float((images.flatten(1) @ weight.flatten()).mean()))
    labels = (model.margin(images) > 0).long()
    return model, images, labels


def write_image_folder(
    root: Path, counts: dict[str, int], *, size: tuple[int, int] = (8, 8), color: bool = False, seed: int = 0
) -> Path:
    """Write PNGs that a tiny network can tell apart: the class decides which half is bright."""
    random = np.random.default_rng(seed)
    width, height = size
    for label, (name, count) in enumerate(counts.items()):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = random.integers(0, 80, (height, width, 3) if color else (height, width))
            bright = slice(0, height // 2) if label % 2 == 0 else slice(height // 2, height)
            pixels[bright] += 150 - 30 * (label // 2)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:03d}.png")
    return root


def write_levels(root: Path) -> None:
    """Put an image of one level in the place of each: dark for cats and bright for others, whatever the network."""
    for place, path in enumerate(sorted(root.rglob("*.png"))):
        Image.new("L", (8, 8), (40 if path.parent.name == "cat" else 210) + place % 5).save(path)


TINY_MODEL = """
from torch import nn

def build_model(num_classes, in_channels=1):
    return nn.Sequential(
        nn.Conv2d(in_channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(24, num_classes),
    )
"""
