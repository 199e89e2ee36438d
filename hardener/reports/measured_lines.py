"""What a terminal shows of an evaluation's measures, a line each."""

from __future__ import annotations

from hardener.config.evaluation_record import Certification, Evaluation
from hardener.words import figure


def measured_lines(evaluation: Evaluation) -> list[str]:
    """Return a line for each measure that has no section of its own."""
    lines = []
    for found in evaluation.measured.values():
        told = []
        for item in found.figures:
            between = ""
            if item.interval is not None:
                between = (
                    f" (95 % interval {figure(item.interval[0], item.unit)} to {figure(item.interval[1], item.unit)})"
                )
            told.append(f"{item.name} {figure(item.value, item.unit)}{between}")
        lines.append(f"{found.title}: {', '.join([*told, f'n = {found.samples}'])}")
    return lines


def told_draws(found: Certification) -> str:
    """Say how many draws an image got: `1000`, or `up to 1000 (120 in the mean)`."""
    return str(found.draws) if found.mean_draws is None else f"up to {found.draws} ({found.mean_draws:.0f} in the mean)"
