"""Where data lies: a path, or a name of the HuggingFace hub, which is no path and stays as it was typed."""

from __future__ import annotations

import re
from pathlib import Path

_HUB = re.compile(r"hf:(?://)?/?(?:datasets/)?(?P<name>.+)")


def hub_name(path: Path) -> str | None:
    """Return what follows `hf:`; None for a path."""
    found = _HUB.fullmatch(str(path))
    return None if found is None else found["name"]


def is_there(path: Path) -> bool:
    """Tell whether data can be asked for at a path; of a name of the hub that shows when it is read."""
    return hub_name(path) is not None or path.exists()


def lasting(path: Path) -> Path:
    """Return a path that means the same from any folder."""
    return path if hub_name(path) is not None else path.resolve()
