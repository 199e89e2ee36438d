"""What a source gives: for each split the images, each with the name of its class, and what is to be said of them."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from hardener.config.data_findings import LeftOut
from hardener.data.coded import Coded
from hardener.data.image_files import Files, ImageFiles, Store
from hardener.data.names import MANY, Names
from hardener.words import plain

SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Group:
    """The images of one split.

    Attributes:
        root, paths, store: as `ImageFiles` has them.
        names: of each image's class. A tuple, or of many `Coded`.
        empty: classes that are shown and have no image.
        source: where the split comes from, as the user sees it, such as `Train/`.
        together: what each image belongs to, such as its patient, where the user names a column; else None.
    """

    root: Path
    paths: Sequence[str]
    names: Sequence[str]
    store: Store = field(default_factory=Files, compare=False)
    empty: tuple[str, ...] = ()
    source: str = ""
    together: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def classes(self) -> frozenset[str]:
        """The classes that have an image."""
        return frozenset(self.names.values if isinstance(self.names, Coded) else self.names)

    def labelled(self, classes: tuple[str, ...]) -> ImageFiles:
        """Return the images with labels that point into `classes`."""
        place = {name: label for label, name in enumerate(classes)}
        if len(self) < MANY:
            return ImageFiles(self.root, self.paths, tuple(place[name] for name in self.names), self.store)
        names = Coded.of(self.names, len(self))
        labels = array("i", np.array([place[name] for name in names.values], np.int32)[names.codes].tobytes())
        return ImageFiles(self.root, Names.of(self.paths), labels, self.store)

    def in_text(self) -> Group:
        """Return it with names of classes that can be written as UTF-8."""
        told = {name: plain(name) for name in {*self.classes, *self.empty}}
        if all(name == text for name, text in told.items()):
            return self
        names = tuple(told[name] for name in self.names)
        return replace(self, names=names, empty=tuple(told[name] for name in self.empty))


@dataclass(frozen=True)
class Brought:
    """What a path holds.

    Attributes:
        splits: a group for each split; or one under None, of data that is not divided.
        classes: their names in order, where the data itself says; else they are sorted.
        notes: how it was read, where that is not plain.
        doubts: what the user must look at.
        left_out: what is not used.
        kind: the name of the source, in `SOURCES`.
    """

    splits: Mapping[SplitName | None, Group]
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    kind: str = ""
