"""A data set that is not read as it is -> a folder of class folders."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from hardener.data.conversions import CONVERSIONS
from hardener.data.conversions._made import Made
from hardener.errors import HardenerError
from hardener.progress import Reporter

_FOLDERS = {"train": "train", "validation": "val", "test": "test", None: ""}


class Converter(Protocol):
    """One kind of data set."""

    def recognises(self, root: Path) -> bool:
        """Tell whether a path is of this kind; it reads little."""
        ...

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made]:
        """Yield each image with its class.

        Raises:
            HardenerError: what cannot be read.
        """
        ...


def conversion_of(root: Path) -> tuple[str, Converter] | None:
    """Return the name of what a path is, and what converts it; None for anything else."""
    for name, entry in CONVERSIONS.items():
        converter: Converter = entry.load()()
        if converter.recognises(root):
            return name, converter
    return None


def convert(root: Path, target: Path, images_root: Path | None, reporter: Reporter) -> Counter[str]:
    """Write the images of a data set into class folders; the target is there once all are written.

    Args:
        images_root: where the images lie, if not where the data set says.
    Returns:
        How many images each class has.
    Raises:
        HardenerError: nothing that is known, the target exists, or what cannot be read.
    """
    if not root.exists():
        raise HardenerError(f"there is no {root}.")
    found = conversion_of(root)
    if found is None:
        known = "; ".join(entry.line for entry in CONVERSIONS.values())
        raise HardenerError(f"{root} is nothing that is converted. What is: {known}.")
    if target.exists():
        raise HardenerError(f"{target} is there already. Name a folder that is not.")
    counts: Counter[str] = Counter()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise HardenerError(f"{target.parent} takes no new folder: {error.strerror}.") from None
    try:
        with reporter.track("converting", 0, "images") as advance:
            for made in found[1].made(root, images_root):
                _write(work, made)
                counts[made.label] += 1
                advance(1)
        if not counts:
            raise HardenerError(f"{root} holds no image with a class.")
        work.chmod(0o755)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return counts


def _write(work: Path, made: Made) -> None:
    folder = work / _FOLDERS[made.split] / _safe(made.label)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_safe(made.name)}{made.ending}"
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{_safe(made.name)}-{number}{made.ending}"
    path.write_bytes(made.data)


def _safe(name: str) -> str:
    """Return a name that leads nowhere else and is not hidden."""
    return re.sub(r"[/\\\0]", "_", name).strip().lstrip(".")[:150] or "_"
