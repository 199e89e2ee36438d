"""Small models of many kinds, trained in seconds to a minute each, to hold suites of attacks against each other.

`python bench/fleet.py FOLDER [--cifar DIR]` trains those that are not there yet. Digits come with scikit-learn;
`--cifar` is an image folder of CIFAR-10 with train/ and test/, without which the models for it are left out.
`--seed`: of the trainings. What was chosen on the models of one is judged on those of another.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

import hardener

Arrays = dict[str, NDArray[Any]]
HERE = Path(__file__).resolve().parent
SMALL = HERE.parent / "examples" / "small_cnn.py"
CIFAR_SMALL, CIFAR_LARGER = (HERE / "fleet_networks.py", {"width": 16}), (HERE / "fleet_networks.py", {"width": 32})
DIGITS_EPS, DIGITS_L2, DIGITS_L1 = 0.1, 0.8, 2.0


@dataclass(frozen=True)
class Member:
    """A model: what it learns, by which recipe, and what it will be attacked with.

    Attributes:
        data: `digits`, `pairs` (two digits beside each other: 100 classes), `parity` (2 classes) or `cifar`.
        after: the name of the member whose weights it starts from.
    """

    name: str
    data: str
    recipe: str
    epochs: int
    norm: str = "linf"
    eps: float = DIGITS_EPS
    settings: Mapping[str, object] = field(default_factory=dict)
    after: str | None = None
    model: Path = SMALL
    model_args: Mapping[str, Any] = field(default_factory=dict)


def _at(norm: str, eps: float, step_size: float) -> dict[str, object]:
    return {f"vicinity.adversarial.{key}": v for key, v in (("norm", norm), ("eps", eps), ("step_size", step_size))}


_LINF = {"vicinity.adversarial.eps": DIGITS_EPS}
_PGD = _at("linf", DIGITS_EPS, DIGITS_EPS / 4)
_CIFAR = {"augment.flip": True, "batch_size": 64, "precision": "bfloat16"}
FLEET = (
    Member("digits-natural", "digits", "natural", 15, eps=0.08),
    Member("digits-sprout", "digits", "sprout", 15, eps=0.12),
    Member("digits-fast-at", "digits", "fast-at", 15, eps=0.18, settings=_LINF),
    Member("digits-n-fgsm", "digits", "n-fgsm", 15, eps=0.18, settings=_LINF),
    Member("digits-hardened", "digits", "hardened", 10, eps=0.18, settings=_LINF, after="digits-sprout"),
    Member("digits-pgd-at", "digits", "pgd-at", 15, eps=0.17, settings=_PGD),
    Member("digits-trades", "digits", "trades", 15, eps=0.17, settings=_PGD),
    Member("digits-l2", "digits", "pgd-at", 12, norm="l2", eps=DIGITS_L2, settings=_at("l2", DIGITS_L2, 0.2)),
    Member("digits-l1", "digits", "n-fgsm", 15, norm="l1", eps=DIGITS_L1, settings=_LINF),
    Member("parity-pgd-at", "parity", "pgd-at", 15, eps=0.15, settings=_PGD),
    Member("parity-l2", "parity", "n-fgsm", 15, norm="l2", eps=DIGITS_L2, settings=_LINF),
    Member("pairs-fast-at", "pairs", "fast-at", 12, eps=0.05, settings={"vicinity.adversarial.eps": 0.05}),
    Member("pairs-l2", "pairs", "n-fgsm", 6, norm="l2", eps=0.5, settings={"vicinity.adversarial.eps": 0.05}),
    Member(
        "cifar-sprout", "cifar", "sprout", 6, eps=4 / 255, settings=_CIFAR,
        model=CIFAR_SMALL[0], model_args=CIFAR_SMALL[1],
    ),
    Member(
        "cifar-n-fgsm", "cifar", "n-fgsm", 6, eps=8 / 255, settings=_CIFAR,
        model=CIFAR_SMALL[0], model_args=CIFAR_SMALL[1],
    ),
    Member(
        "cifar-hardened", "cifar", "hardened", 5, eps=8 / 255, settings=_CIFAR, after="cifar-sprout",
        model=CIFAR_SMALL[0], model_args=CIFAR_SMALL[1],
    ),
    Member(
        "cifar-larger-l2", "cifar", "n-fgsm", 5, norm="l2", eps=0.5, settings=_CIFAR,
        model=CIFAR_LARGER[0], model_args=CIFAR_LARGER[1],
    ),
)  # fmt: skip


def digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """(N, 8, 8) uint8 and (N,), in a fixed shuffle."""
    found: Any = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    return np.round(found.images[order] * (255 / 16)).astype(np.uint8), found.target[order].astype(np.int64)


def _divided(images: NDArray[Any], labels: NDArray[Any], trained: int, names: list[str]) -> Arrays:
    return {
        "train_images": images[:trained],
        "train_labels": labels[:trained],
        "test_images": images[trained:],
        "test_labels": labels[trained:],
        "class_names": np.array(names),
    }


def arrays(data: str, cifar: Path | None) -> Arrays:
    """Return one of the data sets."""
    images, labels = digits()
    if data == "digits":
        return _divided(images, labels, 1297, [str(k) for k in range(10)])
    if data == "parity":
        return _divided(images, labels % 2, 1297, ["even", "odd"])
    if data == "pairs":
        rng = np.random.default_rng(1)
        whole = []
        for low, high, count in ((0, 1297, 6000), (1297, len(labels), 400)):  # no digit is in both splits
            left, right = rng.integers(low, high, (2, count))
            whole.append((np.concatenate([images[left], images[right]], axis=2), 10 * labels[left] + labels[right]))
        joined = [np.concatenate(column) for column in zip(*whole, strict=True)]
        return _divided(joined[0], joined[1], 6000, [f"{k:02d}" for k in range(100)])
    assert cifar is not None, "no CIFAR-10"
    names = sorted(folder.name for folder in (cifar / "train").iterdir())
    read: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    for split, count in (("train", 1200), ("test", 40)):
        pixels, truth = [], []
        for label, name in enumerate(names):
            for file in sorted((cifar / split / name).iterdir())[:count]:
                pixels.append(np.asarray(Image.open(file).convert("RGB")))
                truth.append(label)
        read[split] = np.stack(pixels), np.array(truth)
    both = [np.concatenate([read["train"][k], read["test"][k]]) for k in (0, 1)]
    return _divided(both[0], both[1], len(read["train"][1]), names)


def fleet(folder: Path, cifar: Path | None, seed: int = 0) -> list[Member]:
    """Train what is not there yet, and return all that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    members = [member for member in FLEET if member.data != "cifar" or cifar is not None]
    for member in members:
        file = folder / f"{member.data}.npz"
        if not file.is_file():
            found: Any = arrays(member.data, cifar)
            np.savez_compressed(file, **found)
        if (folder / member.name / "model.safetensors").is_file():
            continue
        started = time.perf_counter()
        hardener.train(
            member.model, file, recipe=member.recipe, out=folder, name=member.name, model_args=member.model_args,
            settings={"epochs": member.epochs, **member.settings},
            init=None if member.after is None else folder / member.after, seed=seed,
        )  # fmt: skip
        print(f"{member.name}: trained in {time.perf_counter() - started:.0f} s", flush=True)
    return members


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cifar", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    fleet(asked.folder, asked.cifar, asked.seed)
