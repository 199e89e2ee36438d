"""What a line of a list or a cell of a table calls an image -> the image. It is built once for many lists."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

from hardener.data.brought import SplitName
from hardener.data.file_kind import EXTENSIONS
from hardener.data.tables.finding import nearest, shortened

_NUMBERS = re.compile(r"(?: +-?\d+(?:\.\d+)?)+$")


class Lookup:
    """Finds the one image that a line names: by its path from the root or the list's folder, by its own name and
    folder, or by its name where no other image has it; with an extension or without.

    Args:
        images: those that there are.
    Attributes:
        unsure: what several images fit, each with these.
    """

    def __init__(self, images: Iterable[str]) -> None:
        self._images = list(images)
        self._by_end: dict[str, list[str]] = defaultdict(list)
        for image in self._images:
            for end in _ends(image):
                self._by_end[end].append(image)
        self.unsure: dict[str, list[str]] = {}

    @cached_property
    def _short(self) -> dict[str, list[str]]:
        return shortened(self._images)  # few lists name images so

    def __call__(self, text: str, file: str, split: SplitName | None) -> str | None:
        """Return the image that a line of a file names, the file being about a split; None where it names none."""
        folder = file.rpartition("/")[0]
        ways = (text, text.rpartition(" ")[0], re.split(r"[,;\t]", text)[0], text.partition(" ")[2])
        several: list[str] = []
        for line in dict.fromkeys((*ways, _NUMBERS.sub("", text))):  # the class may stand behind it, or before
            named = line.strip(" \"'").replace("\\", "/").removeprefix("./")
            for candidates in self._candidates(named, folder) if named else ():
                found = nearest(candidates, file, split)
                if len(found) == 1:
                    return found[0]
                several = several or found
        if several:
            self.unsure[text] = several
        return None

    def _candidates(self, named: str, folder: str) -> Iterable[list[str]]:
        """Yield the images that a name may stand for, the most telling first."""
        whole = [f"/{folder}/{named}" if folder else f"/{named}", f"/{named}"]
        parts = named.split("/")
        ends = whole if "/" not in named else [*whole, "/".join(parts[-2:])]
        elsewhere = named.startswith("/") or "://" in named
        if elsewhere:  # /their/own/train/cat/1.jpg
            ends = ["/" + "/".join(parts[place:]) for place in range(1, len(parts) - 1)] + ends
        for end in [*ends, *([] if "/" in named and not elsewhere else [parts[-1]])]:
            yield _exact(self._by_end.get(_stem(end), []), named)
        yield self._short.get(_stem(parts[-1]), [])


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
