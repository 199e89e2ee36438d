"""What `hardener doctor` tries for real: a training step, an attack, an export."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hardener.cli.console import debugging

if TYPE_CHECKING:
    from torch import Tensor

    from hardener.models.normalize import ImageClassifier


def self_test() -> Iterator[tuple[str, str, bool]]:
    """Train, attack and export a tiny network, each on its own so that one fault hides no other.

    Yields:
        The part's name, what was seen, and whether it is a fault.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    parts: tuple[tuple[str, Callable[[str], str]], ...] = (
        ("training step", _train),
        ("attack", _attack),
        ("export", _export),
    )
    for name, part in parts:
        started = time.monotonic()
        try:
            found = part(device)
        except Exception as error:  # whatever it is, the user wants to read it here
            if debugging():
                raise
            yield name, f"{type(error).__name__}: {error}", True
        else:
            yield name, f"{found} ({device}, {time.monotonic() - started:.1f} s)", False


def _network(device: str) -> tuple[ImageClassifier, Tensor, Tensor]:
    import torch
    from torch import nn

    from hardener.models.normalize import ImageClassifier

    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16 * 16, 3))
    classifier = ImageClassifier(layers, mean=(), std=(), classes=("a", "b", "c")).to(device)
    return classifier, torch.rand(16, 3, 16, 16, device=device), torch.arange(16, device=device) % 3


def _train(device: str) -> str:
    import torch
    from torch.nn.functional import cross_entropy

    classifier, images, labels = _network(device)
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.05)
    losses = []
    for _ in range(10):
        loss = cross_entropy(classifier(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    if not losses[-1] < losses[0]:
        raise RuntimeError(f"ten steps did not lower the loss: {losses[0]:.3f} to {losses[-1]:.3f}")
    return f"ten steps lower the loss from {losses[0]:.2f} to {losses[-1]:.2f}"


def _attack(device: str) -> str:
    from hardener.attacks.pgd import pgd

    classifier, images, _ = _network(device)
    classifier.eval()
    labels = classifier(images).argmax(dim=1)
    found = pgd(classifier, images, labels, norm="linf", eps=0.1, steps=10)
    fallen = int((classifier(found).argmax(dim=1) != labels).sum())
    if float((found - images).abs().max()) > 0.1 + 1e-6:
        raise RuntimeError("the attack left its ball")
    return f"PGD changes {fallen} of {len(labels)} answers of a random network"


def _export(device: str) -> str:
    from hardener.exporters.onnx import export_onnx
    from hardener.exporters.parity import compare

    classifier, images, _ = _network("cpu")
    shown = (images * 255).round().byte()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(classifier.eval(), path, height=16, width=16, channels=3, metadata={})
        parity = compare(classifier, path, shown)
    return f"ONNX Runtime gives torch's answers, largest difference {parity.largest_logit_difference:.1e}"
