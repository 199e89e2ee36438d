"""What was found in a large folder, archive or table, kept for the next start: names of images, and splits drawn.

A folder's time changes when a file in it comes, goes or is renamed, so the times of all folders, and of the files that
were read, tell whether the list still holds: a thousand questions instead of a million. Contents of images do not
matter here; the cache of pixels asks each file. Names stay in the file and are read from it as they are asked for: an
image takes some bytes of memory.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardener.config.data_findings import LeftOut
from hardener.config.files import written_whole
from hardener.config.reading import Reading
from hardener.data import split
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.cache import default_folder
from hardener.data.coded import Coded
from hardener.data.image_files import Files, Store
from hardener.data.names import MANY, Names, Stretch
from hardener.data.tree import Tree

_MOST_OTHERS = 10_000  # files that are no images and whose contents may matter
_SETTLED_S = 2.0  # a folder changed so shortly before it was listed may change again within its clock's tick
_KEPT = 40  # files
_CHECK, _SIZE = 32, 8  # bytes of sha256 before what is kept, and of the texts' length

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Seen:
    """What an answer depends on.

    Attributes:
        root: the folder that the names count from.
        folders: that were listed, also those that were not there.
        files: whose contents were read.
        changeable: whether something may change without a time telling it.
    """

    root: Path
    folders: Sequence[str] = ()
    files: Sequence[str] = ()
    changeable: bool = False

    @classmethod
    def of(cls, root: Path, tree: Tree) -> Seen:
        """Return what a folder that was listed depends on: files that are no images may be tables."""
        changeable = tree.changeable or len(tree.others) > _MOST_OTHERS
        return cls(root, tree.folders, sorted({*tree.others, *tree.looked}), changeable)

    def times(self) -> list[list[int]]:
        """Return what tells a folder or file from a changed one; empty for one that is not there."""
        return [_times(f"{self.root}/{name}") for name in (*self.folders, *self.files)]


def indexed(
    top: Path,
    what: str,
    reading: Reading,
    read: Callable[[], tuple[Brought, Seen]],
    *,
    store: Callable[[str], Store] = lambda base: Files(),
) -> Brought:
    """Return what a path holds, as it was kept or as it is read now.

    Args:
        top: what the roots of all groups lie below.
        what: the file that says what is there, where it is not the top itself.
        read: looks, and tells what the answer depends on.
        store: of the images whose paths count from a folder below the top.
    """
    place = _place("found", str(top), str(top.resolve()), what, repr(reading))
    kept = _kept(place, top, store)
    if kept is not None:
        return kept
    began = time.time()
    found, seen = read()
    if _keep(place, top, found, seen, began):
        del found, seen  # from here on their like in the file does
        return _kept(place, top, store) or read()[0]
    return found


def _kept(place: Path, top: Path, store: Callable[[str], Store]) -> Brought | None:
    """Return what was kept, where it still holds."""
    kept = _load(place)
    if kept is None:
        return None
    with contextlib.suppress(KeyError, ValueError, TypeError):
        told = json.loads(kept.arrays["told"].tobytes())
        seen = Seen(Path(told["root"]), told["folders"], told["files"])
        if told["seen"] == seen.times():
            return _brought(top, told, kept, store)
    return None


def drawn(names: Sequence[str], labels: Sequence[int], fraction: float, salt: str) -> NDArray[np.int64]:
    """Return the places that `draw_from_each_class` holds out, ascending, as they were kept or drawn now."""
    if not isinstance(names, Names):
        return split.draw_from_each_class(names, labels, fraction, salt)
    told = hashlib.sha256(np.asarray(labels, np.int64).tobytes()).hexdigest()
    place = _place("draw", names.digest, told, repr(fraction), salt)
    kept = _load(place)
    if kept is not None and "held" in kept.arrays:
        return kept.arrays["held"]
    held = split.draw_from_each_class(names, labels, fraction, salt)
    _write(place, {"held": held})
    return held


def _place(*what: str) -> Path:
    """Return where something is kept, by all that it depends on; another version of the code finds nothing of this."""
    key = hashlib.sha256(json.dumps([*what, _code()]).encode()).hexdigest()
    return default_folder() / "index" / f"{key}.index"


@functools.cache
def _code() -> str:
    """Return the sha256 over the files of this room, all of which may have a say."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def _keep(place: Path, top: Path, found: Brought, seen: Seen, began: float) -> bool:
    """Keep what was found, where it is much and plain enough to be recognised by times; tell whether it is kept."""
    if sum(map(len, found.splits.values())) < MANY or seen.changeable:
        return False
    times = seen.times()
    latest = max((time for one in times for time in one[:2]), default=0)
    if not latest or latest / 1e9 > began - _SETTLED_S:
        return False
    arrays: dict[str, NDArray[Any]] = {}
    texts: list[bytes] = []
    groups: list[dict[str, Any]] = []
    for number, (name, group) in enumerate(found.splits.items()):
        paths, names = Names.of(group.paths).whole(), Coded.of(group.names, len(group))
        arrays |= {f"ends{number}": paths.ends, f"classes{number}": names.codes}
        texts.append(bytes(paths.text[:]))
        together = None if group.together is None else Coded.of(group.together, len(group))
        arrays |= {} if together is None else {f"together{number}": together.codes}
        groups.append({
            "split": name,
            "base": group.root.relative_to(top).as_posix(),
            "classes": names.values,
            "empty": group.empty,
            "source": group.source,
            "together": None if together is None else together.values,
            "text": len(texts[-1]),
        })  # fmt: skip
    told = {
        "root": str(seen.root.absolute()),
        "folders": seen.folders,
        "files": seen.files,
        "seen": times,
        "groups": groups,
        "classes": found.classes,
        "kind": found.kind,
        "notes": found.notes,
        "doubts": found.doubts,
        "left_out": [fact.model_dump() for fact in found.left_out],
    }
    with contextlib.suppress(UnicodeEncodeError):  # names that are no text are listed anew each time
        arrays["told"] = np.frombuffer(json.dumps(told, ensure_ascii=False).encode(), np.uint8)
        return _write(place, arrays, texts)
    return False


def _brought(top: Path, told: Mapping[str, Any], kept: _Kept, store: Callable[[str], Store]) -> Brought:
    groups: dict[SplitName | None, Group] = {}
    start = 0
    for number, fact in enumerate(told["groups"]):
        base = fact["base"]
        paths = Names(kept.texts.part(start, fact["text"]), kept.arrays[f"ends{number}"])
        names = Coded(fact["classes"], kept.arrays[f"classes{number}"])
        groups[fact["split"]] = Group(
            top / base, paths, names, store("" if base == "." else base),
            empty=tuple(fact["empty"]), source=fact["source"],
            together=None if fact["together"] is None else Coded(fact["together"], kept.arrays[f"together{number}"]),
        )  # fmt: skip
        start += fact["text"]
    return Brought(
        groups,
        classes=None if told["classes"] is None else tuple(told["classes"]),
        notes=tuple(told["notes"]),
        doubts=tuple(told["doubts"]),
        left_out=tuple(LeftOut.model_validate(fact) for fact in told["left_out"]),
        kind=told["kind"],
    )


def _times(path: str) -> list[int]:
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_size]


@dataclass(frozen=True)
class _Kept:
    """What a file holds: texts one behind the other, and arrays."""

    texts: Stretch
    arrays: Arrays


def _load(place: Path) -> _Kept | None:
    """Return what is kept; None where there is nothing, or something else than was written."""
    try:
        with place.open("rb") as file:
            told = file.read(_CHECK)
            if hashlib.file_digest(file, "sha256").digest() != told:
                return None
            os.utime(place)
            file.seek(_CHECK)
            size = int.from_bytes(file.read(_SIZE), "little")
            file.seek(size, os.SEEK_CUR)
            with np.load(file, allow_pickle=False) as found:
                return _Kept(Stretch(file, _CHECK + _SIZE, size), {name: found[name] for name in found.files})
    except OSError:
        return None


def _write(place: Path, arrays: Arrays, texts: Sequence[bytes] = ()) -> bool:
    """Keep arrays and texts; tell whether they are kept."""
    with contextlib.suppress(OSError):  # what cannot be kept is found again
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        packed = io.BytesIO()
        np.savez(packed, **dict(arrays))  # type: ignore[arg-type]
        size = sum(map(len, texts)).to_bytes(_SIZE, "little")
        parts: list[bytes | memoryview] = [size, *texts, packed.getbuffer()]
        check = hashlib.sha256()
        for part in parts:
            check.update(part)
        with written_whole(place) as beside, beside.open("wb") as file:
            file.writelines([check.digest(), *parts])
        old = sorted(place.parent.glob("*.index"), key=lambda kept: kept.stat().st_mtime)
        for spare in old[:-_KEPT]:
            spare.unlink()
        return True
    return False
