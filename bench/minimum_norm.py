"""How near DeepFool, FMN and HopSkipJump come, in what processor time and with how many forward passes an image,
against foolbox's, on a small network trained on 8x8 digits: medians over the images, and the share that was fooled.

HopSkipJump's goal is the median of foolbox's 12 steps, with as many queries: foolbox reaches it for half the images.
`python bench/minimum_norm.py [--images 50]`.
"""

from __future__ import annotations

import argparse
import importlib
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hardener.attacks.deepfool import deepfool
from hardener.attacks.fmn import fmn
from hardener.attacks.hopskipjump import hopskipjump
from hardener.geometry import norm_geometry

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    foolbox: Any = importlib.import_module("foolbox")


class Counted(nn.Module):
    """Counts the images that pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.passed = 0

    def forward(self, images: Tensor) -> Tensor:
        """As the network."""
        self.passed += len(images)
        logits: Tensor = self.network(images)
        return logits


def problem(count: int) -> tuple[Counted, Tensor, Tensor]:
    """The network, and images that it was not trained on and gets right."""
    data: Any = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(data.target)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(15):
        for rows in torch.randperm(1200).split(64):
            optimizer.zero_grad()
            cross_entropy(network(images[rows]), labels[rows]).backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        right = 1200 + network(images[1200:]).argmax(dim=1).eq(labels[1200:]).nonzero().squeeze(1)[:count]
    return Counted(network).eval(), images[right], labels[right]


def main() -> None:
    """Print a line for each attack and norm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, images, labels = problem(arguments.images)
    bounded = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
    wanted = foolbox.Misclassification(labels)
    peers = foolbox.attacks

    def line(name: str, norm: str, attack: Callable[[], Tensor]) -> float:
        model.passed, started = 0, time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = attack()
        seconds, passes = time.process_time() - started, model.passed / len(images)
        with torch.no_grad():
            fooled = model.network(found).argmax(dim=1).ne(labels)
        median = float(norm_geometry(norm).size(found - images)[fooled].median())
        share = 100 * float(fooled.float().mean())
        print(f"{norm:5} {name:20} median {median:.4f}  fooled {share:3.0f} %  {seconds:6.2f} s  {passes:6.0f} passes")
        return median

    for norm, prefix in (("linf", "Linf"), ("l2", "L2")):
        given: dict[str, Any] = {"norm": norm, "eps": 0.0}
        deepfools = getattr(peers, f"{prefix}DeepFoolAttack")(steps=50, candidates=10)
        fmns = getattr(peers, "LInfFMNAttack" if norm == "linf" else "L2FMNAttack")(steps=100)
        walks = peers.HopSkipJumpAttack(steps=12, constraint=norm)
        line("deepfool", norm, partial(deepfool, model, images, labels, **given))
        line("  foolbox", norm, partial(deepfools.run, bounded, images, wanted))
        line("fmn", norm, partial(fmn, model, images, labels, **given))
        line("  foolbox", norm, partial(fmns.run, bounded, images, wanted))
        reached = line("  foolbox hopskipjump", norm, partial(walks.run, bounded, images, wanted))
        given |= {"eps": reached, "queries": model.passed // len(images), "generator": torch.Generator().manual_seed(0)}
        line("hopskipjump", norm, partial(hopskipjump, model, images, labels, **given))


if __name__ == "__main__":
    main()
