"""The images that a subject is judged by: files, or tensors that somebody holds; and those that were drawn of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardener.data.image_files import ImageFiles
from hardener.data.loader import BadFile, ImageShape, load_images
from hardener.data.prints import Prints
from hardener.errors import HardenerError
from hardener.words import plain

IN_MEMORY = "in memory"


@dataclass(frozen=True)
class Sample:
    """Images as they are attacked.

    Attributes:
        pixels: (N, C, H, W), float in [0, 1] or uint8.
        labels: (N,) int64.
        paths: what each is called.
        fingerprint: sha256 over what was read.
        skipped: those that could not be read.
        prints: what files are known by again; None for images in memory.
    """

    pixels: Tensor
    labels: Tensor
    paths: tuple[str, ...]
    fingerprint: str
    skipped: tuple[BadFile, ...] = ()
    prints: Prints | None = None

    def pick(self, places: NDArray[np.int64]) -> Sample:
        """Return some of the images; what was read, and its fingerprint, stays."""
        chosen = torch.from_numpy(places)
        paths = tuple(self.paths[place] for place in places.tolist())
        prints = None if self.prints is None else self.prints.pick(places)
        return replace(self, pixels=self.pixels[chosen], labels=self.labels[chosen], paths=paths, prints=prints)

    def __len__(self) -> int:
        return len(self.pixels)


class Held(Protocol):
    """Images that a sample can be drawn from."""

    @property
    def root(self) -> str:
        """Where they lie."""
        ...

    @property
    def shape(self) -> ImageShape:
        """What every image is brought to."""
        ...

    @property
    def labels(self) -> Sequence[int]:
        """The class of each image."""
        ...

    def __len__(self) -> int: ...

    def load(
        self, places: Sequence[int], *, skip_bad: bool = False, on_decoded: Callable[[int], None] | None = None
    ) -> Sample:
        """Return the images at these places, in this order.

        Raises:
            HardenerError: images that cannot be read, unless `skip_bad`; or none that can.
        """
        ...


@dataclass(frozen=True)
class HeldInFiles:
    """One split of a folder, decoded when a sample is drawn."""

    files: ImageFiles
    folder: Path
    shape: ImageShape

    @property
    def root(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def labels(self) -> Sequence[int]:
        """The class of each image."""
        return self.files.labels

    def __len__(self) -> int:
        return len(self.files)

    def load(
        self, places: Sequence[int], *, skip_bad: bool = False, on_decoded: Callable[[int], None] | None = None
    ) -> Sample:
        """Decode the images at these places."""
        found = load_images(self.files.pick(list(places)), self.shape, skip_bad=skip_bad, on_decoded=on_decoded)
        pixels, labels = found.take(range(len(found)))
        names = tuple(map(plain, found.files.paths))
        prints = found.prints.pick(np.flatnonzero(found.prints.known()))
        return Sample(pixels, labels, names, found.fingerprint, tuple(found.skipped), prints)


@dataclass(frozen=True)
class HeldInMemory:
    """Images that the caller has, (N, C, H, W), float in [0, 1] or uint8, and their classes, (N,) int64; on the CPU."""

    images: Tensor
    truth: Tensor

    @property
    def root(self) -> str:
        """Nowhere on disk."""
        return IN_MEMORY

    @property
    def labels(self) -> Sequence[int]:
        """The class of each image."""
        return list(self.truth.tolist())

    @property
    def shape(self) -> ImageShape:
        """As they are."""
        channels, height, width = self.images.shape[1:]
        return ImageShape(height, width, channels)

    def __len__(self) -> int:
        return len(self.images)

    def load(
        self, places: Sequence[int], *, skip_bad: bool = False, on_decoded: Callable[[int], None] | None = None
    ) -> Sample:
        """Return the images at these places; all of them can be read."""
        chosen = torch.tensor(list(places), dtype=torch.int64)
        pixels, labels = self.images[chosen].contiguous(), self.truth[chosen]
        if on_decoded is not None:
            on_decoded(len(chosen))
        told = hashlib.sha256(f"{tuple(pixels.shape)} {pixels.dtype}".encode())
        for tensor in (pixels, labels):
            told.update(tensor.numpy().tobytes())
        return Sample(pixels, labels, tuple(f"image {place}" for place in chosen.tolist()), told.hexdigest())


def hold(images: object, labels: object) -> HeldInMemory:
    """Check images and labels that a caller has, and bring them to the CPU.

    Args:
        images: (N, C, H, W), a tensor or an array, float in [0, 1] or uint8.
        labels: (N,), integers, an index into the classes for each image.
    Raises:
        HardenerError: another shape or kind of number, values outside [0, 1], or no images.
    """
    pixels, truth = torch.as_tensor(images).detach().cpu(), torch.as_tensor(labels).detach().cpu()
    if pixels.ndim != 4 or not len(pixels):
        raise HardenerError(
            f"images must have the shape (N, C, H, W) with N >= 1; got {tuple(pixels.shape)}. For one image, pass "
            "images[None]."
        )
    if truth.shape != (len(pixels),):
        raise HardenerError(
            f"labels must be one whole number an image, shape ({len(pixels)},); got {tuple(truth.shape)}."
        )
    if truth.is_floating_point() or truth.is_complex() or truth.dtype == torch.bool:
        raise HardenerError(f"labels must be whole numbers, an index into the classes; got {truth.dtype}.")
    if pixels.dtype != torch.uint8:
        if not pixels.is_floating_point():
            raise HardenerError(f"images must be float in [0, 1] or uint8; got {pixels.dtype}.")
        pixels = pixels.float()
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 1):
            hint = " Divide by 255, or pass uint8." if 1 < high <= 255 and low >= 0 else ""
            raise HardenerError(
                f"images must lie in [0, 1]; got values from {low:g} to {high:g}.{hint} What normalises them belongs "
                "into the model, so that eps means the same for every model."
            )
    return HeldInMemory(pixels, truth.to(torch.int64))


def draw(
    held: Held,
    count: int,
    seed: int,
    *,
    skip_bad: bool = False,
    on_decoded: Callable[[int], None] | None = None,
) -> Sample:
    """Return `count` images, drawn by the seed, or all there are; in the order in which they are held.

    Raises:
        HardenerError: images that cannot be read, unless `skip_bad`; or none that can.
    """
    order = torch.randperm(len(held), generator=torch.Generator().manual_seed(seed))
    return held.load(sorted(order[:count].tolist()), skip_bad=skip_bad, on_decoded=on_decoded)
