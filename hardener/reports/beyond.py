"""What runs showed beyond attacks, each measure from the newest evaluations that measured it alike."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from hardener.config.evaluation_record import Evaluation, InvarianceCurve
from hardener.reports.comparison_record import ComparedMeasure
from hardener.reports.shared import SAME_EPS, newest_alike
from hardener.words import one_line


def _drawn(item: Evaluation, samples: int) -> Hashable:
    """Which images a section was measured on: all that were evaluated, or some of them, drawn by the seed."""
    return item.data.fingerprint, samples, item.seed if samples < item.samples else None


def _where(chosen: Sequence[Evaluation | None]) -> str:
    roots = [item.data.root for item in chosen if item is not None and item.data.own is False]
    return f", images of {one_line(roots[0])}" if roots else ""


def invariance(found: Sequence[Sequence[Evaluation]]) -> ComparedMeasure | None:
    """Compare the mean accuracies under changes that keep the class."""

    def curves_of(item: Evaluation) -> list[tuple[str, int, tuple[float, ...]]]:
        return [
            (curve.name, curve.samples, tuple(round(point.parameter, 9) for point in curve.points))
            for curve in item.invariances
        ]

    def kind(item: Evaluation) -> Hashable | None:
        curves = curves_of(item)
        return (_drawn(item, curves[0][1]), tuple(curves)) if curves else None

    chosen = newest_alike(found, kind)
    having = [item for item in chosen if item is not None]
    if not having:
        return None
    names = ", ".join(curve.name for curve in having[0].invariances)
    return ComparedMeasure(
        label="invariance",
        detail=f"mean accuracy over {names}; n = {having[0].invariances[0].samples}{_where(chosen)}",
        values=[None if item is None else mean_invariance(item.invariances) for item in chosen],
    )


def mean_invariance(curves: Sequence[InvarianceCurve]) -> float:
    """Return the mean over curves of the mean accuracy over their points, the unchanged image left out."""
    means = []
    for curve in curves:
        moved = [point.accuracy for point in curve.points if abs(point.parameter - curve.identity) > 1e-9]
        means += [sum(moved) / len(moved)] if moved else []
    return sum(means) / max(len(means), 1)


def corruption(found: Sequence[Sequence[Evaluation]]) -> ComparedMeasure | None:
    """Compare the mean accuracies under common corruptions."""

    def kind(item: Evaluation) -> Hashable | None:
        if item.corruptions is None:
            return None
        return _drawn(item, item.corruptions.samples), tuple(kind.name for kind in item.corruptions.kinds)

    chosen = newest_alike(found, kind)
    first = next((item.corruptions for item in chosen if item is not None and item.corruptions), None)
    if first is None:
        return None
    return ComparedMeasure(
        label="corruption",
        detail=f"mean accuracy over {len(first.kinds)} kinds and their severities; n = {first.samples}{_where(chosen)}",
        values=[
            1 - item.corruptions.mean_corruption_error if item is not None and item.corruptions else None
            for item in chosen
        ],
    )


def certified(found: Sequence[Sequence[Evaluation]]) -> list[ComparedMeasure]:
    """Compare the certified accuracies, a line a radius."""

    def kind(item: Evaluation) -> Hashable | None:
        return None if item.certification is None else _drawn(item, item.certification.samples)

    newest = newest_alike(found, kind)
    chosen = [None if item is None else item.certification for item in newest]
    having = [item for item in chosen if item is not None]
    if not having:
        return []
    radii = [point.parameter for point in having[0].points]
    measures = []
    for radius in radii:
        values: list[float | None] = []
        for item in chosen:
            points = [] if item is None else [p for p in item.points if abs(p.parameter - radius) < SAME_EPS]
            values.append(points[0].accuracy if points else None)
        sigmas = "/".join("–" if item is None else f"{item.noise_sigma:g}" for item in chosen)
        detail = f"right and certified by randomized smoothing, noise {sigmas}; n = {having[0].samples}{_where(newest)}"
        measures.append(ComparedMeasure(label=f"certified, l2 {radius:g}", detail=detail, values=values))
    return measures


def measured(found: Sequence[Sequence[Evaluation]]) -> list[ComparedMeasure]:
    """Compare the figures of every measure that has no section of its own, a line a figure."""
    names = dict.fromkeys(name for evaluations in found for item in evaluations for name in item.measured)
    return [line for name in names for line in _figures(found, name)]


def _figures(found: Sequence[Sequence[Evaluation]], name: str) -> list[ComparedMeasure]:
    def kind(item: Evaluation) -> Hashable | None:
        own = item.measured.get(name)
        if own is None:
            return None
        return _drawn(item, own.samples), tuple((figure.name, figure.unit) for figure in own.figures)

    newest = newest_alike(found, kind)
    chosen = [None if item is None else item.measured[name] for item in newest]
    where = _where(newest)
    first = next((item for item in chosen if item is not None), None)
    if first is None:
        return []
    return [
        ComparedMeasure(
            label=f"{first.title}: {figure.name}" if len(first.figures) > 1 else first.title,
            detail=f"{first.note.rstrip('.')}; n = {first.samples}{where}"
            if first.note
            else f"n = {first.samples}{where}",
            values=[None if item is None else item.figures[place].value for item in chosen],
            unit=figure.unit,
            better=figure.better,
        )
        for place, figure in enumerate(first.figures)
    ]
