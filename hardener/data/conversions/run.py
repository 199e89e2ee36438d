"""A data set that is not read as it is -> a folder of class folders."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from hardener.config.data_findings import left_out
from hardener.data.brought import SplitName
from hardener.data.conversions import CONVERSIONS
from hardener.data.conversions._made import Made, Skipped, just_below
from hardener.errors import HardenerError
from hardener.progress import Reporter

_FOLDERS = {"train": "train", "validation": "val", "test": "test", None: ""}


class Converter(Protocol):
    """One kind of data set."""

    def recognises(self, root: Path) -> bool:
        """Tell whether a path is of this kind; it reads little."""
        ...

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made | Skipped]:
        """Yield each image with its class, and what is passed over.

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
        HardenerError: nothing that is known, the target exists, or what cannot be read; or images of no known split
            beside those of splits, or two classes that one folder would hold.
    """
    if not root.exists():
        raise HardenerError(f"there is no {root}.")
    found = conversion_of(root)
    if found is None:
        raise HardenerError(f"{root} is nothing that is converted{_what_is(root, target)}")
    if target.exists():
        raise HardenerError(f"{target} is there already. Name a folder that is not.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise HardenerError(f"{target.parent} takes no new folder: {error.strerror}.") from None
    try:
        writer = _Writer(root, work)
        with reporter.track("converting", 0, "images") as advance:
            for made in found[1].made(root, images_root):
                if isinstance(made, Skipped):
                    writer.skipped.setdefault(made.reason, []).append(made.name)
                else:
                    writer.write(made)
                    advance(1)
        for reason, names in writer.skipped.items():
            reporter.warn(f"left out: {left_out(reason, names)}")
        if not writer.counts:
            raise HardenerError(f"{root} holds no image with a class.")
        writer.pad_numbers()
        work.chmod(0o755)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return writer.counts


def _what_is(root: Path, target: Path) -> str:
    """Name what is converted: something in a folder, with the command; else all that is known."""
    way = next((path for path in just_below(root) if conversion_of(path) is not None), None)
    if way is None:
        return f". What is: {'; '.join(entry.line for entry in CONVERSIONS.values())}."
    return f", and {way.relative_to(root)} in it is: {shlex.join(['hardener', 'convert', str(way), str(target)])}"


class _Writer:
    """Writes class folders, and keeps what was written: how many images of each class, and the first of each split."""

    def __init__(self, root: Path, work: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.skipped: dict[str, list[str]] = {}
        self._root, self._work = root, work
        self._labels: dict[str, str] = {}
        self._first: dict[SplitName | None, str] = {}

    def write(self, made: Made) -> None:
        """Write an image.

        Raises:
            HardenerError: its class would share a folder with another, or it is of no split beside others that are.
        """
        name = _safe(made.label)
        other = self._labels.setdefault(name, made.label)
        if other != made.label:
            raise HardenerError(
                f"{self._root} has the classes {other!r} and {made.label!r}, and both would be the folder {name}. Give "
                "one of them another name."
            )
        self._first.setdefault(made.split, made.name)
        if None in self._first and len(self._first) > 1:
            split = next(split for split in self._first if split)
            raise HardenerError(
                f"{self._root} has images of the {split} split, such as {self._first[split]}, beside others of no "
                f"known split, such as {self._first[None]}. Name what they lie in after its split: train, val or test; "
                "or move it elsewhere."
            )
        _put(self._work / _FOLDERS[made.split] / name, made)
        self.counts[made.label] += 1

    def pad_numbers(self) -> None:
        """Write classes that are numbers in equally many digits: folders are sorted as texts, 10 before 2."""
        width = max(map(len, self._labels))
        padded = {name: name.zfill(width) for name in self._labels}
        if not all(map(str.isdecimal, padded)) or len(set(padded.values())) < len(padded):
            return
        for folder in {_FOLDERS[split] for split in self._first}:
            for name in sorted(padded, key=len, reverse=True):
                if (path := self._work / folder / name).is_dir():
                    path.rename(path.with_name(padded[name]))
        self.counts = Counter({padded[name]: self.counts[label] for name, label in self._labels.items()})


def _put(folder: Path, made: Made) -> None:
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
