"""The charts of an evaluation's page, each with what it shows in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from hardener.config.evaluation_record import CurvePoint, Evaluation, InvarianceCurve, Landscape, MeasuredCurve
from hardener.reports._plots import Line, legend_key, line_chart, reliability_chart, surface_chart
from hardener.threat import ThreatModel, norm_of, show_eps
from hardener.threat import show_distance as distance_in_words
from hardener.words import NO_BREAK, number, percent


def charts_of(evaluation: Evaluation) -> dict[str, Any]:
    """Draw what was measured, under the names that the page's template asks for."""
    charts: dict[str, Any] = {"keys": [legend_key(style) for style in range(len(evaluation.eps_curves))]}
    if evaluation.eps_curves:
        charts |= _eps_charts(evaluation)
    charts["invariances"] = [_small_chart(curve, (curve.identity, "unchanged")) for curve in evaluation.invariances]
    if evaluation.certification is not None and evaluation.certification.points:
        charts["certification"] = line_chart(
            [Line(evaluation.certification.points, band=True)],
            description="Certified accuracy against the l2 radius: "
            + _summary(evaluation.certification.points, number),
            x_label="certified l2 radius",
            show_x=number,
        )
    if evaluation.corruptions is not None and evaluation.corruptions.by_severity:
        curve = MeasuredCurve(name="severity", points=evaluation.corruptions.by_severity)
        charts["severities"] = _small_chart(curve)
    if evaluation.calibration is not None:
        charts["calibration"] = reliability_chart(
            evaluation.calibration.bins,
            description="Accuracy against confidence: "
            + "; ".join(
                f"at confidence {percent(item.confidence, NO_BREAK)} accuracy {percent(item.accuracy, NO_BREAK)}"
                for item in evaluation.calibration.bins
                if item.count
            ),
        )
    norm = norm_of(evaluation.threat.model)
    if evaluation.landscape is not None and norm is not None:
        charts["landscape"], charts["losses"] = _landscape(evaluation.landscape, norm)
    measured = evaluation.measured.values()
    charts["parts"] = [(f"measured-{place}", found.title, True) for place, found in enumerate(measured, start=1)]
    charts["measured"] = {
        name: [_small_chart(curve) for curve in found.curves if curve.points]
        for name, found in evaluation.measured.items()
    }
    return charts


def _eps_charts(evaluation: Evaluation) -> dict[str, Any]:
    """The chart of accuracy against eps, the names of its lines, and its rows as figures."""
    threat, curves = evaluation.threat.model, evaluation.eps_curves
    assert isinstance(threat, ThreatModel), "only a ball has an eps"
    in_levels = threat.entry.in_levels
    names = _curve_names(evaluation)
    told = [f"{name}: {_summary(curve.points, show_eps)}" for name, curve in zip(names, curves, strict=True)]
    return {
        "eps_names": names,
        "eps": line_chart(
            [Line(curve.points, style) for style, curve in enumerate(curves)],
            description="Robust accuracy against eps, a line an attack: " + "; ".join(told),
            x_label="eps in 1/255, wider near 0" if in_levels else "eps, wider near 0",
            show_x=lambda eps: f"{255 * eps:.3g}" if in_levels else f"{eps:.3g}",
            reference=(threat.eps, f"the threat model, {show_eps(threat.eps)}"),
            logarithmic=True,
        ),
        "eps_rows": sorted({point.parameter for curve in curves for point in curve.points}),
        "eps_at": [{point.parameter: point for point in curve.points} for curve in curves],
    }


def _small_chart(curve: InvarianceCurve | MeasuredCurve, reference: tuple[float, str] | None = None) -> Markup:
    return line_chart(
        [Line(curve.points, band=True)],
        description=f"Accuracy against {curve.name}: {_summary(curve.points, number)}",
        x_label=f"{curve.name}, {curve.unit}" if curve.unit else curve.name,
        show_x=number,
        reference=reference,
        width=320,
        height=230,
    )


def _curve_names(evaluation: Evaluation) -> list[str]:
    """Tell curves of one attack apart by the loss, or else by number: curves come in the order of the attacks."""
    names = []
    seen: dict[str, int] = {}
    for curve in evaluation.eps_curves:
        place = seen[curve.attack] = seen.get(curve.attack, -1) + 1
        runs = [attack for attack in evaluation.attacks if attack.name == curve.attack]
        many = sum(other.attack == curve.attack for other in evaluation.eps_curves)
        told = runs[place].settings.get("loss", place + 1) if len(runs) == many else place + 1
        names.append(f"{curve.attack} ({told})" if many > 1 else curve.attack)
    return names


def _landscape(landscape: Landscape, norm: str) -> tuple[object, dict[str, float]]:
    values = [value for row in landscape.loss for value in row if math.isfinite(value)] or [math.nan]
    centre = min(range(len(landscape.steps)), key=lambda index: abs(landscape.steps[index]))
    losses = {"centre": landscape.loss[centre][centre], "low": min(values), "high": max(values)}
    chart = surface_chart(
        landscape.steps,
        landscape.loss,
        description=f"Loss around one image: {number(losses['centre'])} at the image, from {number(losses['low'])} "
        f"to {number(losses['high'])} around it",
        show_step=lambda step: show_distance(step, norm),
    )
    return chart, losses


def _summary(points: Sequence[CurvePoint], show: Callable[[float], str]) -> str:
    """Say a curve in words: its ends and its lowest point."""
    if not points:
        return "no points"
    ordered = sorted(points, key=lambda point: point.parameter)
    named = [ordered[0], min(ordered, key=lambda point: point.accuracy), ordered[-1]]
    return ", ".join(
        dict.fromkeys(f"{percent(point.accuracy, NO_BREAK)} at {show(point.parameter)}" for point in named)
    )


def show_distance(value: float, norm: str) -> str:
    """Write a distance as people of the field do: in grey levels in linf."""
    if not math.isfinite(value):
        return "none found"
    return distance_in_words(value, norm).replace("-", "\u2212")
