"""Processor time and scores of CLEVER for 50 images, against the Adversarial Robustness Toolbox where it is importable.

Both draw the same number of points an image and follow all classes; the toolbox is no dependency of this project.
Printed beside the times: the scores' median, their rank correlation, and the 10, 50 and 90 % quantiles of their ratio.
`python bench/clever.py [--images 50]`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
import warnings
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from hardener.measures.clever import Search, measure_clever
from hardener.threat import NORMS

BATCHES, DRAWS = 50, 20


class Residual(nn.Module):
    """Adds a convolution to what it is given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        """(N, width, H, W) -> the same shape."""
        changed: Tensor = self.body(images)
        return images + changed


def digits_problem(count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A small network trained on 8x8 digits."""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    return trained(model, *digits(), count, epochs=15)


def residual_problem(count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A residual network trained on the same digits, enlarged to 3x32x32."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), *[Residual(8) for _ in range(2)], nn.AdaptiveAvgPool2d(4), nn.Flatten(),
        nn.Linear(128, 10),
    )  # fmt: skip
    images, labels = digits()
    return trained(model, interpolate(images, 32, mode="bilinear").repeat(1, 3, 1, 1), labels, count, epochs=5)


def digits() -> tuple[Tensor, Tensor]:
    """1797 images, (N, 1, 8, 8) in [0, 1], and their labels."""
    data: Any = load_digits()
    return torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16, torch.tensor(data.target)


def trained(
    model: nn.Module, images: Tensor, labels: Tensor, count: int, *, epochs: int
) -> tuple[nn.Module, Tensor, Tensor]:
    """The network after training on the first 1200, and images that it was not trained on and gets right."""
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(1200).split(64):
            optimizer.zero_grad()
            cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
    return kept(model.eval(), images[1200:], labels[1200:], count)


@torch.no_grad()
def kept(model: nn.Module, images: Tensor, labels: Tensor, count: int) -> tuple[nn.Module, Tensor, Tensor]:
    """The first images that the model gets right."""
    right = model(images).argmax(dim=1).eq(labels).nonzero().squeeze(1)[:count]
    return model, images[right], labels[right]


def ours(model: nn.Module, images: Tensor, labels: Tensor, norm: str, slack: float) -> tuple[float, np.ndarray]:
    """Seconds and scores."""
    started = time.process_time()
    _, scores = measure_clever(
        model,
        images,
        labels,
        Search(NORMS[norm].clever_radius, batches_per_image=BATCHES, draws_per_batch=DRAWS, slack=slack),
        norm=norm,
        generator=torch.Generator().manual_seed(0),
    )
    return time.process_time() - started, scores.numpy()


def toolbox(model: nn.Module, images: Tensor, norm: str) -> tuple[float, np.ndarray]:
    """Seconds and scores of the toolbox; its pool of points is as large as all batches together."""
    metrics = importlib.import_module("art.metrics")
    estimators = importlib.import_module("art.estimators.classification")
    classifier = estimators.PyTorchClassifier(
        model, nn.CrossEntropyLoss(), tuple(images.shape[1:]), 10, clip_values=(0.0, 1.0)
    )
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = [
            metrics.clever_u(
                classifier,
                image,
                BATCHES,
                DRAWS,
                NORMS[norm].clever_radius,
                norm={"linf": np.inf, "l2": 2}[norm],
                pool_factor=BATCHES,
                verbose=False,
            )
            for image in images.numpy()
        ]
    return time.process_time() - started, np.array(scores)


def show(name: str, seconds: float, scores: np.ndarray, other: tuple[float, np.ndarray] | None) -> None:
    """Print a line."""
    line = f"  {name:26} {seconds:8.2f} s   median score {np.median(scores):.4f}"
    if other is not None:
        line += f"   time / ART {seconds / other[0]:.3f}   rank correlation {spearmanr(scores, other[1]).statistic:.3f}"
        line += f"   score / ART {' '.join(f'{q:.2f}' for q in np.quantile(scores / other[1], (0.1, 0.5, 0.9)))}"
    print(line, flush=True)


def main() -> None:
    """Print a block a model and norm."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=50)
    count = parser.parse_args().images
    torch.manual_seed(0)
    np.random.seed(0)
    known = importlib.util.find_spec("art") is not None
    print(f"n = {count}, {BATCHES} x {DRAWS} points an image, 9 targets, {torch.get_num_threads()} threads, CPU")
    for title, problem in (
        ("digits, 1x8x8, trained", digits_problem),
        ("residual, 3x32x32, trained", residual_problem),
    ):
        model, images, labels = problem(count)
        for norm in NORMS if problem is digits_problem else ["linf"]:
            print(f"{title}, {norm}")
            other = toolbox(model, images, norm) if known else None
            if other is not None:
                show("ART", *other, None)
            show("hardener", *ours(model, images, labels, norm, 1.5), other)
            show("hardener, no target dropped", *ours(model, images, labels, norm, float("inf")), other)


if __name__ == "__main__":
    main()
