from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from PIL import Image

from hardener.reports.training_curves import draw_curves, kept


def row(epoch: int, robust: float, *, eps: float = 0.1, rolled_back: bool = False) -> dict[str, Any]:
    accuracies = {"clean_accuracy": 0.9, "robust_accuracy": robust}
    return {"epoch": epoch, "loss": 1.0, "target_mass": 1.0, "eps": eps, "rolled_back": rolled_back, **accuracies}


def test_a_curve_of_a_run_that_went_back_has_each_epoch_once(tmp_path: Path) -> None:
    """It ran on from epoch 1 twice: the line went back and forth over the picture."""
    rows = [row(1, 0.5), row(2, 0.4), row(3, 0.1, rolled_back=True), row(2, 0.6, eps=0.05), row(3, 0.7, eps=0.05)]
    assert [(one["epoch"], one["robust_accuracy"]) for one in kept(rows)] == [(1, 0.5), (2, 0.6), (3, 0.7)]
    assert kept(rows[2:3]) == rows[2:3]
    draw_curves(rows, tmp_path / "train.png", title="run", threat="linf 0.1")
    with Image.open(tmp_path / "train.png") as picture:
        assert picture.size == (1300, 494)


@pytest.mark.parametrize(("norm", "label"), [("l2", "eps of training"), ("", "eps of training, levels of 255")])
def test_eps_has_the_unit_of_its_own_norm(
    norm: str, label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: list[str] = []
    monkeypatch.setattr(Axes, "set_ylabel", lambda _, text, **__: labels.append(text))
    rows = [row(1, 0.5, eps=0.2), row(2, 0.4, eps=0.4)]
    draw_curves(rows, tmp_path / "train.png", title="run", threat="linf 0.1", norm=norm)
    assert label in labels
