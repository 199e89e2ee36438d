"""Which column of a table tells what belongs together: the patient, the clip or the place of each image."""

from __future__ import annotations

import re
import shlex

from hardener.config.reading import Reading
from hardener.data.tables.columns import Columns
from hardener.data.tables.content import Table
from hardener.errors import HardenerError, did_you_mean

_GROUPS = re.compile(
    r"(?:patient|subject|person|people|participant|individual|animal|driver|signer|writer|speaker|author|lesion|case"
    r"|study|exam|visit|slide|specimen|sample|biopsy|plate|video|clip|sequence|seq|session|recording|burst|track"
    r"|location|site|camera|scene|scan|volume|series)(?:[\W_]*(?:id|ids|uid|nr|no|num|number|name|code))?",
    re.I,
)


def groups_of_rows(table: Table, reading: Reading) -> list[str] | None:
    """Return the group of each row, an empty text for one that has none; None where no column is asked for.

    Raises:
        HardenerError: there is no such column.
    """
    asked = reading.group_column
    if asked is None:
        return None
    if asked not in table.columns:
        raise HardenerError(
            f"{table.name} has no column {asked!r}. It has {', '.join(table.columns)}."
            f"{did_you_mean(asked, table.columns)} Pass --set data.group_by=NAME."
        )
    return table.columns[asked]


def doubt_about_groups(table: Table, columns: Columns) -> str | None:
    """Tell of a column that may say what belongs together: draws divide it where nothing is said of it."""
    for name, cells in table.columns.items():
        groups = len(set(cells))
        if not _GROUPS.fullmatch(name.strip()) or not 2 <= groups <= len(cells) // 2:
            continue
        if cells in (columns.paths, columns.labels):
            continue
        return (
            f"column {name!r} of {table.name} has {groups:,} values in {len(cells):,} rows, and what is drawn divides "
            f"them: images of one {name} come into several splits, and a model is judged by what it has nearly seen: "
            f"--set {shlex.quote(f'data.group_by={name}')} keeps each in one split"
        )
    return None
