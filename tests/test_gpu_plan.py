"""The plan of what a GPU has to measure works, shown with tiny networks on a processor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from oracles import write_image_folder

PLAN = Path(__file__).resolve().parent.parent / "bench/gpu"


def plan(root: Path, part: str, *more: str | Path) -> subprocess.CompletedProcess[str]:
    words = [part, "--toy", "--device", "cpu", "--results", root / "results", "--runs", root / "runs", *more]
    return subprocess.run(
        [sys.executable, PLAN / "plan.py", *map(str, words)], capture_output=True, text=True, check=False
    )


def rows(root: Path, part: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((root / f"results/{part}-toy.json").read_text())["rows"]
    return found


@pytest.mark.slow
@pytest.mark.long
def test_every_part_ends_with_its_rows_and_none_is_measured_twice(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "imgs/train", {"cat": 12, "dog": 12})
    write_image_folder(tmp_path / "imgs/test", {"cat": 4, "dog": 4})
    data: list[str | Path] = ["--data", tmp_path / "imgs"]
    started = [*data, "--init", tmp_path / "runs/cifar-natural/model.safetensors"]
    for part, more in {
        "steps": [],
        "cifar": data,
        "suites": [],
        "clothes": started,
        "input": [],
        "serving": [],
    }.items():
        found = plan(tmp_path, part, *more)
        assert found.returncode == 0, found.stdout + found.stderr
    assert set(rows(tmp_path, "steps")) >= {"matrix rate", "toy, plain loop", "toy, sprout, compile off"}
    assert all(row["n"] == 4 for row in rows(tmp_path, "cifar").values())
    fed = rows(tmp_path, "input")["1 at once"]
    assert all(float(str(fed[f"{way}_per_s"])) > 0 for way in ("threads", "processes", "kept"))
    before = (tmp_path / "results/steps-toy.json").read_text()
    assert "all 4 items" in plan(tmp_path, "steps").stdout
    assert json.loads(before)["rows"] == rows(tmp_path, "steps")


@pytest.mark.slow
@pytest.mark.long
def test_a_folder_of_images_that_is_missing_is_said(tmp_path: Path) -> None:
    found = plan(tmp_path, "cifar")
    assert (found.returncode, "cifar needs --data DIR" in found.stderr) == (2, True)


def test_the_tables_stand_in_the_page_and_say_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    row = {"epochs": 30, "train_s": 61.5, "clean_accuracy": 0.5, "robust_accuracy": 0.25, "interval": [0.2, 0.3]}
    part = {"rows": {"cifar, sprout": row}, "hardware": {"gpu": "A card"}, "versions": {"torch": "2.11"}}
    (tmp_path / "results/cifar.json").write_text(json.dumps(part))
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- gpu figures: begin -->\nold\n<!-- gpu figures: end -->\nafter\n")
    words = [PLAN / "table.py", "--results", tmp_path / "results", "--page", page]
    subprocess.run([sys.executable, *map(str, words)], check=True)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| cifar, sprout | 30 | 61.5 | 50.0 % | 25.0 % | 20.0 % to 30.0 % | – | – |" in text
