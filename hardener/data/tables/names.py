"""Names of columns: which are known, and how they are found and told."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hardener.data.tables.content import Table
from hardener.errors import HardenerError, did_you_mean

_words = str.split
PATHS = _words(
    "path filepath imagepath imgpath imagefilepath filename file imagefile imagefilename imgfile imgname imagename "
    "relativepath relpath image img images picture photo filenames filepaths imageid imgid isicid id uid name key fname"
)
LABELS = _words(
    "label labels classname class labelname target category categoryname species breed diagnosis dx disease variety "
    "y cls genre type kind finding emotion expression groundtruth gt answer classlabel labelid classid categoryid "
    "targetid tag tags choice subject defecttype defect diagnostic klasse kategorie befund diagnose fehlerart classe "
    "catégorie étiquette clase categoría categoria etiqueta etichetta 类别 标签 класс"
)
SPLITS = _words("split set subset partition usage phase fold datasplit dataset imageset traintest splitname")


class NoColumn(HardenerError):
    """A table lacks a column for paths or for classes: it may be no table of images."""


def named(table: Table, asked: str, option: str) -> str:
    if asked not in table.columns:
        raise NoColumn(
            f"{table.name} has no column {asked!r}. It has {list_of(table)}."
            f"{did_you_mean(asked, table.columns)} Pass {option} NAME."
        )
    return asked


def called(names: list[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {', '.join(map(repr, names))}"


def by_name(table: Table, order: Iterable[str]) -> list[str]:
    whole = [name for name in reversed(table.columns) if name.count("[") == name.count("]")]  # `Spacing[x`, `y]`
    keys = {inner_key(name): name for name in whole}
    keys |= {key_of(name): name for name in whole}
    return list(dict.fromkeys(keys[wanted] for wanted in order if wanted in keys))


def inner_key(name: str) -> str:
    """Return what tells the meaning of a column that was an object in JSON: image.path, label.name."""
    outer, _, inner = name.partition(".")
    return key_of(outer if key_of(outer) in {*LABELS, *SPLITS} else inner or outer)


def key_of(name: str) -> str:
    return "".join(re.findall(r"\w", name.lower())).replace("_", "")


def list_of(table: Table) -> str:
    names = list(table.columns)
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def some_of(cells: Iterable[str]) -> str:
    found = sorted(set(cells))
    return ", ".join(repr(cell) for cell in found[:4]) + (", …" if len(found) > 4 else "")
