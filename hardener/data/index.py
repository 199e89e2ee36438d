"""What was found in a large folder, kept for the next start: the names of its images, and the splits drawn of them.

A folder's time changes when a file in it comes, goes or is renamed, so the times of all folders tell whether the list
still holds: a thousand questions instead of a million. Contents do not matter here; the cache of pixels asks each file.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import io
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardener.config.data_findings import LeftOut
from hardener.config.files import written_whole
from hardener.config.reading import Reading
from hardener.data import ambiguity, file_kind, layout, node, split, split_names, tree
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.cache import default_folder
from hardener.data.names import MANY, Names
from hardener.data.tree import Tree

_MOST_OTHERS = 10_000  # files that are no images and whose contents may matter
_SETTLED_S = 2.0  # a folder changed so shortly before it was listed may change again within its clock's tick
_KEPT = 40  # files
_CHECK = 32  # bytes of sha256 before what is kept

Arrays = Mapping[str, NDArray[Any]]


def indexed(root: Path, reading: Reading, read: Callable[[], tuple[Brought, Tree]]) -> Brought:
    """Return what a folder holds, as it was kept or as it is read now.

    Args:
        read: lists the folder; the tree is what it has seen.
    """
    place = _place("folder", str(root.resolve()), reading.model_dump_json())
    kept = _load(place)
    if kept is not None:
        with contextlib.suppress(KeyError, ValueError, TypeError):
            told = json.loads(kept["told"].tobytes())
            if told["seen"] == _times(root, told["folders"], told["others"]):
                return _brought(root, told, kept)
    began = time.time()
    found, seen = read()
    _keep_folder(place, root, found, seen, began)
    return found


def drawn(names: Sequence[str], labels: Sequence[int], fraction: float, salt: str) -> NDArray[np.int64]:
    """Return the places that `draw_from_each_class` holds out, ascending, as they were kept or drawn now."""
    if not isinstance(names, Names):
        return np.array(split.draw_from_each_class(names, labels, fraction, salt)[1], np.int64)
    told = hashlib.sha256(names.block.tobytes())
    told.update(np.asarray(labels, np.int64).tobytes())
    place = _place("draw", told.hexdigest(), repr(fraction), salt)
    kept = _load(place)
    if kept is not None and "held" in kept:
        return kept["held"]
    held = np.array(split.draw_from_each_class(list(names), labels, fraction, salt)[1], np.int64)
    _write(place, {"held": held})
    return held


def _place(*what: str) -> Path:
    """Return where something is kept, by all that it depends on; another version of the code finds nothing of this."""
    source = "".join(map(inspect.getsource, (ambiguity, file_kind, layout, node, split, split_names, tree)))
    key = hashlib.sha256(json.dumps([*what, source]).encode()).hexdigest()
    return default_folder() / "index" / f"{key}.index"


def _keep_folder(place: Path, root: Path, found: Brought, seen: Tree, began: float) -> None:
    """Keep what was found, where it is much and plain enough to be recognised by times."""
    if sum(map(len, found.splits.values())) < MANY or found.kind or seen.changeable or len(seen.others) > _MOST_OTHERS:
        return
    others = sorted({*seen.others, *seen.looked})
    times = _times(root, seen.folders, others)
    latest = max((max(one[0], one[1]) for one in times), default=0)
    if not times or latest / 1e9 > began - _SETTLED_S:
        return
    arrays: dict[str, NDArray[Any]] = {}
    groups = []
    for number, (name, group) in enumerate(found.splits.items()):
        classes = sorted(set(group.names))
        code = {label: own for own, label in enumerate(classes)}
        paths = Names.of(group.paths)
        arrays |= {f"block{number}": paths.block, f"ends{number}": paths.ends}
        arrays[f"labels{number}"] = np.fromiter((code[label] for label in group.names), np.int32, len(group))
        base = group.root.relative_to(root).as_posix()
        groups.append({"split": name, "base": base, "classes": classes, "empty": group.empty, "source": group.source})
    told = {
        "folders": seen.folders,
        "others": others,
        "seen": times,
        "groups": groups,
        "notes": found.notes,
        "doubts": found.doubts,
        "left_out": [fact.model_dump() for fact in found.left_out],
    }
    with contextlib.suppress(UnicodeEncodeError):  # names that are no text are listed anew each time
        arrays["told"] = np.frombuffer(json.dumps(told, ensure_ascii=False).encode(), np.uint8)
        _write(place, arrays)


def _brought(root: Path, told: Mapping[str, Any], kept: Arrays) -> Brought:
    groups: dict[SplitName | None, Group] = {}
    for number, fact in enumerate(told["groups"]):
        classes = fact["classes"]
        names = tuple(classes[code] for code in kept[f"labels{number}"].tolist())
        groups[fact["split"]] = Group(
            root / fact["base"], Names(kept[f"block{number}"], kept[f"ends{number}"]), names,
            empty=tuple(fact["empty"]), source=fact["source"],
        )  # fmt: skip
    left_out = tuple(LeftOut.model_validate(fact) for fact in told["left_out"])
    return Brought(groups, notes=tuple(told["notes"]), doubts=tuple(told["doubts"]), left_out=left_out)


def _times(root: Path, folders: Sequence[str], others: Sequence[str]) -> list[list[int]]:
    """Return what tells a folder, or a file whose contents were looked at, from a changed one; empty if one is gone."""
    try:
        found = [os.stat(f"{root}/{name}") for name in (*folders, *others)]
    except OSError:
        return []
    return [[one.st_mtime_ns, one.st_ctime_ns, one.st_ino, one.st_size] for one in found]


def _load(place: Path) -> dict[str, NDArray[Any]] | None:
    """Return what is kept; None where there is nothing, or something else than was written."""
    try:
        data = place.read_bytes()
        os.utime(place)
    except OSError:
        return None
    content = memoryview(data)[_CHECK:]
    if hashlib.sha256(content).digest() != data[:_CHECK]:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def _write(place: Path, arrays: Arrays) -> None:
    with contextlib.suppress(OSError):  # what cannot be kept is found again
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = io.BytesIO()
        np.savez(content, **dict(arrays))  # type: ignore[arg-type]
        with written_whole(place) as beside, beside.open("wb") as file:
            file.write(hashlib.sha256(content.getbuffer()).digest())
            file.write(content.getbuffer())
        old = sorted(place.parent.glob("*.index"), key=lambda kept: kept.stat().st_mtime)
        for spare in old[:-_KEPT]:
            spare.unlink()
