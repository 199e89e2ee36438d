"""The tables of docs/benchmarks.md from what the plan measured: `python3 bench/gpu/table.py`.

They stand between two comments of that page; where nothing was measured yet, the page says so. `--results DIR`,
`--page FILE`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hardener.config.files import write_text
from hardener.words import percent

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- gpu figures: begin -->", "<!-- gpu figures: end -->"


def main() -> None:
    """Write the tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--page", type=Path, default=HERE.parent.parent / "docs/benchmarks.md")
    asked = parser.parse_args()
    text = asked.page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{asked.page} has no place for the tables: {BEGIN} … {END}.")
    write_text(asked.page, f"{before}{BEGIN}\n\n{tables(asked.results)}\n\n{END}{after}")


def tables(results: Path) -> str:
    """Return the Markdown of all parts that were measured."""
    names = ("tests", "steps", "cifar", "suites", "clothes", "input", "serving")
    parts = {name: _read(results / f"{name}.json") for name in names}
    written = [
        _section("Tests on a GPU", parts["tests"], ("passed", "failed", "skipped")),
        _section("A training step", parts["steps"], ("step_ms", "least_ms", "most_ms", "images_per_s", "peak_bytes")),
        _section("CIFAR-10, ResNet-18", parts["cifar"], _TRAINED),
        _section("Time of the suites", parts["suites"], ("n", "eval_s")),
        _section("Clothes at 224 pixels", parts["clothes"], _TRAINED),
        _section("Input", parts["input"], ("threads_per_s", "processes_per_s", "kept_per_s")),
        _section("Serving", parts["serving"], ("batch_ms", "least_ms", "most_ms", "images_per_s", "pinned")),
    ]
    return "\n\n".join(section for section in written if section) or "Nothing was measured on a GPU by this plan yet."


_TRAINED = ("epochs", "train_s", "clean_accuracy", "robust_accuracy", "interval", "n", "eps")


def _read(path: Path) -> Mapping[str, Any] | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _section(title: str, part: Mapping[str, Any] | None, columns: Sequence[str]) -> str | None:
    if part is None:
        return None
    machine = f"{part['hardware'].get('gpu', 'no GPU')}, torch {part['versions']['torch']}"
    lines = [f"### {title}", "", f"{machine}.", "", f"| | {' | '.join(columns)} |", f"|{' --- |' * (1 + len(columns))}"]
    for name, row in part["rows"].items():
        lines.append(f"| {name} | {' | '.join(_shown(column, row.get(column)) for column in columns)} |")
    return "\n".join(lines)


def _shown(column: str, value: Any) -> str:
    if value is None:
        return "–"
    if column.endswith("accuracy"):
        return percent(value)
    if column == "interval":
        return " to ".join(percent(end) for end in value)
    if column == "peak_bytes":
        return f"{value / 1e9:.2f} GB"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
