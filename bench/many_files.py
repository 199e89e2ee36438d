"""How long a start takes with many small files in many classes, and how much memory: the first, and later ones.

    python bench/many_files.py --images 100000 --classes 1000

Each start is a fresh interpreter that does with the data what a training does before its first step. Its stages stand
on lines of their own, in seconds of the clock and of the processor, with what memory is the process's own at the end of
the stage: anonymous pages, without those of files, as the kernel counts them (RssAnon). The most of it is sampled from
outside, a hundred times a second. Each file is an image of its own, 8 by 8. Images and cache lie in a folder of their
own, which is removed; or in one that --keep names, where the next call finds them again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

Value = TypeVar("Value")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=2)
    parser.add_argument("--names", action="store_true", help="only find the files and ask each for its size and time")
    parser.add_argument("--keep", type=Path, help="where images and cache are kept for the next call")
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.root is not None:
        (_start_with_names if asked.names else _start)(asked.root)
        return
    with contextlib.ExitStack() as stack:
        folder = asked.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root = folder / "imgs"
        if not root.is_dir():
            _write(root, asked.images, asked.classes)
            time.sleep(3)  # what has just been written is not trusted to stay
        for number in range(asked.starts):
            print(f"start {number + 1}, {asked.images:,} images in {asked.classes:,} classes")
            command = [sys.executable, __file__, "--root", str(root), *(["--names"] if asked.names else [])]
            environment = {**os.environ, "HARDENER_CACHE": str(folder / "cache")}
            with subprocess.Popen(command, env=environment) as process:
                most = 0.0
                while process.poll() is None:
                    most = max(most, _memory(process.pid))
                    time.sleep(0.01)
            if process.returncode:
                sys.exit(process.returncode)
            print(f"  memory {most:.0f} MB at most", flush=True)


def _start_with_names(root: Path) -> None:
    """Do what a training does before it looks at any image."""
    from hardener.data.cache import stamps_of
    from hardener.data.data_set import read_data_set

    before = _memory()
    data = _timed("find the files, draw the splits", lambda: read_data_set(root))
    _timed("digests of the listings", data.listings)
    for name, files in data.splits.items():
        _timed(f"sizes and times of {name}", partial(stamps_of, files))
    print(f"  memory {before:.0f} MB at first, {_memory():.0f} MB with the files found", flush=True)


def _start(root: Path) -> None:
    """Do what a training does with its data before its first step."""
    from hardener.data.alike import find_alike, find_repeated
    from hardener.data.cache import PixelCache
    from hardener.data.data_set import read_data_set
    from hardener.data.loader import ImageShape, load_images, read_prints
    from hardener.data.survey import survey

    before = _memory()
    began, used = time.perf_counter(), time.process_time()
    cache, shape = PixelCache(10.0, print), ImageShape(8, 8, 1)
    data = _timed("find the files, draw the splits", lambda: read_data_set(root))
    assert data.test is not None
    listed = _memory()
    _timed("digests of the listings", data.listings)
    _timed("sizes and colours", lambda: survey(data.train, cache=cache))
    images = {
        name: _timed(f"{len(files):,} images", partial(load_images, files, shape, cache=cache))
        for name, files in (("train", data.train), ("validation", data.validation))
    }
    prints = {name: found.prints for name, found in images.items()}
    prints["test"] = _timed(f"prints of {len(data.test):,} images", partial(read_prints, data.test, shape, cache))
    splits = {str(name): files for name, files in data.splits.items()}
    _timed("copies in several splits", lambda: find_alike(splits, prints, cache))
    for name, files in splits.items():
        _timed(f"copies within {name}", partial(find_repeated, name, files, prints[name], cache))
    print(
        f"  {'all':<36} {time.perf_counter() - began:7.2f} s {time.process_time() - used:7.2f} s; memory "
        f"{before:.0f} MB at first, {listed:.0f} MB with the files found, {_memory():.0f} MB at the end",
        flush=True,
    )


def _memory(process: int | str = "self") -> float:
    """Return the memory that is a process's own now, in MB."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/status") as told:
        for line in told:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _timed(what: str, work: Callable[[], Value]) -> Value:
    began, used = time.perf_counter(), time.process_time()
    found = work()
    took = f"{time.perf_counter() - began:7.2f} s {time.process_time() - used:7.2f} s"
    print(f"  {what:<36} {took} {_memory():6.0f} MB", flush=True)
    return found


def _write(root: Path, images: int, classes: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (images, 64), np.uint8)
    for place in range(classes):
        (root / f"class-{place:05d}").mkdir(parents=True)
    for place, levels in enumerate(pixels):
        with open(f"{root}/class-{place % classes:05d}/{place:08d}.pgm", "wb", buffering=0) as file:
            file.write(b"P5 8 8 255\n" + levels.tobytes())


if __name__ == "__main__":
    main()
