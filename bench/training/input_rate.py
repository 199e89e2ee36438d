"""Minibatches a second of input, against torchvision's ImageFolder behind a DataLoader, on the same JPEG files.

`python bench/training/input_rate.py` writes 2,000 files of 256x256 and brings them to 224x224; `--data DIR --size 32`
takes the training split of a folder of one's own. Every epoch is shuffled anew and its minibatches are uint8 tensors,
(N, C, H, W), copied to the GPU where there is one. Both sides read files that the operating system holds in memory,
and train nothing meanwhile. They take turns; what is printed are medians over the rounds, with the least and the most.

mapped: from the cache of decoded images that `hardener train` keeps. streamed: what it does with a set too large to
be kept, decoded each epoch by as many threads as the DataLoader has processes.
"""

from __future__ import annotations

import argparse
import cProfile
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from common import Row, begin, options, show
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from hardener.config.reading import AS_FOUND
from hardener.data import threads
from hardener.data.cache import PixelCache
from hardener.data.data_set import read_source
from hardener.data.decode import decode_image
from hardener.data.image_files import ImageFiles
from hardener.data.loader import ImageShape, LoadedImages, load_images
from hardener.data.sources.image_folder import read_class_folders

GOAL = 5.0
LET_GO = ("'resize' of 'ImagingCore'", "'decode' of 'ImagingDecoder'", "'encode' of 'ImagingEncoder'")
Batches = Iterable[tuple[Tensor, Tensor]]


def write_files(root: Path, count: int, size: int) -> Path:
    """Write JPEG files of two classes that compress about as photographs do."""
    random = np.random.default_rng(0)
    for place in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=np.int16)
        pixels = (smooth + random.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)
        path = root / f"class{place % 2}" / f"{place:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=85)
    return root


def peer(root: Path, size: int, batch_size: int, workers: int, *, pin: bool) -> Callable[[], Batches]:
    """torchvision's way: decoded, resized and cropped by worker processes in every epoch."""
    steps = v2.Compose([v2.Resize(size), v2.CenterCrop(size), v2.PILToTensor()])
    data = DataLoader(
        ImageFolder(str(root), transform=steps),
        batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=pin,
        persistent_workers=True,
    )
    return lambda: data


def own(images: LoadedImages, batch_size: int, *, pin: bool) -> Callable[[], Batches]:
    """The way of `hardener train`."""
    return lambda: images.batches(torch.randperm(len(images)), batch_size, pin=pin)


def rate(epoch: Callable[[], Batches], device: torch.device) -> float:
    """Images a second of one epoch."""
    started, seen = time.perf_counter(), 0
    for images, labels in epoch():
        images.to(device, non_blocking=True)
        labels.to(device, non_blocking=True)
        seen += len(images)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return seen / (time.perf_counter() - started)


def measure(root: Path, asked: argparse.Namespace, device: torch.device) -> dict[str, list[float]]:
    """Images a second of every round, for each way."""
    _, files = read_class_folders(root)
    shape, pin = ImageShape(asked.size, asked.size, 3), device.type == "cuda"
    threads.decoding_threads = lambda: asked.workers
    with tempfile.TemporaryDirectory() as folder:
        cache = PixelCache(asked.cache_gb, print, folder=Path(folder))
        started = time.perf_counter()
        load_images(files, shape, cache=cache)
        first = len(files) / (time.perf_counter() - started)
        started = time.perf_counter()
        mapped = load_images(files, shape, cache=cache)
        again = len(files) / (time.perf_counter() - started)
        ways = {
            "DataLoader": peer(root, asked.size, asked.batch_size, asked.workers, pin=pin),
            "mapped": own(mapped, asked.batch_size, pin=pin),
            "streamed": own(load_images(files, shape, memory_budget=0), asked.batch_size, pin=pin),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(asked.rounds + 1):
            for name in list(ways)[:: 1 if turn % 2 == 0 else -1]:
                found[name].append(rate(ways[name], device))
    warm = {name: rates[1:] for name, rates in found.items()}  # the first starts workers and fills the page cache
    return {"first start": [first], "warm start": [again], **warm}


def interpreter_share(files: ImageFiles, size: int, rounds: int) -> float:
    """Share of a thread's time in which others wait for the interpreter: all but Pillow's own loops, which let it go.

    1 / share is how many threads can be of use at most.
    """
    shape, count = ImageShape(size, size, 3), min(len(files), 200)

    def work() -> None:
        for place in range(count):
            decode_image(files.open(place), **vars(shape))

    work()
    whole: list[float] = []
    let_go: list[float] = []
    for _ in range(rounds):
        started = time.thread_time()
        work()
        whole.append(time.thread_time() - started)
        profile = cProfile.Profile()
        profile.runcall(work)
        spent = profile.getstats()
        let_go.append(sum(entry.inlinetime for entry in spent if any(loop in str(entry.code) for loop in LET_GO)))
    return max(0.0, 1 - statistics.median(let_go) / statistics.median(whole))


def main() -> None:
    """Print images a second of each way and its ratio to the DataLoader."""
    parser = options(__doc__)
    parser.add_argument("--data", type=Path, help="a folder of class folders, or one with train/")
    parser.add_argument("--images", type=int, default=2000, help="files to write where there is no --data")
    parser.add_argument("--file-size", type=int, default=256, help="height and width of the files to write")
    parser.add_argument("--size", type=int, default=224, help="height and width of the minibatches")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=threads.decoding_threads())
    parser.add_argument("--cache-gb", type=float, default=50.0)
    asked = parser.parse_args()
    device = begin(asked)
    if asked.quick:
        asked.images, asked.file_size, asked.size, asked.batch_size, asked.rounds = 64, 64, 48, 16, 1
    with tempfile.TemporaryDirectory() as folder:
        if asked.data is None:
            root = write_files(Path(folder), asked.images, asked.file_size)
        else:
            splits = read_source(asked.data, AS_FOUND).splits
            root = splits["train" if "train" in splits else None].root
        found = measure(root, asked, device)
        _, files = read_class_folders(root)
        count, held = len(files), interpreter_share(files, asked.size, asked.rounds)
    peer, middle = "ImageFolder and DataLoader", statistics.median(found["DataLoader"])
    mapped, streamed = (statistics.median(found[name]) / middle for name in ("mapped", "streamed"))
    rows = [
        Row(
            f"a warm epoch of {count:,} files at {asked.size}",
            peer,
            f"{mapped:.1f} times; {_rate(found['mapped'])}",
            f"≥ {GOAL:g}",
            mapped >= GOAL,
        ),
        Row("the same, too large to be kept", peer, f"{streamed:.1f} times; {_rate(found['streamed'])}"),
        Row("share of decoding that holds the interpreter", "1 thread", f"{held:.2f}"),
        Row(f"{peer}, workers {asked.workers}", "–", _rate(found["DataLoader"])),
        Row("first start of a run, all decoded", "–", _rate(found["first start"])),
        Row("second start, mapped", "–", _rate(found["warm start"])),
    ]
    show(f"input: minibatches of {asked.batch_size}", rows, asked, device)


def _rate(rates: list[float]) -> str:
    return f"{statistics.median(rates):,.0f} images/s ({min(rates):,.0f} to {max(rates):,.0f})"


if __name__ == "__main__":
    main()
