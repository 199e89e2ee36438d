"""HDF5: arrays of images and of labels, in one file or in two -> class folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hardener.data.conversions._made import NO_PAIR, Made, Skipped, ending_of, library, names_in
from hardener.data.shards import split_of_shard
from hardener.data.sources._arrays import group_of
from hardener.data.sources.npz import pairs, unpaired
from hardener.errors import HardenerError

_ENDINGS = (".h5", ".hdf5", ".hdf", ".he5")


class Hdf5:
    """A file with images and labels, or x and y in two files, as PatchCamelyon's; or a folder of them."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is such a file or folder, by names."""
        if root.is_file():
            return root.name.lower().endswith(_ENDINGS)
        names = names_in(root)  # beside folders such a file may be the weights of a network
        return any(name.lower().endswith(_ENDINGS) for name in names) and not any((root / n).is_dir() for n in names)

    def made(self, root: Path, images_root: Path | None) -> Iterator[Made | Skipped]:
        """Yield each row of each array of images.

        Raises:
            HardenerError: h5py is not installed, or no arrays belong together.
        """
        reader = library("h5py", root)
        files = [root] if root.is_file() else sorted(p for p in root.iterdir() if p.name.lower().endswith(_ENDINGS))
        images = [path for path in files if _partner(path) is None or _partner(path) != path]
        paired = any(map(_partner, files))
        found = 0
        for path in images:
            if root.is_dir() and _is_labels(path):
                continue
            if paired and _partner(path) is None and not pairs(_names(reader, path)):
                yield Skipped(NO_PAIR, path.name)  # masks beside x and y
                continue
            found += 1
            yield from _rows(reader, path, divided=root.is_dir())
        if not found:
            raise HardenerError(f"{root} holds labels and no images. Pass the file of images; its labels lie beside.")


def _is_labels(path: Path) -> bool:
    return re.search(r"[_.-](?:y|labels?)$", path.stem) is not None


def _partner(path: Path) -> Path | None:
    """Return the file of labels beside one of images: ..._x.h5 and ..._y.h5."""
    for one, other in (("x", "y"), ("images", "labels"), ("image", "label")):
        stem = re.sub(rf"(?<=[_.-]){one}$", other, path.stem)
        if stem != path.stem and path.with_name(stem + path.suffix).is_file():
            return path.with_name(stem + path.suffix)
    return None


def _rows(library: Any, path: Path, *, divided: bool) -> Iterator[Made | Skipped]:
    arrays = _arrays(library, path)
    partner = _partner(path)
    own = split_of_shard(path.name) if divided else None
    if partner is not None:
        (images,), (labels,) = list(arrays.values())[:1], list(_arrays(library, partner).values())[:1]
        members = [(own, images, labels)]
    else:
        found = pairs(list(arrays))
        members = [(split or own, arrays[one], arrays[other]) for split, one, other in found]
        known = {name: array for name, array in arrays.items() if hasattr(array, "ndim")}
        for name in unpaired(known, found) if found else ():
            yield Skipped(NO_PAIR, f"{path.name}/{name}")
    if not members:
        raise HardenerError(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}, and no arrays that belong together, such as "
            "images and labels, or train_images and train_labels. Rename them with h5py."
        )
    for split, images, labels in members:
        group = group_of(path, path.stem, images, np.asarray(labels).reshape(len(labels), -1).squeeze(), None)
        for name, label in zip(group.paths, group.names, strict=True):
            data = group.store.read(path, name)
            yield Made(split, label, name.replace("/", "_"), ending_of(data, str(path)), data)


def _names(library: Any, path: Path) -> list[str]:
    found: list[str] = []
    try:
        with library.File(path, "r") as file:
            file.visititems(lambda name, item: found.append(name) if hasattr(item, "dtype") else None)
    except OSError as error:
        raise HardenerError(f"{path} is no HDF5 file that can be read: {error}.") from None
    return found


def _arrays(library: Any, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        with library.File(path, "r") as file:
            file.visititems(lambda name, item: found.update({name: item[()]}) if hasattr(item, "dtype") else None)
    except OSError as error:
        raise HardenerError(f"{path} is no HDF5 file that can be read: {error}.") from None
    texts = {name: array for name, array in found.items() if getattr(array, "dtype", np.dtype(int)).kind in "OS"}
    told = {name: np.array([value.decode() for value in array]) for name, array in texts.items()}
    return {**found, **told}
