"""A NumPy archive of images and labels, such as MedMNIST's or Keras's mnist.npz."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardener.config.reading import Reading, ignoring
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.sources._arrays import class_order, group_of, texts
from hardener.data.split_names import first_split, split_of
from hardener.data.tree import is_passed_over
from hardener.errors import HardenerError

_IMAGES = r"images?|x|data|imgs?|pixels"
_LABELS = r"labels?|y|targets?|classes"


class Npz:
    """Arrays in pairs: train_images and train_labels, x_test and y_test, or images and labels alone."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a file, by its name."""
        return root.is_file() and root.suffix.lower() == ".npz"

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images of each pair of arrays.

        Raises:
            HardenerError: the file is damaged, holds pickled objects, or has no such pair.
        """
        arrays = _arrays(root)
        names = arrays.pop("class_names", arrays.pop("label_names", None))
        arrays = {name: array for name, array in arrays.items() if not is_passed_over(name, reading.ignore)}
        found = pairs(list(arrays))
        _refuse_whole_beside_train(root, found)
        if not found:
            raise HardenerError(
                f"{root} holds {', '.join(sorted(arrays)) or 'nothing'}. Name arrays in pairs: train_images and "
                "train_labels, val_images and val_labels, test_images and test_labels; or images and labels."
            )
        told = None if names is None else texts(names.reshape(-1))
        groups: dict[SplitName | None, Group] = {
            split: group_of(root, images, arrays[images], arrays[labels], told) for split, images, labels in found
        }
        return Brought(
            groups,
            classes=class_order(list(groups.values())) if told is None else tuple(told),
            doubts=tuple(
                f"{root}: array {name} has {len(arrays[name]):,} rows, and no images or labels go with it by its name: "
                "it is left out"
                for name in unpaired(arrays, found)
            ),
        )


def _arrays(root: Path) -> dict[str, NDArray[Any]]:
    try:
        with root.open("rb") as file, np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except ValueError as error:
        if "pickle" in str(error).lower() or "object arrays" in str(error).lower():
            raise HardenerError(
                f"{root} holds pickled objects, which run any code when they are read. Save plain arrays: "
                "numpy.savez(FILE, train_images=..., train_labels=...), with labels of an integer type."
            ) from None
        raise HardenerError(f"{root} is no NumPy archive that can be read: {error}.") from None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, RuntimeError) as error:  # encrypted, unknown
        raise HardenerError(f"{root} is no NumPy archive that can be read: {error}.") from None


def pairs(names: list[str]) -> list[tuple[SplitName | None, str, str]]:
    """Find the arrays that belong together, each pair with its split, by their names."""
    images, labels = {}, {}
    for name in names:
        kind, split = _kind(name)
        if kind == "images":
            images[split] = name
        elif kind == "labels":
            labels[split] = name
    return [(split, images[split], labels[split]) for split in images if split in labels]


def _kind(name: str) -> tuple[str, SplitName | None]:
    """Return what an array holds by its name, images, labels or something else, and its split."""
    parts = [part for part in re.split(r"[_\W]+", name.lower()) if part]
    split = first_split(parts)
    rest = "_".join(part for part in parts if split_of(part) is None)
    return "images" if re.fullmatch(_IMAGES, rest) else "labels" if re.fullmatch(_LABELS, rest) else "", split


def _refuse_whole_beside_train(root: Path, members: list[tuple[SplitName | None, str, str]]) -> None:
    """See that there are no images of no split beside those of train.

    Raises:
        HardenerError: there are.
    """
    by_split = {split: pair for split, *pair in members}
    if None in by_split and "train" in by_split:
        train, others = by_split["train"], by_split[None]
        way = ignoring(others)
        raise HardenerError(
            f"{root} has arrays of splits ({', '.join(train)}) beside others ({', '.join(others)}): "
            f"pass {way} to leave those out."
        )


def unpaired(arrays: Mapping[str, NDArray[Any]], members: Iterable[tuple[SplitName | None, str, str]]) -> list[str]:
    """Return arrays that look like images or labels and are in none of `pairs`: x_test without y_test, X_train_aug."""
    taken = {name for _, *pair in members for name in pair}
    return [
        name
        for name, array in arrays.items()
        if name not in taken and (array.ndim > 2 or (array.ndim and _kind(name)[0]))
    ]
