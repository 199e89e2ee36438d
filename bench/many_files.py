"""How long a start takes with many small files in many classes: the first, which decodes, and the second.

    python bench/many_files.py --images 100000 --classes 1000

Each stage of a second start stands on a line of its own. The files are links to a few images, so that making them takes
no time; the cache lies in a folder of its own and is removed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from hardener.data.cache import PixelCache
from hardener.data.data_set import DataSet, read_data_set
from hardener.data.loader import ImageShape, load_images
from hardener.data.survey import survey

Value = TypeVar("Value")
_LINKS = 1000  # to one file: file systems have a limit


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=1000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = _write(Path(folder, "imgs"), asked.images, asked.classes)
        for start in ("first", "second"):
            began = time.perf_counter()
            _start(root, PixelCache(10.0, print, folder=Path(folder, "cache")))
            print(f"{start} start: {time.perf_counter() - began:.2f} s")


def _start(root: Path, cache: PixelCache) -> None:
    """Do what a training does before its first step."""
    data: DataSet = _timed("find the files, draw the splits", lambda: read_data_set(root))
    _timed("digests of the listings", data.listings)
    _timed("sizes and colours", lambda: survey(data.train, cache=cache))
    for files in (data.train, data.validation):
        _timed(f"{len(files)} images", partial(load_images, files, ImageShape(8, 8, 1), cache=cache))


def _timed(what: str, work: Callable[[], Value]) -> Value:
    began = time.perf_counter()
    found = work()
    print(f"  {what:<36} {time.perf_counter() - began:6.2f} s")
    return found


def _write(root: Path, images: int, classes: int) -> Path:
    random = np.random.default_rng(0)
    for place in range(images):
        folder = root / f"class-{place % classes:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{place:08d}.png"
        if place % _LINKS == 0:
            Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(file)
            first = file
        else:
            os.link(first, file)
    return root


if __name__ == "__main__":
    main()
