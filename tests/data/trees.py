"""Trees of images, files of lines in them, and what is said where a tree is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from hardener.data.data_set import read_data_set
from hardener.errors import HardenerError


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return path


def picture(seed: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (seed % 251, 90, 7)).save(file, "PNG")
    return file.getvalue()


def fill(root: Path, *names: str) -> Path:
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(seed))
    return root


def classes(root: Path, *names: str, count: int = 4) -> Path:
    return fill(root, *(f"{name}/{place}.png" for name in names for place in range(count)))


def refused(root: Path) -> str:
    with pytest.raises(HardenerError) as caught:
        read_data_set(root)
    return str(caught.value)
