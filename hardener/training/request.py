"""What `hardener train` was asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hardener.config.reading import AS_FOUND, Reading
from hardener.config.schema import Recipe


@dataclass(frozen=True)
class TrainRequest:
    """What `hardener train` was asked for. `rehearse`: see first that the run will open again.

    `time_limit_s`: for all of it, from reading the data on; None: as long as it takes.
    """

    model: str
    data: Path
    recipe: Recipe
    entry: str | None = None
    init: Path | None = None
    weights: str | None = None
    pretrained: bool | None = None
    replace_head: bool = False
    allow_pickle: bool = False
    validation_root: Path | None = None
    test_root: Path | None = None
    skip_bad_images: bool = False
    reading: Reading = AS_FOUND
    device: str = "auto"
    seed: int = 0
    out: Path = Path("runs")
    name: str | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None
    time_limit_s: float | None = None
    rehearse: bool = field(default_factory=lambda: os.environ.get("HARDENER_REHEARSAL") != "0")

    @property
    def starts_trained(self) -> bool:
        """Whether the network starts from trained weights."""
        return bool(self.pretrained) or self.init is not None
