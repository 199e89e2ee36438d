"""How fast photographs reach the card: decoded in each epoch by threads or by worker processes, or kept decoded.

Threads share one interpreter, which a photograph needs for a part of its time; worker processes share nothing. How
many cores it takes for that to tell, and whether it tells before the card is busy, is what these items are for: hold
their images a second against those of a training step, of the part `steps`.
"""

from __future__ import annotations

import statistics
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from input_rate import measure, write_files
from item import Item, Place, Row

from hardener.data.threads import decoding_threads

FILES, SIDE, SIZE, BATCH, ROUNDS = 2000, 448, 224, 128, 3
TOY_FILES, TOY_SIDE, TOY_SIZE, TOY_BATCH = 32, 64, 48, 8
WAYS = {"threads": "streamed", "processes": "DataLoader", "kept": "mapped"}


def items(place: Place) -> Iterator[Item]:
    """Return an item for each number of threads and of worker processes that the cores are enough for."""
    cores = decoding_threads()
    for workers in (1,) if place.toy else (1, 2, 4, 8, 16, 32):
        if workers <= cores:
            yield Item(f"{workers} at once", partial(_rates, workers=workers), needs_s=90)


def _rates(place: Place, *, workers: int) -> Row:
    """Measure images a second on the device, by each way: the median, the least and the most of the rounds."""
    size, batch, rounds = (TOY_SIZE, TOY_BATCH, 1) if place.toy else (SIZE, BATCH, ROUNDS)
    asked = Namespace(size=size, batch_size=batch, workers=workers, rounds=rounds, cache_gb=50.0)
    found = measure(_photographs(place), asked, place.device)
    row: Row = {"workers": workers}
    for name, way in WAYS.items():
        row[f"{name}_per_s"] = statistics.median(found[way])
        row[f"{name}_ends"] = [min(found[way]), max(found[way])]
    return row


def _photographs(place: Place) -> Path:
    """Write the files once, and find them again."""
    root = place.runs / ("photographs-toy" if place.toy else "photographs")
    if not root.is_dir():
        place.runs.mkdir(parents=True, exist_ok=True)
        count, side = (TOY_FILES, TOY_SIDE) if place.toy else (FILES, SIDE)
        with tempfile.TemporaryDirectory(dir=place.runs) as folder:
            write_files(Path(folder) / "files", count, side).rename(root)
    return root
