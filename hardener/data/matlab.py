"""MATLAB files that hold images, classes or splits. scipy reads them in a process of its own, since its reader can end
the process on a file that is damaged."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardener.errors import HardenerError

Variables = dict[str, NDArray[Any]]


def variables(sources: Mapping[str, Path | bytes]) -> dict[str, Variables]:
    """Return the variables of files: arrays of numbers, and of texts; nothing in them is run.

    Args:
        sources: what messages call a file -> where it lies, or what it holds.
    Returns:
        Of each file its variables, without axes of one; of records an array for each field, `NAME.FIELD`.
    Raises:
        HardenerError: scipy is not installed, or a file cannot be read.
    """
    if importlib.util.find_spec("scipy") is None:
        raise HardenerError(f"{next(iter(sources))} is read by scipy. Install it: pip install 'hardener[convert]'.")
    with tempfile.TemporaryDirectory() as folder:
        places = [
            source if isinstance(source, Path) else _written(Path(folder, f"{place}.mat"), source)
            for place, source in enumerate(sources.values())
        ]
        targets = [Path(folder, f"{place}.npz") for place in range(len(places))]
        pairs = [str(path.absolute()) for pair in zip(places, targets, strict=True) for path in pair]
        words = [sys.executable, "-P", "-m", "hardener.data.matlab", *pairs]
        path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
        subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, check=False)
        found = {}
        for shown, target in zip(sources, targets, strict=True):
            if not target.is_file():
                raise HardenerError(f"{shown} is no MATLAB file that can be read. Fetch it again.")
            with np.load(target, allow_pickle=False) as arrays:
                found[shown] = {name: arrays[name] for name in arrays.files}
    return found


def _written(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    return file


def _convert(pairs: Sequence[str]) -> None:
    """Write the variables of each file to the one behind it."""
    from scipy.io import loadmat

    for source, target in zip(pairs[::2], pairs[1::2], strict=True):
        own = {name: value for name, value in loadmat(source, squeeze_me=True).items() if not name.startswith("__")}
        arrays: dict[str, Any] = {name: array for key, value in own.items() for name, array in _plain(key, value)}
        np.savez(f"{target}.part.npz", **arrays)
        os.replace(f"{target}.part.npz", target)


def _plain(name: str, value: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    array = np.asarray(value)
    for field in array.dtype.names or ():
        yield from _plain(f"{name}.{field}", np.array(np.ravel(array[field]).tolist()))
    if array.dtype.kind == "O":
        array = np.array([cell for cell in np.ravel(array).tolist() if isinstance(cell, str | int | float)])
    if array.dtype.kind in "biufU":
        yield name, array


if __name__ == "__main__":
    _convert(sys.argv[1:])
