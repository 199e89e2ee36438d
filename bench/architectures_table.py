"""Architectures of torchvision, timm and transformers, tried: the table of docs/reference/architectures.md.

    python bench/architectures_table.py [NAME ...]

Prints a line of the table for each; what fails is a line too. The list is tests/strangers/architectures.py.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests" / folder) for folder in ("", "strangers")]

from architectures import SIZES, done, images  # noqa: E402

from hardener.errors import HardenerError  # noqa: E402


def line(name: str, data: Path) -> str:
    """Try an architecture and return its line."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = done(name, data, Path(folder))
        except HardenerError as error:
            return f"| `{name}` | {SIZES[name]} | | | {error} | |"
    batch = "any" if found.batch is None else str(found.batch)
    cells = (f"{found.parameters:,}", "yes", f"{found.difference:.1e}", batch)
    return f"| `{name}` | {SIZES[name]} | {' | '.join(cells)} |"


def main() -> None:
    """Print a line an architecture."""
    os.environ["HARDENER_REHEARSAL"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        data = images(Path(folder))
        print(
            "| MODEL | side of its images | parameters | trained, opened again, attacked | ONNX differs by | at once |"
        )
        print("| --- | --- | --- | --- | --- | --- |")
        for name in sys.argv[1:] or SIZES:
            print(line(name, data), flush=True)


if __name__ == "__main__":
    main()
