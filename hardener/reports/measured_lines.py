"""What a terminal shows of an evaluation's measures, a line each."""

from __future__ import annotations

from hardener.config.evaluation_record import Evaluation
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
