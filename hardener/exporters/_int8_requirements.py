"""What the owner asks, judged by what was measured of the int8 file itself."""

from __future__ import annotations

from collections.abc import Sequence

from hardener.config.bundle import HeldRequirement, OfflineRobustness
from hardener.config.data_findings import SEEN
from hardener.evaluation.deployed import SideBySide, share
from hardener.reports.condition import Aspect, Condition
from hardener.reports.shared import SAME_EPS

_Figure = tuple[float, tuple[float, float], int]
"""A share, its 95 % interval, and the number of images."""


def judged_by_int8(
    conditions: Sequence[Condition], evaluation: OfflineRobustness, comparison: SideBySide
) -> list[HeldRequirement]:
    """Return each condition with its state: no figure of the float32 network counts, and what is left is not measured.

    Args:
        evaluation: of the int8 file, which is the second of `comparison`.
    """
    held = []
    for condition in conditions:
        found = _figure(condition.aspect, evaluation, comparison) if condition.kind == "min" else None
        row = HeldRequirement(about=str(condition.aspect), asked=condition.in_words(), state="not measured")
        if found is not None:
            value, interval, samples = found
            met = interval[0] >= condition.bound and SEEN not in evaluation.flags
            told = {"value": value, "interval": interval, "samples": samples, "data": evaluation.data}
            row = row.model_copy(update={"state": "met" if met else "not met", **told})
        held.append(row)
    return held


def _figure(aspect: Aspect, evaluation: OfflineRobustness, comparison: SideBySide) -> _Figure | None:
    if aspect.kind == "clean":
        return *share(comparison.second.clean), evaluation.samples
    if aspect.kind == "robust" and aspect.is_under(comparison.threat):
        return evaluation.robust_accuracy, evaluation.interval, evaluation.samples
    if aspect.kind == "certified" and abs(aspect.size - comparison.certified_radius) < SAME_EPS:
        return *share(comparison.second.certified), len(comparison.second.certified)
    return None
