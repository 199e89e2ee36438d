"""Image files -> uint8 minibatches, from a cache on disk or from memory where they fit, else decoded each time."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardener.config.pixels import PixelRule
from hardener.config.run_folder import InputRecord
from hardener.data import threads
from hardener.data.blocks import PixelBlocks
from hardener.data.cache import Facts, PixelCache, Write, total_memory
from hardener.data.decode import STANDARD, decode_image
from hardener.data.image_files import ImageFiles
from hardener.data.prints import Prints, print_of, prints_of, unread
from hardener.errors import BadImage, HardenerError

_CHUNK = 512
_SMALL = 1 << 20  # bytes of a minibatch: a tenth of a millisecond to copy, less than to wake a thread on a busy core
_SHARE = 8  # images that a thread decodes before it takes the next task


@dataclass(frozen=True)
class ImageShape:
    """What every image is brought to, and how."""

    height: int
    width: int
    channels: int
    rule: PixelRule = STANDARD

    @property
    def planes(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.channels, self.height, self.width

    def told(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self), "rule": self.rule.model_dump()}


def shape_of(record: InputRecord) -> ImageShape:
    """Return what a run's model takes."""
    return ImageShape(record.height, record.width, record.channels, record.pixels)


@dataclass(frozen=True)
class BadFile:
    """An image that could not be read, and why."""

    path: str
    reason: str


class LoadedImages:
    """The images of one split.

    Attributes:
        files: those that could be read.
        labels: (N,) int64.
        skipped: those that could not.
        flat: how many are of one colour.
        fingerprint: sha256 over names and contents.
        mean, std: per channel, of all pixels, in [0, 1].
        prints: what the images are known by again, also those that were skipped.
    """

    def __init__(
        self,
        files: ImageFiles,
        shape: ImageShape,
        *,
        pixels: NDArray[np.uint8] | PixelBlocks | None,
        skipped: list[BadFile],
        prints: Prints,
        facts: Facts,
    ) -> None:
        self.files = files
        self.shape = shape
        self.labels = torch.from_numpy(np.array(files.labels, np.int64))
        self.skipped = skipped
        self.prints = prints
        self.flat: int = facts["flat"]
        self.fingerprint: str = facts["fingerprint"]
        self.mean: tuple[float, ...] = tuple(facts["mean"])
        self.std: tuple[float, ...] = tuple(facts["std"])
        self._pixels = pixels
        self._on_device: Tensor | None = None
        self._planes = shape.planes

    def __len__(self) -> int:
        return len(self.files)

    def keep_on(self, device: torch.device) -> None:
        """Copy pixels that are kept decoded to a device with room for them; minibatches are then cut there."""
        if self._pixels is None or device.type != "cuda":
            return
        free, _ = torch.cuda.mem_get_info(device)
        if self._pixels.nbytes < free // 4:
            kept = torch.empty((len(self), *self._planes), dtype=torch.uint8, device=device)
            for start in range(0, len(self), _CHUNK):
                kept[start : start + _CHUNK] = self.take(range(start, min(start + _CHUNK, len(self))))[0]
            self._on_device, self._pixels = kept, None

    def take(self, indices: Sequence[int] | Tensor) -> tuple[Tensor, Tensor]:
        """Return images, (n, C, H, W) uint8, and labels, (n,) int64, at these places."""
        places = torch.as_tensor(indices, dtype=torch.int64)
        if self._on_device is not None:
            there = places.to(self._on_device.device, non_blocking=True)  # or each step would wait for the one before
            return self._on_device.index_select(0, there), self.labels[places]
        if self._pixels is None and len(places):
            return next(self.batches(places, len(places)))  # decoded by several threads
        images, labels = self._room(places, pin=False)
        self._fill(images.numpy(), places.numpy())
        return images, labels

    def batches(self, order: Tensor, batch_size: int, *, pin: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels, as `take` gives them, of consecutive pieces of `order`.

        While the caller is busy with one minibatch, threads prepare the next two; they end with the generator,
        however it ends. Only where a minibatch is copied sooner than threads could agree on it, there are none. What
        is yielded does not depend on where the images are kept.

        Args:
            order: (n,) int64, each in [0, N).
            pin: give minibatches in page-locked memory, from which a GPU fetches by itself.
        Raises:
            HardenerError: an image can no longer be read.
        """
        pieces = iter(order.split(batch_size) if len(order) else ())
        if self._on_device is not None:
            yield from map(self.take, pieces)
            return
        if self._pixels is not None and self._is_soon_cut(batch_size):
            for piece in pieces:
                images, labels = self._room(piece, pin=pin)
                self._fill(images.numpy(), piece.numpy())
                yield images, labels
            return
        workers, share = (1, batch_size) if self._pixels is not None else (threads.decoding_threads(), _SHARE)
        ahead = max(2, 2 * workers * share // batch_size)  # two small minibatches would not keep all threads busy

        def begin(piece: Tensor) -> tuple[Tensor, Tensor, list[Future[None]]]:
            images, labels = self._room(piece, pin=pin)
            parts = zip(images.split(share), piece.split(share), strict=True)
            work = [pool.submit(self._fill, part.numpy(), places.numpy()) for part, places in parts]
            return images, labels, work

        pool = ThreadPoolExecutor(workers, thread_name_prefix="images")
        try:
            begun = deque(begin(piece) for piece in islice(pieces, ahead + 1))
            while begun:
                images, labels, work = begun.popleft()
                for part in work:
                    part.result()
                yield images, labels
                begun.extend(begin(piece) for piece in islice(pieces, 1))
        finally:
            pool.shutdown(cancel_futures=True)

    def _is_soon_cut(self, batch_size: int) -> bool:
        """Say whether a minibatch is small, and the pixels few enough not to be fetched from the disk for it."""
        assert self._pixels is not None
        return batch_size * math.prod(self._planes) <= _SMALL and self._pixels.nbytes <= total_memory() // 4

    def _room(self, places: Tensor, *, pin: bool) -> tuple[Tensor, Tensor]:
        """Return images to be filled, and the labels, at these places."""
        assert not len(places) or 0 <= places.min() <= places.max() < len(self), "a place that has no image"
        images = torch.empty((len(places), *self._planes), dtype=torch.uint8, pin_memory=pin)
        labels = self.labels[places]
        return images, labels.pin_memory() if pin else labels

    def _fill(self, images: NDArray[np.uint8], places: NDArray[np.int64]) -> None:
        if isinstance(self._pixels, PixelBlocks):
            for image, place in zip(images, places, strict=True):
                if not self._pixels.read_into(image, int(place)):
                    image[:] = self._decode(int(place)).transpose(2, 0, 1)
            return
        if self._pixels is not None:
            np.take(self._pixels, places, axis=0, out=images, mode="clip")  # "raise" would copy twice
            return
        for image, place in zip(images, places, strict=True):
            image[:] = self._decode(int(place)).transpose(2, 0, 1)

    def _decode(self, index: int) -> NDArray[np.uint8]:
        try:
            return decode_image(self.files.open(index), **vars(self.shape))
        except (BadImage, OSError) as error:
            where = self.files.where(index)
            raise HardenerError(f"{where} could be read before and cannot be now: {error}.") from None


def load_images(
    files: ImageFiles,
    shape: ImageShape,
    *,
    skip_bad: bool = False,
    memory_budget: int | None = None,
    cache: PixelCache | None = None,
    on_decoded: Callable[[int], None] | None = None,
) -> LoadedImages:
    """Read and check every image of a split once, or find in the cache what an earlier call has read.

    Args:
        shape: what every image is brought to, by the rule of `decode_image`.
        skip_bad: leave out images that cannot be read instead of raising.
        memory_budget: in bytes; a larger split that no cache holds is checked now and decoded again when asked for.
            A quarter of the machine's memory by default.
        cache: where decoded images are kept; files that it knows are not opened. None: nowhere.
        on_decoded: called with the number of images each time some are done.
    Raises:
        HardenerError: images that cannot be read, named and counted; or none that can.
    """
    size = len(files) * shape.height * shape.width * shape.channels
    key = None if cache is None else cache.key(files, what="pixels 3", **shape.told())
    opened = False
    if cache is not None and key is not None:

        def make(write: Write) -> tuple[Facts, bool]:
            nonlocal opened
            opened = True
            facts, lasting = _read_all(files, shape, write, skip_bad, on_decoded)
            return facts, lasting and cache.holds(key, files, what="pixels 3", **shape.told())

        entry = cache.get(key, size, make)
        if entry is not None:
            if on_decoded and not opened:
                on_decoded(len(files))
            return _images(files, shape, entry.pixels, entry.facts, skip_bad)
    if size > (total_memory() // 4 if memory_budget is None else memory_budget):
        facts, _ = _read_all(files, shape, lambda planes: None, skip_bad, on_decoded)
        return _images(files, shape, None, facts, skip_bad)
    pixels = np.empty(size, np.uint8)
    filled = 0

    def keep(planes: NDArray[np.uint8]) -> None:
        nonlocal filled
        pixels[filled : filled + planes.size] = planes.reshape(-1)
        filled += planes.size

    facts, _ = _read_all(files, shape, keep, skip_bad, on_decoded)
    return _images(files, shape, pixels[:filled], facts, skip_bad)


def read_prints(files: ImageFiles, shape: ImageShape, cache: PixelCache | None = None) -> Prints:
    """Return the prints of a split whose pixels are not asked for; they are read once and kept.

    Raises:
        HardenerError: no image can be read.
    """
    key = None if cache is None else cache.key(files, what="prints", **shape.told())

    def make(write: Write) -> tuple[Facts, bool]:
        facts, lasting = _read_all(files, shape, lambda planes: None, True, None)
        return facts, lasting and cache is not None and key == cache.key(
            files, fresh=True, what="prints", **shape.told()
        )

    entry = None if cache is None or key is None else cache.get(key, 0, make)
    facts = make(lambda planes: None)[0] if entry is None else entry.facts
    return prints_of(facts["prints"], len(files))


@dataclass(frozen=True)
class _Decoded:
    planes: NDArray[np.uint8]  # (C, H, W)
    digest: bytes
    flat: bool
    mark: bytes
    sums: NDArray[np.float64]  # (2, C), of levels and of their squares: whole numbers, so in any order the same


def _read_all(
    files: ImageFiles,
    shape: ImageShape,
    put: Write,
    skip_bad: bool,
    on_decoded: Callable[[int], None] | None,
) -> tuple[Facts, bool]:
    """Decode every file and `put` its planes, in order; return what was learned and whether it will hold again."""
    digests: list[bytes] = []
    marks = bytearray()
    skipped: list[tuple[int, str]] = []
    sums = np.zeros((2, shape.channels))
    lasting, flat = True, 0

    def read(place: int) -> _Decoded | BadImage | OSError:
        try:
            data = files.open(place)
            planes = np.ascontiguousarray(decode_image(data, **vars(shape)).transpose(2, 0, 1))
        except (BadImage, OSError) as error:
            return error
        levels = planes.reshape(shape.channels, -1).astype(np.float64)
        found = np.stack([levels.sum(axis=1), np.einsum("cp,cp->c", levels, levels)])
        digest = hashlib.sha256(data).digest()
        flat = bool((np.ptp(planes.reshape(shape.channels, -1), axis=1) == 0).all())
        return _Decoded(planes, digest, flat, print_of(digest, planes, len(files)), found)

    with ThreadPoolExecutor(threads.decoding_threads()) as pool:
        for start in range(0, len(files), _CHUNK):
            places = range(start, min(start + _CHUNK, len(files)))
            for place, found in zip(places, pool.map(read, places), strict=True):
                marks += found.mark if isinstance(found, _Decoded) else unread(len(files))
                if isinstance(found, _Decoded):
                    put(found.planes)
                    sums += found.sums
                    flat += found.flat
                    digests.append(files.paths[place].encode("utf-8", "surrogateescape") + b"\0" + found.digest)
                    continue
                lasting = lasting and isinstance(found, BadImage)  # a drive that fails may answer the next time
                reason = str(found) if isinstance(found, BadImage) else found.strerror or str(found)
                skipped.append((place, reason))
            if on_decoded:
                on_decoded(len(places))
    _refuse_bad(files, skipped, skip_bad)
    first, second = sums / (len(digests) * shape.height * shape.width) / [[255], [255**2]]
    return {
        "skipped": skipped,
        "flat": flat,
        "prints": bytes(marks),
        "fingerprint": hashlib.sha256(b"\n".join(sorted(digests))).hexdigest(),
        "mean": first.tolist(),
        "std": np.sqrt(np.maximum(second - first**2, 0)).tolist(),
    }, lasting


def _refuse_bad(files: ImageFiles, skipped: list[tuple[int, str]], skip_bad: bool) -> None:
    if skipped and not skip_bad:
        shown = "; ".join(f"{files.where(place)}: {reason}" for place, reason in skipped[:5])
        more = f"; and {len(skipped) - 5} more" if len(skipped) > 5 else ""
        raise HardenerError(
            f"{len(skipped)} of {len(files)} images cannot be read: {shown}{more}. "
            + (
                "Repair or remove them, or pass --skip-bad-images."
                if len(skipped) < len(files)
                else "Repair or convert them: nothing else is there."
            )
        )
    if len(skipped) == len(files):
        raise HardenerError(f"none of the {len(files)} images below {files.root} can be read.")


def _images(
    files: ImageFiles,
    shape: ImageShape,
    pixels: NDArray[np.uint8] | PixelBlocks | None,
    facts: Facts,
    skip_bad: bool,
) -> LoadedImages:
    _refuse_bad(files, facts["skipped"], skip_bad)  # an earlier call may have skipped what this one must not
    bad = {place for place, _ in facts["skipped"]}
    planes = (-1, shape.channels, shape.height, shape.width)
    return LoadedImages(
        files.pick([place for place in range(len(files)) if place not in bad]) if bad else files,
        shape,
        pixels=pixels.reshape(planes) if isinstance(pixels, np.ndarray) else pixels,
        skipped=[BadFile(files.where(place), reason) for place, reason in facts["skipped"]],
        prints=prints_of(facts["prints"], len(files)),
        facts=facts,
    )
