"""SVHN's cropped digits: MATLAB files of images, train_32x32.mat and test_32x32.mat."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from hardener.config.reading import Reading
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.matlab import variables
from hardener.data.sources._arrays import class_order, group_of
from hardener.errors import HardenerError

_NAME = re.compile(r"(?P<split>train|test|extra)_32x32\.mat")


class Svhn:
    """A folder with such files, or one of them; `extra_32x32.mat` is read where it is passed by its name."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a file, or a folder with a training file."""
        return (root / "train_32x32.mat").is_file() if root.is_dir() else _NAME.fullmatch(root.name) is not None

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images of each file; the class 10 is the digit 0.

        Raises:
            HardenerError: scipy is not installed, or a file cannot be read.
        """
        folder = root if root.is_dir() else root.parent
        names = ["train_32x32.mat", "test_32x32.mat"] if root.is_dir() else [root.name]
        files = {str(folder / name): folder / name for name in names if (folder / name).is_file()}
        groups: dict[SplitName | None, Group] = {}
        for shown, arrays in variables(files).items():
            file = files[shown]
            images, labels = (arrays.get(name, np.zeros(())) for name in "Xy")
            if images.ndim != 4 or labels.dtype.kind not in "iuf":
                raise HardenerError(
                    f"{file} holds no X of images, (32, 32, 3, N), and y of labels, as SVHN's files do."
                )
            split: SplitName = "train" if file.name.startswith("train") else "test"
            groups[split if root.is_dir() else None] = group_of(
                file, file.name, images.transpose(3, 0, 1, 2), np.ravel(labels) % 10, None
            )
        spare = folder / "extra_32x32.mat"
        more = (f"{spare.name} is left out: pass it by its name, alone",) if root.is_dir() and spare.is_file() else ()
        return Brought(groups, classes=class_order(list(groups.values())), notes=more)
