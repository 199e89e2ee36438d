"""What a terminal shows of an evaluation's measures, a line each."""

from __future__ import annotations

from hardener.config.evaluation_record import Calibration, Certification, Corruptions, Evaluation
from hardener.statistics.interval import clopper_pearson
from hardener.words import figure, percent


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


def corruption_line(found: Corruptions) -> str:
    """Return mean, curve over the severities, what stands out and the weakest class, in a line."""
    told = f"common corruptions: mean accuracy {percent(1 - found.mean_corruption_error)} (n = {found.samples})"
    if found.by_severity:
        told += f"; severity 1 to 5: {', '.join(percent(point.accuracy) for point in found.by_severity)}"
    if found.standing_out:
        told += f"; falls more than the rest: {standing_out(found)}"
    if found.classes:
        weakest = min(found.classes, key=lambda item: sum(item.accuracies))
        told += f"; weakest class {weakest.name}, {percent(sum(weakest.accuracies) / len(weakest.accuracies))}"
    return told


def standing_out(found: Corruptions) -> str:
    """Name the kinds that fall more than the rest, with severity and accuracy."""
    return ", ".join(
        f"{cell.kind.replace('_', ' ')} at {cell.severity} ({percent(cell.accuracy)})" for cell in found.standing_out
    )


def calibration_interval(found: Calibration) -> tuple[float, float]:
    """Return a 95 % interval of the expected calibration error over these bins.

    The accuracy of every bin lies in its exact interval at once with that chance (Bonferroni); the error is summed
    with the accuracy that is nearest to the bin's confidence, and with the farthest. It is wide, and never too narrow.
    """
    bins = [one for one in found.bins if one.count > 0]
    level = 1 - 0.05 / max(len(bins), 1)
    nearest = farthest = 0.0
    for one in bins:
        low, high = clopper_pearson(round(one.accuracy * one.count), one.count, level)
        nearest += one.count * max(low - one.confidence, one.confidence - high, 0.0)
        farthest += one.count * max(high - one.confidence, one.confidence - low)
    return nearest / found.samples, farthest / found.samples


def told_noise(found: Certification) -> str:
    """Say how strong the noise was, and where the model was not trained with it that it was not."""
    return f"{found.noise_sigma:g}" + (
        " (a default: its training has no noise on record)" if found.noise_is_default else ""
    )


def told_draws(found: Certification) -> str:
    """Say how many draws an image got: `1,000`, or `up to 1,000 (120 in the mean)`."""
    draws = f"{found.draws:,}"
    return draws if found.mean_draws is None else f"up to {draws} ({found.mean_draws:,.0f} in the mean)"
