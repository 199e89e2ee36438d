"""What a line of a list or a cell of a table calls an image -> the image. It is built once for many lists."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable

from hardener.data.brought import SplitName
from hardener.data.file_kind import EXTENSIONS
from hardener.data.tables.finding import nearest, shortened

Lookup = Callable[[str, str, SplitName | None], str | None]


def lookup(images: Iterable[str]) -> Lookup:
    """Return what finds the one image that a line names: by its path from the root or the list's folder, by its own
    name and folder, or by its name where no other image has it; with an extension or without.

    It takes the line, the file that it stands in, and the split that this is about.
    """
    every = list(images)
    by_end: dict[str, list[str]] = defaultdict(list)
    for image in every:
        for end in _ends(image):
            by_end[end].append(image)
    short = functools.cache(lambda: shortened(every))  # few lists name images so

    def find(text: str, file: str, split: SplitName | None) -> str | None:
        folder = file.rpartition("/")[0]
        ways = (text, text.rpartition(" ")[0], re.split(r"[,;\t]", text)[0], text.partition(" ")[2])
        for line in dict.fromkeys(ways):  # the class may stand behind it, or before
            named = line.strip(" \"'").replace("\\", "/").removeprefix("./")
            if not named:
                continue
            whole = [f"/{folder}/{named}" if folder else f"/{named}", f"/{named}"]
            parts = named.split("/")
            ends = whole if "/" not in named else [*whole, "/".join(parts[-2:])]
            elsewhere = named.startswith("/") or "://" in named
            if elsewhere:  # /their/own/train/cat/1.jpg
                ends = ["/" + "/".join(parts[place:]) for place in range(1, len(parts) - 1)] + ends
            for end in [*ends, *([] if "/" in named and not elsewhere else [named.rpartition("/")[2]])]:
                found = nearest(_exact(by_end.get(_stem(end), []), named), file, split)
                if len(found) == 1:
                    return found[0]
            found = nearest(short().get(_stem(parts[-1]), []), file, split)
            if len(found) == 1:
                return found[0]
        return None

    return find


def _ends(image: str) -> Iterable[str]:
    """Return what an image may be called: its whole path, its folder and name, its name."""
    stem = _stem(image)
    parts = stem.split("/")
    return dict.fromkeys((f"/{stem}", "/".join(parts[-2:]), parts[-1]))


def _exact(images: list[str], named: str) -> list[str]:
    """Of images that differ by their extension, return those whose is told."""
    return [image for image in images if image.endswith(named)] if len(images) > 1 and _stem(named) != named else images


def _stem(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in EXTENSIONS else name
