"""How a user asks for data to be read, where looking alone does not tell."""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field

_GROUP = re.compile(r"\{group\}|\(\?P<group>")
_WORDS = ("class_depth", "label_from", "path_column", "label_column", "split_column", "images_root")


class Reading(BaseModel):
    """What was asked for; a run keeps it, so that its data is read the same way again.

    `ignore`: patterns of files and folders that are passed over, such as `samples` or `*.bak.jpg`.
    `dedupe`: images that are in train too, or nearly so, are left out of the other splits.
    `class_depth`: how many folders below the data, or below a split, the class folders lie; `leaf` for the deepest.
    `label_from`: how the name of an image's file tells its class, such as `{label}.{*}.jpg`.
    `path_column`, `label_column`, `split_column`: of a table that names images; None for those that its names tell.
    `images_root`: the folder that the paths in a table count from; None for the table's own.
    `group_by`: what belongs together and is drawn into one split: a column of a table, or what names of files tell,
    such as `{group}_{*}.jpg`. A recipe says it, `data.group_by`.
    `alone`: other splits are named beside; it is no option, and not kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ignore: tuple[str, ...] = ()
    dedupe: bool = False
    class_depth: int | Literal["leaf"] | None = None
    label_from: str | None = None
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    images_root: str | None = None
    group_by: str | None = None
    alone: bool = Field(default=False, exclude=True)

    @property
    def group_pattern(self) -> str | None:
        """What names of files tell their group by; None where none is asked for, or a column."""
        return self.group_by if self.group_by is not None and _GROUP.search(self.group_by) else None

    @property
    def group_column(self) -> str | None:
        """The column that tells groups; None where none is asked for, or a pattern of names."""
        return None if self.group_pattern is not None else self.group_by

    def elsewhere(self) -> Reading:
        """Return how the same user would have other data read: paths in its tables count from its own folder."""
        return self.model_copy(update={"images_root": None})

    def grouped(self, by: str | None) -> Reading:
        """Return the same with what belongs together, by a recipe's `data.group_by`."""
        return self.model_copy(update={"group_by": by})

    def beside(self, *others: Path | None) -> Reading:
        """Return how what is trained on is read where other splits are named: lists beside its table divide it not."""
        return self.model_copy(update={"alone": any(other is not None for other in others)})

    def of_one_split(self) -> Reading:
        """Return how what is a split by itself is read: nothing is drawn of it, so no column of groups is asked for."""
        return self.model_copy(update={"group_by": self.group_pattern})

    def words(self) -> list[str]:
        """Return the options that ask for it, but for `--dedupe`."""
        words = [word for pattern in self.ignore for word in ("--ignore", pattern)]
        for name in _WORDS:
            value = getattr(self, name)
            words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
        return words


AS_FOUND = Reading()
_MOST = 20  # names that an advice lists


def ignoring(names: Iterable[str]) -> str:
    """Return the words that pass over files, folders or classes of these names, and nothing else: `[` is no pattern."""
    words = [f"--ignore {shlex.quote(glob.escape(name))}" for name in names]
    return " ".join(words[:_MOST]) + (" and so on" if len(words) > _MOST else "")


class OtherRoots(TypedDict):
    """Where splits lie that are not below the data's own place; None for those that are, or are drawn."""

    validation_root: Path | None
    test_root: Path | None
