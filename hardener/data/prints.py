"""What an image is known by again: its bytes, and a small gray copy that outlives another format, size or brightness.

Two images are equal where their bytes are, and nearly equal where their gray copies go up and down together:
1 - correlation <= 0.002. On CIFAR-10 (JPEG), clothes (176 px), Fashion-MNIST and Digits that finds no image of another
object in the test split. A photograph saved again at quality 50, at half the size or in gray is found 99 times of 100.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hardener.config.data_findings import BEFORE
from hardener.config.run_folder import RunFolder
from hardener.data.cache import Facts, PixelCache, Write
from hardener.data.image_files import ImageFiles
from hardener.data.threads import mapped

SIDE = 12
_DIGEST = 16
PRINT_BYTES = _DIGEST + SIDE * SIDE
WITH_COPIES = 200_000
"""In a larger split only digests are kept: so many images could not be compared one by one."""
NEAR = 0.002
_FLAT = 2.0  # levels of standard deviation: below it, a copy shows noise alone
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of Pillow's "L": a copy saved in gray has it
_PAIRS = 4_000_000_000  # compared at most: ten seconds of one core or so
_ROWS = 2048
_LIKES = 8  # of an image, in each block, where images have more

Rows = NDArray[np.uint8]


@dataclass(frozen=True)
class Prints:
    """The prints of a list of images, one a row: (N, PRINT_BYTES) uint8, or of a large list the digests alone."""

    rows: Rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def digests(self) -> list[bytes]:
        """The first 16 bytes of each sha256."""
        return [row.tobytes() for row in self.rows[:, :_DIGEST]]

    def copies(self) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the gray copies, (N, SIDE * SIDE), with mean 0 and length 1, and which of them show anything."""
        levels = self.rows[:, _DIGEST:].astype(np.float32)
        levels -= levels.mean(axis=1, keepdims=True)
        length = np.linalg.norm(levels, axis=1, keepdims=True)
        return levels / np.maximum(length, 1e-6), (length[:, 0] > _FLAT * SIDE)

    def known(self) -> NDArray[np.bool_]:
        """Return which images could be read: the rows of others are zero."""
        return np.asarray(self.rows[:, :_DIGEST].any(axis=1))

    def pick(self, places: NDArray[np.int64]) -> Prints:
        """Return those of some images."""
        return Prints(self.rows[places])


def kept_prints(run: RunFolder) -> dict[str, Prints]:
    """Return, for each split, what a run's images are known by; nothing for a run that does not keep that.

    Raises:
        HardenerError: the file is damaged.
    """
    return {name: Prints(rows) for name, rows in run.read_prints().items()}


def before(prints: Mapping[str, Prints]) -> dict[str, Prints]:
    """Return a run's prints as one keeps them that starts from it: what it was trained on, and what chose its epoch.

    What the run itself started from counts too.
    """
    found = {}
    for split in ("train", "validation"):
        rows = [prints[name].rows for name in (split, BEFORE + split) if name in prints]
        width = min((one.shape[1] for one in rows), default=PRINT_BYTES)
        whole = np.concatenate([np.zeros((0, width), np.uint8), *(one[:, :width] for one in rows)])
        found[BEFORE + split] = Prints(np.unique(whole, axis=0))
    return found


def prints_of(marks: bytes, images: int) -> Prints:
    """Return the prints that stand one behind the other, of so many images."""
    return Prints(np.frombuffer(marks, np.uint8).reshape(images, -1))


def unread(images: int) -> bytes:
    """Return what stands for an image that could not be read."""
    return bytes(PRINT_BYTES if images <= WITH_COPIES else _DIGEST)


def print_of(digest: bytes, planes: NDArray[np.uint8], images: int) -> bytes:
    """Return an image's print.

    Args:
        digest: the sha256 of its file.
        planes: (C, H, W), as they were decoded.
        images: of its split.
    """
    if images > WITH_COPIES:
        return digest[:_DIGEST]
    rule = Image.Resampling.BOX if min(planes.shape[1:]) >= SIDE else Image.Resampling.BILINEAR
    step = max(1, min(planes.shape[1:]) // (5 * SIDE))  # one pixel in nine of a photograph shows as much
    some = planes[:, ::step, ::step]
    gray = some[0] if len(some) == 1 else np.tensordot(_LUMA, some, 1).round().astype(np.uint8)
    return digest[:_DIGEST] + Image.fromarray(np.ascontiguousarray(gray)).resize((SIDE, SIDE), rule).tobytes()


def read_digests(files: ImageFiles, cache: PixelCache | None, on_done: Callable[[int], object]) -> Prints:
    """Return what the bytes of images are known by; nothing is decoded. A file that cannot be read has a zero row."""

    def digest(place: int) -> bytes:
        try:
            return hashlib.sha256(files.open(place)).digest()[:_DIGEST]
        except OSError:
            return bytes(_DIGEST)

    def make(write: Write) -> tuple[Facts, bool]:
        rows = list(mapped(digest, range(len(files)), on_done))
        lasting = cache is not None and all(map(any, rows)) and cache.holds(key, files, what="digests")
        return {"prints": b"".join(rows)}, lasting

    key = None if cache is None else cache.key(files, what="digests")
    entry = None if cache is None or key is None else cache.get(key, 0, make)
    facts = make(lambda planes: None)[0] if entry is None else entry.facts
    return prints_of(facts["prints"], len(files))


def equal_places(ours: Prints, theirs: Prints) -> NDArray[np.int64]:
    """Return, for each of our images, the place of one of theirs with the same bytes, or -1."""
    if not len(ours) or not len(theirs):
        return np.full(len(ours), -1, np.int64)
    keys, wanted = _numbers(theirs), _numbers(ours)
    order = np.argsort(keys, kind="stable")
    places = order[np.minimum(np.searchsorted(keys, wanted, sorter=order), len(order) - 1)]
    same = ours.known() & (theirs.rows[places, :_DIGEST] == ours.rows[:, :_DIGEST]).all(axis=1)
    return np.where(same, places, -1)


def first_places(prints: Prints) -> NDArray[np.int64]:
    """Return, for each image, the first place with the same bytes: its own, or an earlier one; -1 where unread."""
    numbers = _numbers(prints)
    order = np.argsort(numbers, kind="stable")
    rows = prints.rows[order, :_DIGEST]
    starts = np.ones(len(order), np.bool_)
    starts[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    places = np.empty(len(order), np.int64)
    places[order] = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    return np.where(prints.known(), places, -1)


def near_places(ours: Prints, theirs: Prints) -> NDArray[np.int64] | None:
    """Return, for each of our images, the place of one of theirs that is nearly equal, or -1; None where both are too
    many to compare."""
    places = np.full(len(ours), -1, np.int64)
    if not len(ours) or not len(theirs):
        return places
    if len(ours) * len(theirs) > _PAIRS or min(ours.rows.shape[1], theirs.rows.shape[1]) < PRINT_BYTES:
        return None
    (left, shows), (right, known) = ours.copies(), theirs.copies()
    right[~known] = 0
    for start in range(0, len(ours), _ROWS):
        part = slice(start, start + _ROWS)
        best, value = np.full(len(left[part]), -1, np.int64), np.full(len(left[part]), 1 - NEAR, np.float32)
        for other in range(0, len(theirs), 8 * _ROWS):
            alike = left[part] @ right[other : other + 8 * _ROWS].T
            at = alike.argmax(axis=1)
            top = alike[np.arange(len(at)), at]
            best, value = np.where(top > value, at + other, best), np.maximum(top, value)
        places[part] = np.where(shows[part], best, -1)
    return places


def can_be_paired(prints: Prints) -> bool:
    """Tell whether so few images are known by their look that each can be compared with each."""
    return len(prints) ** 2 <= 2 * _PAIRS and prints.rows.shape[1] == PRINT_BYTES


def near_pairs(prints: Prints) -> Iterator[tuple[int, int]]:
    """Yield the places of images that are nearly equal; nothing where there are too many to compare.

    Of many images that are all alike, such as frames of a film, not every pair comes, but enough to join them.
    """
    if not len(prints) or not can_be_paired(prints):
        return
    copies, shows = prints.copies()
    copies[~shows] = 0
    for start in range(0, len(prints), _ROWS):
        for other in range(start, len(prints), 8 * _ROWS):
            alike = copies[start : start + _ROWS] @ copies[other : other + 8 * _ROWS].T
            near = alike >= 1 - NEAR
            near &= np.arange(other, other + near.shape[1]) > np.arange(start, start + len(near))[:, None]
            if near.sum() > _LIKES * len(near):
                near &= near.cumsum(axis=1) <= _LIKES
            for one, two in np.argwhere(near).tolist():
                yield start + one, other + two


def joined(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Join pairs that share a member into groups, each ascending, by their first member."""
    above: dict[int, int] = {}

    def first(member: int) -> int:
        while above.setdefault(member, member) != member:
            above[member] = above[above[member]]
            member = above[member]
        return member

    for one, other in pairs:
        low, high = sorted((first(one), first(other)))
        above[high] = low
    found: dict[int, list[int]] = {}
    for member in sorted(above):
        found.setdefault(first(member), []).append(member)
    return sorted(tuple(members) for members in found.values() if len(members) > 1)


def _numbers(prints: Prints) -> NDArray[np.uint64]:
    """The first eight bytes of each digest, which can be sorted."""
    return np.ascontiguousarray(prints.rows[:, :8]).view(np.uint64).reshape(-1)
