"""Trackers: what shows runs beside each other, on a server or in a folder, while they train; one class each.

A class is made without arguments; `Tracker` in `_common.py` is what it must have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hardener.catalog import Entry


@dataclass(frozen=True)
class TrackerEntry(Entry):
    """A tracker, and the package that it speaks through.

    Attributes:
        package: the name by which it is imported.
    """

    package: str


TRACKERS: Mapping[str, TrackerEntry] = {
    "mlflow": TrackerEntry(
        "hardener.training.trackers.mlflow:Mlflow", "MLflow: a server or a folder, by MLFLOW_TRACKING_URI", "mlflow"
    ),
    "wandb": TrackerEntry(
        "hardener.training.trackers.wandb:Wandb", "Weights & Biases; WANDB_MODE=offline keeps it here", "wandb"
    ),
    "trackio": TrackerEntry(
        "hardener.training.trackers.trackio:Trackio", "Trackio: on this machine, or a Space of HuggingFace", "trackio"
    ),
}
"""What a recipe's `track` may name."""
