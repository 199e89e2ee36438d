"""The tests that need a GPU, as one item: how many passed, failed and were skipped."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

from item import HERE, Item, Place, Row


def items(place: Place) -> Iterator[Item]:
    """Return the one item."""
    yield Item("pytest -m gpu", _tests, needs_s=120)


def _tests(place: Place) -> Row:
    mark = "gpu" if not place.toy else "not slow"
    found = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            mark,
            "-p",
            "no:cacheprovider",
            str(HERE.parent.parent / "tests/gpu"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", found.stdout)}
    failed = re.findall(r"^(?:FAILED|ERROR) (.+)$", found.stdout, re.MULTILINE)
    if found.returncode:
        print(found.stdout[-6000:], flush=True)
    return {"status": found.returncode, **counts, "failed": failed}
