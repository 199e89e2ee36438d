"""Image files -> uint8 tensors, kept in memory where they fit, else decoded as they are asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardener.data.decode import BadImage, decode_image, has_color, open_image
from hardener.data.image_folder import ImageFiles
from hardener.errors import HardenerError

DEFAULT_SIZE = 224
_CHUNK = 512


@dataclass(frozen=True)
class ImageShape:
    """What every image is brought to."""

    height: int
    width: int
    channels: int


@dataclass(frozen=True)
class BadFile:
    """An image that could not be read, and why."""

    path: str
    reason: str


class Images:
    """The images of one split.

    Attributes:
        files: those that could be read.
        labels: (N,) int64.
        skipped: those that could not.
        fingerprint: sha256 over names and contents.
        mean, std: per channel, of all pixels, in [0, 1].
    """

    def __init__(
        self,
        files: ImageFiles,
        shape: ImageShape,
        *,
        pixels: Tensor | None,
        skipped: list[BadFile],
        fingerprint: str,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        self.files = files
        self.shape = shape
        self.labels = torch.tensor(files.labels, dtype=torch.int64)
        self.skipped = skipped
        self.fingerprint = fingerprint
        self.mean = mean
        self.std = std
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self.files)

    def keep_on(self, device: torch.device) -> None:
        """Move pixels that are kept in memory to a device with room for them; minibatches are then cut there."""
        if self._pixels is None or device.type != "cuda":
            return
        free, _ = torch.cuda.mem_get_info(device)
        if self._pixels.nbytes < free // 4:
            self._pixels = self._pixels.to(device)

    def take(self, indices: Sequence[int] | Tensor) -> tuple[Tensor, Tensor]:
        """Return images, (n, C, H, W) uint8, and labels, (n,) int64, at these places."""
        places = torch.as_tensor(indices)
        if self._pixels is not None:
            return self._pixels[places.to(self._pixels.device)], self.labels[places]
        arrays = [self._decode(int(i)) for i in places]
        return _to_tensor(arrays), self.labels[places]

    def batches(self, order: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield `take` of consecutive pieces of `order`; the pieces to come are read by threads meanwhile."""
        pieces = order.split(batch_size)
        if self._pixels is not None:
            yield from map(self.take, pieces)
            return
        with ThreadPoolExecutor(_threads()) as pool:
            ahead = [[pool.submit(self._decode, int(i)) for i in piece] for piece in pieces[:2]]
            for place, piece in enumerate(pieces):
                arrays = [future.result() for future in ahead.pop(0)]
                if place + 2 < len(pieces):
                    ahead.append([pool.submit(self._decode, int(i)) for i in pieces[place + 2]])
                yield _to_tensor(arrays), self.labels[piece]

    def _decode(self, index: int) -> NDArray[np.uint8]:
        path = self.files.root / self.files.paths[index]
        try:
            return decode_image(path.read_bytes(), **vars(self.shape))
        except (BadImage, OSError) as error:
            raise HardenerError(f"{path} could be read before and cannot be now: {error}.") from None


def survey(files: ImageFiles) -> tuple[set[tuple[int, int]], bool]:
    """Read every header: the (height, width) pairs that occur, and whether any image may hold colour.

    A header that cannot be read is passed over here; `load_images` reports it.
    """

    def look(path: str) -> tuple[tuple[int, int], bool] | None:
        try:
            with (files.root / path).open("rb") as file:
                image = open_image(file.read())
        except (BadImage, OSError):
            return None
        turned = image.getexif().get(0x0112, 1) >= 5 if image.format == "JPEG" else False
        width, height = image.size[::-1] if turned else image.size
        return (height, width), has_color(image)

    with ThreadPoolExecutor(_threads()) as pool:
        seen = [found for found in pool.map(look, files.paths) if found is not None]
    return {size for size, _ in seen}, any(color for _, color in seen)


def load_images(
    files: ImageFiles,
    shape: ImageShape,
    *,
    skip_bad: bool = False,
    memory_budget: int | None = None,
    on_decoded: Callable[[int], None] | None = None,
) -> Images:
    """Read and check every image of a split once.

    Args:
        shape: what every image is brought to, by the rule of `decode_image`.
        skip_bad: leave out images that cannot be read instead of raising.
        memory_budget: in bytes; a larger split is checked now and decoded again when asked for. A quarter of the
            machine's memory by default.
        on_decoded: called with the number of images each time some are done.
    Raises:
        HardenerError: images that cannot be read, named and counted; or none that can.
    """
    budget = _quarter_of_memory() if memory_budget is None else memory_budget
    keep = len(files) * shape.height * shape.width * shape.channels <= budget
    pixels = torch.empty((len(files) if keep else 0, shape.channels, shape.height, shape.width), dtype=torch.uint8)
    bad: list[BadFile] = []
    good: list[int] = []
    digests: list[bytes] = []
    sums = np.zeros((2, shape.channels))

    def read(path: Path) -> tuple[bytes, NDArray[np.uint8] | BadFile]:
        try:
            data = path.read_bytes()
            return hashlib.sha256(data).digest(), decode_image(data, **vars(shape))
        except BadImage as error:
            return b"", BadFile(str(path), str(error))
        except OSError as error:
            return b"", BadFile(str(path), error.strerror or str(error))

    with ThreadPoolExecutor(_threads()) as pool:
        for start in range(0, len(files), _CHUNK):
            paths = [files.root / path for path in files.paths[start : start + _CHUNK]]
            for offset, (digest, result) in enumerate(pool.map(read, paths)):
                if isinstance(result, BadFile):
                    bad.append(result)
                    continue
                flat = result.reshape(-1, shape.channels).astype(np.float64) / 255
                sums += np.stack([flat.mean(axis=0), (flat**2).mean(axis=0)])
                digests.append(files.paths[start + offset].encode() + b"\0" + digest)
                if keep:
                    pixels[len(good)] = torch.from_numpy(np.array(result)).permute(2, 0, 1)
                good.append(start + offset)
            if on_decoded:
                on_decoded(len(paths))
    if bad and not skip_bad:
        shown = "; ".join(f"{item.path}: {item.reason}" for item in bad[:5])
        more = f"; and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise HardenerError(
            f"{len(bad)} of {len(files)} images cannot be read: {shown}{more}. Repair or remove them, or pass "
            "--skip-bad-images."
        )
    if not good:
        raise HardenerError(f"none of the {len(files)} images below {files.root} can be read.")
    first, second = sums / len(good)
    return Images(
        files.pick(good) if bad else files,
        shape,
        pixels=pixels[: len(good)] if keep else None,
        skipped=bad,
        fingerprint=hashlib.sha256(b"\n".join(sorted(digests))).hexdigest(),
        mean=tuple(first.tolist()),
        std=tuple(np.sqrt(np.maximum(second - first**2, 0)).tolist()),
    )


def _to_tensor(arrays: list[NDArray[np.uint8]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()


def _threads() -> int:
    return min(os.cpu_count() or 1, 32)


def _quarter_of_memory() -> int:
    return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES")) // 4
