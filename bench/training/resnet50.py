"""Images a second of ResNet-50 at 224 in bfloat16: images drawn on the device, and from JPEG files.

From files in two ways of `hardener train`: cut from the cache of decoded images, which is left in the machine's memory
even where the card has room for it, since a set of this kind seldom fits there; and decoded in every epoch. Beside them
stands the plain loop of torchvision: a DataLoader of JPEG files with as many workers as there are processors, the same
autocast, SGD, no compile, NCHW; and the card's rate of multiplying bfloat16 matrices, of which a network can at best
use all: the share of it that training at this rate needs is printed, with the operations that torch counts in a
forward and a backward pass.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
import torchvision
from common import Row, Stepper, begin, clock, options, random_batch, ratio, show, take_turns
from input_rate import write_files
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from hardener.data.cache import PixelCache
from hardener.data.loader import ImageShape, LoadedImages, load_images
from hardener.data.sources.image_folder import read_class_folders

FILES_GOAL = 0.9


def matrix_rate(device: torch.device, size: int) -> float:
    """Operations a second of a bfloat16 matrix product."""
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = partial(torch.matmul, left, right)
    product()
    repeats = 20 if device.type == "cuda" else 2
    return repeats * 2 * size**3 / clock(lambda: [product() for _ in range(repeats)], device)


def operations(size: int) -> int:
    """Additions and multiplications of a forward and a backward pass of one image."""
    with torch.device("meta"):  # counted, not computed
        network, image = torchvision.models.resnet50(num_classes=1000), torch.empty(1, 3, size, size)
    with FlopCounterMode(display=False) as counter:
        network(image).sum().backward()
    return int(counter.get_total_flops())


class Endless:
    """Minibatches of shuffled epochs, one after another."""

    def __init__(self, epoch: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> None:
        self.stream = itertools.chain.from_iterable(epoch() for _ in itertools.count())

    def take(self, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the next `count`."""
        return itertools.islice(self.stream, count)


def plain_loop(root: Path, batch_size: int, workers: int, size: int, device: torch.device) -> Callable[[int], None]:
    """torchvision's way, without what hardener adds."""
    steps = v2.Compose(
        [
            v2.RandomResizedCrop(size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        ImageFolder(str(root), transform=steps),
        batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=True,
        drop_last=True,
    )
    network = torchvision.models.resnet50(num_classes=1000).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    endless = Endless(lambda: iter(loader))

    def run(count: int) -> None:
        for images, labels in endless.take(count):
            with torch.autocast(device.type, dtype=torch.bfloat16):
                loss = cross_entropy(network(images.to(device, non_blocking=True)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def from_files(images: LoadedImages, batch_size: int, *, pin: bool) -> Endless:
    """The minibatches of `hardener train`."""

    def epoch() -> Iterator[tuple[Tensor, Tensor]]:
        whole = len(images) // batch_size * batch_size
        return images.batches(torch.randperm(len(images))[:whole], batch_size, pin=pin)

    return Endless(epoch)


def main() -> None:
    """Print a row a way of feeding the network."""
    parser = options(__doc__)
    parser.add_argument("--batch-size", type=int, help="(default: 256 on a GPU, 16 on a processor)")
    parser.add_argument("--minibatches", type=int, help="in a turn (default: 20 on a GPU, 1 on a processor)")
    parser.add_argument("--files", type=int, help="JPEG files to write (default: 4,096 on a GPU, 64 on a processor)")
    parser.add_argument("--workers", type=int, default=max(torch.multiprocessing.cpu_count(), 1))
    asked = parser.parse_args()
    device = begin(asked)
    gpu = device.type == "cuda"
    batch_size, count = asked.batch_size or (256 if gpu else 16), asked.minibatches or (20 if gpu else 1)
    files, size = asked.files or (4096 if gpu else 64), 224
    if asked.quick:
        batch_size, files, size, asked.rounds = 2, 8, 64, 1
    with tempfile.TemporaryDirectory() as folder:
        root = write_files(Path(folder) / "files", files, size * 8 // 7)
        started = time.perf_counter()
        listed, shape = read_class_folders(root)[1], ImageShape(size, size, 3)
        images = load_images(listed, shape, cache=PixelCache(50, print, folder=Path(folder)))
        first = files / (time.perf_counter() - started)
        streamed = load_images(listed, shape, memory_budget=0)
        stepper = Stepper(torchvision.models.resnet50(num_classes=1000), "sprout", device, classes=1000)
        drawn = random_batch(batch_size, size, 1000, device)
        mapped, decoded = (from_files(way, batch_size, pin=gpu) for way in (images, streamed))
        plain = plain_loop(root, batch_size, asked.workers, size, device)
        found = take_turns(
            {
                "synthetic": lambda: stepper.run([drawn] * count),
                "files": lambda: stepper.run(mapped.take(count)),
                "decoded": lambda: stepper.run(decoded.take(count)),
                "plain": lambda: plain(count),
            },
            asked.rounds,
            partial(clock, device=device),
        )
        peak = matrix_rate(device, 8192 if gpu else 1024)
    rates = {name: batch_size * count / sorted(times)[len(times) // 2] for name, times in found.items()}
    share = operations(size) * rates["synthetic"] / peak
    over, shown = ratio(found["synthetic"], found["files"])
    rows = [
        Row(
            "ResNet-50 by SPROUT, images drawn on the device",
            "the matrix rate",
            f"{rates['synthetic']:,.1f} images/s; {100 * share:.0f} % of {peak / 1e12:.2f} TFLOP/s",
        ),
        Row(
            "the same, from JPEG files, decoded before",
            "drawn on the device",
            f"{rates['files']:,.1f} images/s; {shown}",
            f"≥ {FILES_GOAL}",
            over >= FILES_GOAL,
        ),
        Row(
            "the same, from JPEG files, decoded in each epoch",
            "drawn on the device",
            f"{rates['decoded']:,.1f} images/s; {ratio(found['synthetic'], found['decoded'])[1]}",
        ),
        Row(
            "the same, decoded before",
            "torchvision's plain loop",
            f"{ratio(found['plain'], found['files'])[1]} times; the peer {rates['plain']:,.1f} images/s",
        ),
        Row("reading the files for the first time", "–", f"{first:,.0f} images/s"),
    ]
    show(f"ResNet-50 at {size}, minibatches of {batch_size}, bfloat16", rows, asked, device)


if __name__ == "__main__":
    main()
