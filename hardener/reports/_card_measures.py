"""The model card's table of what was measured beside attacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from hardener.config.evaluation_record import (
    Calibration,
    Certification,
    Clever,
    Corruptions,
    Evaluation,
    InvarianceCurve,
    Measured,
    MeasuredCurve,
)
from hardener.reports._markdown import cell, text
from hardener.reports.measured_lines import calibration_interval, told_draws, told_noise
from hardener.reports.own_images import own_first
from hardener.words import ends, figure, percent

Row = tuple[str, str, int]
"""What was measured, its figure, on how many images."""
T = TypeVar("T")


def beyond_attacks(evaluations: Sequence[Evaluation], fingerprint: str, names: Mapping[str, str]) -> list[str]:
    """Return the section's lines: of each measure the newest figures, if they are of these weights.

    Those of the run's own images come before all of other data.

    Args:
        names: of other data, by when it was evaluated.
    """
    mine = [item for item in evaluations if item.model.fingerprint == fingerprint]
    newest = own_first(sorted(mine, key=lambda item: item.created_at, reverse=True))
    moved, of_moved = _first(newest, lambda item: item.invariances, names)
    corrupted, of_corrupted = _first(newest, lambda item: item.corruptions, names)
    certified, of_certified = _first(newest, lambda item: item.certification, names)
    clever, of_clever = _first(newest, lambda item: item.clever, names)
    calibration, of_calibration = _first(newest, lambda item: item.calibration, names)
    measured: dict[str, tuple[Measured, str]] = {}
    for item in newest:
        measured = {key: (found, _on(item, names)) for key, found in item.measured.items()} | measured
    rows = _named([row for curve in moved or [] for row in _invariance(curve)], of_moved)
    rows += _named(_corruptions(corrupted) if corrupted else [], of_corrupted)
    rows += _named(_certified(certified) if certified else [], of_certified)
    rows += _named(_clever(clever) if clever else [], of_clever)
    rows += _named(_calibration(calibration) if calibration else [], of_calibration)
    rows += [row for found, where in measured.values() for row in _named(_measured(found), where)]
    lines = ["## Beyond attacks", ""]
    if rows:
        lines += ["| measure | figure | images |", "| --- | --- | --- |"]
        lines += [f"| {cell(name)} | {cell(shown)} | {samples} |" for name, shown, samples in rows]
    notes = [f"{found.title}: {found.note}" for found, _ in measured.values() if found.note]
    notes = [corrupted.note, *notes] if corrupted is not None and corrupted.note else notes
    lines += [line for note in notes for line in ("", text(note))]
    if certified is not None:
        lines += [
            "",
            f"A certificate is of the smoothed classifier, {told_draws(certified)} noisy copies of an image, at "
            f"confidence {certified.confidence:g}; it is not one of a single answer of this model.",
        ]
    missing = {
        "invariances (`--invariance`)": moved,
        "common corruptions (`--corruptions`)": corrupted,
        "certified accuracy (`--certify`)": certified,
    }
    unmeasured = ", ".join(name for name, found in missing.items() if not found)
    if unmeasured:
        lines += [*([""] if rows else []), f"Not measured: {unmeasured}."]
    return lines


def _first(
    newest: Sequence[Evaluation], part: Callable[[Evaluation], T | None], names: Mapping[str, str]
) -> tuple[T | None, str]:
    """Return the first that there is, and what names its data."""
    return next(((found, _on(item, names)) for item in newest if (found := part(item))), (None, ""))


def _on(item: Evaluation, names: Mapping[str, str]) -> str:
    return f", on {names[item.created_at]}" if item.created_at in names else ""


def _named(rows: Sequence[Row], where: str) -> list[Row]:
    return [(f"{name}{where}", shown, samples) for name, shown, samples in rows]


def _invariance(curve: InvarianceCurve) -> list[Row]:
    points = [point for point in curve.points if abs(point.parameter - curve.identity) > 1e-9]
    return _curve(curve.name, curve.model_copy(update={"points": points}), curve.samples)


def _curve(name: str, curve: InvarianceCurve | MeasuredCurve, samples: int) -> list[Row]:
    """The mean and the lowest of a curve's accuracies, none where it has no points."""
    points = curve.points
    if not points:
        return []
    mean, low = sum(point.accuracy for point in points) / len(points), min(points, key=lambda point: point.accuracy)
    span = f"{points[0].parameter:g} to {points[-1].parameter:g} {curve.unit}".strip()
    shown = f"mean {percent(mean)}, lowest {percent(low.accuracy)} {ends(low.interval)} at {low.parameter:g}"
    return [(f"{name}, {span}", shown, samples)]


def _corruptions(found: Corruptions) -> list[Row]:
    worst = min(found.kinds, key=lambda kind: sum(kind.accuracies) / len(kind.accuracies))
    lowest = sum(worst.accuracies) / len(worst.accuracies)
    shown = f"mean {percent(1 - found.mean_corruption_error)}, lowest {percent(lowest)} for {worst.name}"
    return [(f"{len(found.kinds)} common corruptions", shown, found.samples)]


def _certified(found: Certification) -> list[Row]:
    return [
        (
            f"right and certified to l2 {point.parameter:g}, smoothed with noise {told_noise(found)}",
            f"{percent(point.accuracy)} {ends(point.interval)}",
            found.samples,
        )
        for point in found.points
    ]


def _clever(found: Clever) -> list[Row]:
    return [(f"CLEVER score in {found.norm}, an estimate", f"mean {found.mean:.3g}", found.samples)]


def _calibration(found: Calibration) -> list[Row]:
    shown = f"{percent(found.expected_error)} {ends(calibration_interval(found))}"
    return [("expected calibration error, clean images", shown, found.samples)]


def _measured(found: Measured) -> list[Row]:
    rows = []
    for item in found.figures:
        shown = figure(item.value, item.unit)
        if item.interval is not None:
            shown += f" ({figure(item.interval[0], item.unit)} to {figure(item.interval[1], item.unit)})"
        good = "" if item.better == "none" else f" ({item.better} is better)"
        rows.append((f"{found.title}: {item.name}{good}", shown, found.samples))
    return rows + [
        row for curve in found.curves for row in _curve(f"{found.title}: {curve.name}", curve, found.samples)
    ]
