"""A shell for commands, a run that is trained, and a disk that is soon full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import QUICK, Shell
from oracles import TINY_MODEL, write_image_folder


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory, own_cache: None) -> Shell:
    """Starts commands in processes of their own."""
    return Shell(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, shell: Shell) -> Path:
    """A folder with `imgs`, `tiny.py` and the finished run `runs/done`; tests only add to it."""
    home = tmp_path_factory.mktemp("faults")
    write_image_folder(home / "imgs", {"cat": 12, "dog": 12})
    (home / "tiny.py").write_text(TINY_MODEL)
    done = shell.run(
        "train", home / "tiny.py", "--data", home / "imgs", *QUICK, "--out", home / "runs", "--name", "done"
    )
    assert done.ended() == 0, done.err
    return home


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"needs the rights to mount: {mounted.stderr.strip()}")
    os.chmod(place, 0o777)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
