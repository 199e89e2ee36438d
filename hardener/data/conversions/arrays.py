"""Arrays of images and of labels in a MATLAB file, or in NumPy files side by side -> class folders. The labels may
stand in a text file, one on each line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardener.data.brought import SplitName
from hardener.data.conversions._made import NO_PAIR, Made, Skipped, ending_of, library, names_in
from hardener.data.matlab import variables
from hardener.data.sources._arrays import group_of
from hardener.data.sources.npz import pairs, unpaired
from hardener.data.tables.content import lines_of
from hardener.errors import HardenerError

_TEXTS = (".txt", ".csv")
_HEADER = re.compile(r"labels?|y|targets?|class(?:es)?", re.I)
Arrays = Mapping[str, NDArray[Any]]


class PlainArrays:
    """A MATLAB file with X and y; a folder of x_train.npy, y_train.npy and the like, or one of these files; images.npy
    with labels.txt or labels.csv beside it."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a file or folder, by names."""
        return root.suffix.lower() == ".mat" if root.is_file() and root.suffix.lower() != ".npy" else bool(_files(root))

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made | Skipped]:
        """Yield each image of each array.

        Raises:
            HardenerError: a library is not installed, a file cannot be read, or no arrays belong together.
        """
        matlab = root.suffix.lower() == ".mat"
        arrays = _of_matlab(root) if matlab else {path.stem: _read(path) for path in _files(root)}
        members = pairs(list(arrays))
        if not members:
            raise HardenerError(
                f"{root} holds {', '.join(sorted(arrays)) or 'nothing'}, and no arrays that belong together. Call them "
                "images and labels, or train_images and train_labels, test_images and test_labels, and so on."
            )
        for split, one, other in members:
            labels = (
                arrays[other].reshape(len(arrays[other]), -1).squeeze() if arrays[other].ndim > 1 else arrays[other]
            )
            images = _first_axis(arrays[one], len(labels)) if matlab else arrays[one]
            yield from _each(root, split, one, images, labels)
        spare = unpaired(arrays, members) if matlab else _spare(root)
        for name in spare:
            yield Skipped(NO_PAIR, name)


def _each(root: Path, split: SplitName | None, name: str, images: NDArray[Any], labels: NDArray[Any]) -> Iterator[Made]:
    group = group_of(root, name, images, labels, None)
    for path, label in zip(group.paths, group.names, strict=True):
        data = group.store.read(root, path)
        yield Made(split, label, path.replace("/", "_"), ending_of(data, str(root)), data)


def _files(root: Path) -> list[Path]:
    """Return the NumPy files of which some belong together; none beside folders, or images."""
    folder = root.parent if root.is_file() else root
    names = [name for name in names_in(folder) if name.lower().endswith((".npy", *_TEXTS))]
    kinds = {name[:-4]: name.lower()[-4:] for name in reversed(names)}  # of one stem, the array
    if root.is_dir() and any((root / name).is_dir() for name in names_in(root) if not name.startswith(".")):
        return []
    told = {stem for _, *two in pairs(list(kinds)) if kinds[two[0]] == ".npy" for stem in two}
    return [folder / f"{stem}{kinds[stem]}" for stem in kinds if stem in told]


def _spare(root: Path) -> list[str]:
    """Return the arrays of a folder that belong to no other."""
    names = names_in(root) if root.is_dir() else []
    read = {path.name for path in _files(root)}
    return [name for name in names if name.lower().endswith(".npy") and name not in read]


def _read(path: Path) -> NDArray[Any]:
    return _of_text(path) if path.suffix.lower() in _TEXTS else _of_numpy(path)


def _of_text(path: Path) -> NDArray[Any]:
    """Read a label from each line, after a header if there is one."""
    try:
        lines = [line.strip() for line in lines_of(path.read_text("utf-8-sig")) if line.strip()]
    except UnicodeDecodeError:
        raise HardenerError(f"{path} is not UTF-8. Write a label on each line, in the order of the images.") from None
    divided = next((line for line in lines if re.search(r"[,;\t|]", line)), None)
    if divided is not None:
        raise HardenerError(
            f"{path} has several columns ({divided[:40]}). Keep the one of the labels, in the order of the images."
        )
    numbers = [re.fullmatch(r"-?\d+(?:\.0+)?", line) is not None for line in lines]
    headed = bool(lines) and (_HEADER.fullmatch(lines[0]) is not None or (not numbers[0] and all(numbers[1:])))
    return np.array(lines[headed:], dtype=np.str_)


def _of_numpy(path: Path) -> NDArray[Any]:
    try:
        found = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise HardenerError(f"{path} is no NumPy array that can be read, and pickled ones are not: {error}.") from None
    assert isinstance(found, np.ndarray)
    return found


def _of_matlab(path: Path) -> Arrays:
    with path.open("rb") as file:
        if not file.read(10).startswith(b"MATLAB 7.3"):
            return variables({str(path): path})[str(path)]
    try:
        with library("h5py", path).File(path, "r") as file:  # of version 7.3: HDF5, its axes the other way round
            return {name: item[()].T.squeeze() for name, item in file.items() if hasattr(item, "dtype")}
    except OSError as error:
        raise HardenerError(f"{path} is no MATLAB file that can be read: {error}. Fetch it again.") from None


def _first_axis(images: NDArray[Any], count: int) -> NDArray[Any]:
    """Put the axis of images first; MATLAB's stands last, (H, W, C, N), as a rule."""
    return np.moveaxis(images, -1, 0) if images.ndim > 2 and images.shape[-1] == count else images
