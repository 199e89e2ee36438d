"""What a table is once it is read: columns of text. And what is asked of texts on the way."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hardener.data.file_kind import EXTENSIONS


@dataclass(frozen=True)
class Table:
    """Rows by columns.

    Attributes:
        name: what messages call it.
        columns: name -> the text in each row, empty where there is none.
        headed: whether the table names its columns; else they are called 1, 2, …
        torn: the lines that were left out since they have more cells than there are columns.
    """

    name: str
    columns: dict[str, list[str]]
    headed: bool = True
    torn: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def looks_like_image(text: str) -> bool:
    """Tell whether a text ends as the name of an image file does."""
    return text.strip().lower().endswith(EXTENSIONS)


def lines_of(text: str) -> list[str]:
    """Return the lines of a file. `splitlines` also ends one at marks that a cell may hold, such as U+2028."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def as_text(value: object) -> str:
    """Return a value as a table of text would hold it; of a list or object its JSON."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
