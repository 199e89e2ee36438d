"""What serving costs on a GPU: batch sizes, buffers bound to the card or not, and pinned memory before it.

On a processor the same calls go to ONNX Runtime's CPU provider: nothing is gained there, and memory is not pinned.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
from item import HERE, Item, Place, Row
from numpy.typing import NDArray

sys.path.append(str(HERE.parent / "serving"))

from workload import SIZE, bundles

from serving.engine import INPUT, OUTPUTS, BoundSession, open_session

BATCHES, TOY_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128), (1, 2)
ROUNDS, SECONDS = 3, 1.0
WAYS = ("plain", "bound", "bound, pinned")


def items(place: Place) -> Iterator[Item]:
    """Return an item for each batch size and each way to hand a batch over."""
    for batch in TOY_BATCHES if place.toy else BATCHES:
        for way in WAYS:
            yield Item(f"ResNet-18, {SIZE} pixels, batch {batch}, {way}", partial(_rate, batch=batch, way=way))


def _rate(place: Place, *, batch: int, way: str) -> Row:
    """Measure images a second and the time of a batch, once the way is warm: the median of three rounds."""
    on_gpu = place.device.type == "cuda"
    images = np.random.default_rng(0).integers(0, 256, (batch, SIZE, SIZE, 3), np.uint8)
    with tempfile.TemporaryDirectory(prefix="hardener-bench-") as folder:
        kind = "null" if place.toy else "float32"
        model = bundles(Path(folder), kind)[kind] / "model.onnx"
        session = open_session(model, on_gpu=on_gpu)
    bound = None
    if way != "plain":
        device, pinned = "cuda" if on_gpu else "cpu", way.endswith("pinned")
        bound = BoundSession(session, images.shape[1:], device=device, sizes=(batch,), pinned=pinned)
    run = _plain(session, images) if bound is None else partial(bound.run, images)
    for _ in range(3):
        run()
    rounds = [_one_round(run, 0.05 if place.toy else SECONDS) for _ in range(ROUNDS)]
    took = statistics.median(rounds)
    return {
        "batch_ms": 1000 * took,
        "least_ms": 1000 * min(rounds),
        "most_ms": 1000 * max(rounds),
        "images_per_s": batch / took,
        "pinned": bound is not None and bound.all_pinned,
        "provider": session.get_providers()[0],
    }


def _plain(session: onnxruntime.InferenceSession, images: NDArray[np.uint8]) -> Callable[[], object]:
    return partial(session.run, list(OUTPUTS), {INPUT: images})


def _one_round(run: Callable[[], object], seconds: float) -> float:
    """Return the mean time of a run, over so many seconds of them."""
    began, made = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < seconds or made == 0:
        run()
        made += 1
    return took / made
