"""What is known by name and not read as it is: answered with the command that converts it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from hardener.config.reading import Reading
from hardener.data.brought import Brought
from hardener.data.conversions import CONVERSIONS
from hardener.data.conversions.run import conversion_of
from hardener.data.place import Folder
from hardener.data.sources.image_folder import ImageFolder
from hardener.data.sources.manifest import Manifest
from hardener.errors import HardenerError

_TOLD_BY = {"voc": ".xml", "coco": ".json", "yolo": ".txt"}
"""How the files end that tell of boxes beside images."""
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
        if name == "coco" and root.is_file() and reading.label_column is not None:  # whole images, each of one class
            return Manifest().read(root, reading)
        if root.is_dir() and name in _TOLD_BY and _is_left_out(root, _TOLD_BY[name], reading):
            return replace(ImageFolder().read(root, reading), kind="image-folder")
        target = f"{root.name.partition('.')[0] or 'data'}-classes"
        counted_from = [] if reading.images_root is None else ["--images-root", reading.images_root]
        way = shlex.join(["hardener", "convert", str(root), target, *counted_from])
        whole = "Whole images are taken by --label-column category, if the boxes of each are of one class. "
        kind = f"{CONVERSIONS[name].line}. {whole if name == 'coco' and root.is_file() else ''}"
        raise HardenerError(
            f"{root} is {kind}It is not read as it is. Convert it into class folders: {way}; "
            f"then pass --data {shlex.quote(target)}."
        )


def _is_left_out(root: Path, ending: str, reading: Reading) -> bool:
    """Tell whether the user leaves out the files that tell of boxes, and images are left."""
    if not reading.ignore:
        return False
    tree = Folder(root).tree(reading.ignore)
    return bool(tree.images) and not any(other.lower().endswith(ending) for other in tree.others)


def _kind(root: Path) -> str | None:
    if not root.is_file():
        return None
    return next((told for endings, told in _FILES.items() if root.name.lower().endswith(endings)), None)
