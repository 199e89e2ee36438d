"""What is known by name and not read as it is: answered with the command that converts it."""

from __future__ import annotations

import shlex
from pathlib import Path

from hardener.config.reading import Reading
from hardener.data.brought import Brought
from hardener.data.conversions import CONVERSIONS
from hardener.data.conversions.run import conversion_of
from hardener.errors import HardenerError

_FILES = {
    (".pkl", ".pickle", ".pt", ".pth"): "a pickle, which runs any code when it is read. Load it with the program that "
    "wrote it, and save plain arrays: numpy.savez('data.npz', images=..., labels=...)",
    (".npy",): "one array and no labels. Save both: numpy.savez('data.npz', images=numpy.load('{name}'), labels=...)",
    (".7z",): "packed by 7-Zip. Unpack it, 7z x {name}, and pass the folder",
    (".rar",): "packed by RAR. Unpack it, unrar x {name}, and pass the folder",
    (".xlsx", ".xls", ".ods"): "a workbook. Save its sheet as CSV, and pass that",
}


class Foreign:
    """COCO, YOLO, Pascal VOC, TFRecord, LMDB, HDF5, pickles, and some kinds of files."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is one of them."""
        return root.exists() and (_kind(root) is not None or conversion_of(root) is not None)

    def read(self, root: Path, reading: Reading) -> Brought:
        """Say what it is, and what to do.

        Raises:
            HardenerError: always.
        """
        found = conversion_of(root)
        if found is None:
            raise HardenerError(f"{root} is {(_kind(root) or '').format(name=root.name)}.")
        name, _ = found
        target = f"{root.name.partition('.')[0] or 'data'}-classes"
        way = shlex.join(["hardener", "convert", str(root), target])
        raise HardenerError(
            f"{root} is {CONVERSIONS[name].line}. It is not read as it is. Convert it into class folders: {way}; then "
            f"pass --data {shlex.quote(target)}."
        )


def _kind(root: Path) -> str | None:
    if not root.is_file():
        return None
    return next((told for endings, told in _FILES.items() if root.name.lower().endswith(endings)), None)
