"""The comparison with the trainers that people use works, with a tiny network of random weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from oracles import write_image_folder

BENCH = Path(__file__).resolve().parents[2] / "bench/training/fine_tune.py"


@pytest.mark.slow
@pytest.mark.long
def test_every_trainer_that_is_installed_gets_a_line_and_the_others_are_said(tmp_path: Path) -> None:
    for seed, (split, count) in enumerate({"train": 12, "validation": 4, "test": 4}.items()):
        write_image_folder(tmp_path / "imgs" / split, {"a": count, "b": count}, size=(32, 32), color=True, seed=seed)
    words = ["--quick", "--data", str(tmp_path / "imgs"), "--out", str(tmp_path / "work")]
    found = subprocess.run([sys.executable, BENCH, *words], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    lines = found.stdout.splitlines()
    for name in ("hardener", "hardener, resize", "timm", "torchvision", "fastai"):
        assert any(line.startswith((f"| {name} | ", f"{name} is not installed and left out")) for line in lines)
    assert len(list((tmp_path / "work/found").glob("timm-0-*.json"))) == 1
