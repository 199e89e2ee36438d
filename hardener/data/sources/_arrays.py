"""Images that are rows of an array: their names, their bytes, and their labels."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hardener.data.brought import Group
from hardener.data.image_files import stamp_of
from hardener.errors import HardenerError


class Rows:
    """The bytes of images that lie in an array, (N, H, W) or (N, H, W, C), uint8: each as a small lossless file.

    Args:
        source: the file that they came from; when it changes, so do the images.
    """

    form = "array rows"
    """What their format is called: the bytes that they are given as are made here."""

    def __init__(self, source: Path, images: NDArray[np.uint8]) -> None:
        self._source = source
        self._images = images

    def read(self, root: Path, path: str) -> bytes:
        """Return an image as PGM or PPM, and one of two or four channels as PNG."""
        image = self._images[int(path.rpartition("/")[2])]
        if image.ndim == 3 and image.shape[2] == 1:
            image = image[:, :, 0]
        if image.ndim == 2 or image.shape[2] == 3:
            head = f"P{5 if image.ndim == 2 else 6} {image.shape[1]} {image.shape[0]} 255\n"
            return head.encode("ascii") + np.ascontiguousarray(image).tobytes()
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        return file.getvalue()

    def stamps(self, root: Path, paths: Iterable[str]) -> bytes:
        """Return size and times of the file that the array came from."""
        return stamp_of(self._source)


def group_of(source: Path, name: str, images: NDArray[Any], labels: NDArray[Any], names: list[str] | None) -> Group:
    """Return the images of an array as a split.

    Args:
        source: the file that it came from.
        name: of the array, as messages call it.
        labels: (N,) or (N, 1), numbers or texts; or (N, K), one 1 in each row.
        names: of the classes that numbers stand for.
    Raises:
        HardenerError: the array holds no images of 8 bits, or labels do not go with it.
    """
    where = f"{name} of {source}"
    pixels = _pixels(images, where)
    truth = _labels(labels, len(pixels), where)
    told = tuple(map(str, truth.tolist())) if names is None else _by_names(truth, names, where)
    paths = tuple(f"{name}/{place:06}" for place in range(len(pixels)))
    return Group(source, paths, told, Rows(source, pixels), source=name)


def texts(array: NDArray[Any]) -> list[str]:
    """Return the texts in an array, which may be written as bytes; numbers as texts."""
    return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in array.tolist()]


def _by_names(truth: NDArray[Any], names: list[str], where: str) -> tuple[str, ...]:
    """Return the names that labels stand for; labels that are names already stay."""
    if truth.dtype.kind == "U":
        other = sorted(set(truth.tolist()) - set(names))
        if other:
            raise HardenerError(f"{where} has the label {other[0]!r}, which the names of classes lack.")
        return tuple(truth.tolist())
    if len(truth) and not set(truth.tolist()) <= set(range(len(names))):
        wrong = int(truth.min()) if int(truth.min()) < 0 else int(truth.max())
        raise HardenerError(
            f"{where} has the label {wrong}, and {len(names)} classes are named, 0 to {len(names) - 1}. Take images "
            "without a class out of the array, or name every class."
        )
    return tuple(names[int(value)] for value in truth.tolist())


def class_order(groups: list[Group]) -> tuple[str, ...]:
    """Return the classes: numbers by their size, texts by the alphabet."""
    found = {name for group in groups for name in group.classes}
    return tuple(sorted(found, key=int) if all(name.isdecimal() for name in found) else sorted(found))


def _pixels(images: NDArray[Any], where: str) -> NDArray[np.uint8]:
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 2, 3, 4):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 2, 3, 4)):
        raise HardenerError(
            f"{where} has the shape {images.shape}. Images are (N, H, W), (N, H, W, C) or (N, C, H, W), of 1, 3 or 4 "
            f"channels.{_reshaped(images)}"
        )
    if images.dtype != np.uint8:
        raise HardenerError(
            f"{where} holds {images.dtype}; images in arrays are uint8, from 0 to 255. Convert them, such as "
            f"{_as_bytes(images)}."
        )
    return images


def _reshaped(images: NDArray[Any]) -> str:
    side = round(images.shape[1] ** 0.5) if images.ndim == 2 else 0
    return f" Rows of squares are images.reshape(-1, {side}, {side})." if side and side**2 == images.shape[1] else ""


def _as_bytes(images: NDArray[Any]) -> str:
    """Return what makes bytes of other numbers."""
    low, high = (float(images.min()), float(images.max())) if images.size and images.dtype.kind in "iufb" else (0, 0)
    if low >= 0 and 1 < high <= 255:
        return "images.round().astype('uint8')"
    if low >= 0 and high <= 1:
        return "(images * 255).round().astype('uint8')"
    return f"((images - {low:g}) / {high - low:g} * 255).round().astype('uint8'), of levels from {low:g} to {high:g}"


def _labels(labels: NDArray[Any], count: int, where: str) -> NDArray[Any]:
    if len(labels) != count:
        raise HardenerError(f"{where} has {count} images and {len(labels)} labels.")
    if labels.ndim == 2 and labels.shape[1] == 1:
        return _labels(labels[:, 0], count, where)
    if labels.ndim == 2 and np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all():
        return np.asarray(labels.argmax(axis=1))
    if labels.dtype.kind == "S" and labels.ndim == 1:
        return np.array(texts(labels), dtype=np.str_)
    if labels.ndim != 1:
        raise HardenerError(f"{where}: labels have the shape {labels.shape}; an image has one class here.")
    if labels.dtype.kind == "f":
        if not (labels == labels.round()).all():
            raise HardenerError(f"{where}: labels are no whole numbers; an image has a class here, no value.")
        return labels.astype(np.int64)
    if labels.dtype.kind not in "iuUb":
        raise HardenerError(f"{where}: labels are {labels.dtype}; numbers or texts are read.")
    return labels
