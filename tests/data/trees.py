"""Files of lines in trees of images, and what is said where a tree is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardener.data.data_set import read_data_set
from hardener.errors import HardenerError


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def refused(root: Path) -> str:
    with pytest.raises(HardenerError) as caught:
        read_data_set(root)
    return str(caught.value)
