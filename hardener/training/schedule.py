"""The learning rate over a run."""

from __future__ import annotations

import math
from collections.abc import Sequence


def learning_rate(progress: float, *, peak: float, schedule: str, milestones: Sequence[float], warmup: float) -> float:
    """Return the learning rate at a point of the run.

    Args:
        progress: share of the run that is done, in [0, 1].
        peak: the rate after warm-up.
        schedule: `constant`; `cosine`, down to 0 at the end; `step`, a tenth at each milestone.
        milestones: shares of the run, ascending.
        warmup: share of the run over which the rate rises linearly to its peak, in [0, 1).
    """
    if progress < warmup:
        return peak * max(progress / warmup, 0.01)
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup)))
    if schedule == "step":
        return float(peak * 0.1 ** sum(progress >= milestone for milestone in milestones))
    return peak
