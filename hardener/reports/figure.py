"""The figures of a run's evaluations that a requirement is held against, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardener.config.evaluation_record import Evaluation
from hardener.config.run_folder import RunFolder
from hardener.reports.command import fresh_command
from hardener.reports.condition import MEAN, Aspect
from hardener.reports.shared import SAME_EPS, is_under
from hardener.statistics.interval import clopper_pearson
from hardener.statistics.paired import hoeffding_interval
from hardener.threat import ThreatModel


@dataclass(frozen=True)
class Figure:
    """A measure of one evaluation, with its 95 % interval."""

    evaluation: Evaluation
    share: float
    interval: tuple[float, float]
    samples: int

    def bounds(self, aspect: Aspect, confidence: float) -> tuple[float, float]:
        """The interval at another confidence."""
        if aspect.kind in {"corruptions", "mean"}:
            return hoeffding_interval(self.share, self.samples, confidence)
        return clopper_pearson(round(self.share * self.samples), self.samples, confidence)


def figures(evaluations: Sequence[Evaluation], aspect: Aspect) -> list[Figure]:
    """Return the figures of what a requirement is about, in the order of the evaluations; empty where none has it."""
    return [found for item in evaluations if (found := _figure(item, aspect)) is not None]


def measuring_command(run: RunFolder, aspect: Aspect) -> str:
    """Return the command that measures it."""
    if aspect.kind == "robust":
        return fresh_command(run.path, norm=aspect.norm, eps=aspect.size)
    if aspect.threat is not None:
        return fresh_command(run.path, threat=aspect.threat.kind, ranges=dict(aspect.threat.ranges))
    if aspect.kind == "mean":
        return fresh_command(run.path, norm=aspect.norm, eps=aspect.size, sections=[MEAN])
    if aspect.kind == "clean":
        return fresh_command(run.path)
    return fresh_command(run.path, sections=["corruptions" if aspect.kind == "corruptions" else "certify"])


def not_measured(run: RunFolder, evaluations: Sequence[Evaluation], aspect: Aspect) -> str:
    """Say that a run has no such figure, which of the kind it has, and what measures it."""
    has = ""
    if aspect.kind in {"robust", "threat"}:
        threats = dict.fromkeys(str(item.threat.model) for item in evaluations)
        has = f" It was evaluated under {', '.join(threats)}." if threats else ""
    elif aspect.kind == "certified":
        radii = sorted({p.parameter for item in evaluations if item.certification for p in item.certification.points})
        has = f" It was certified to {', '.join(f'{radius:g}' for radius in radii)}." if radii else ""
    return f"{run.path} has no {aspect}.{has} Run `{measuring_command(run, aspect)}`."


def _figure(item: Evaluation, aspect: Aspect) -> Figure | None:
    if aspect.kind == "clean":
        return Figure(item, item.clean_accuracy, item.clean_interval, item.samples)
    if aspect.kind == "robust":
        if not is_under(item, ThreatModel(aspect.norm, aspect.size)):
            return None
        return Figure(item, item.robust_accuracy, item.interval, item.samples)
    if aspect.threat is not None:
        if not aspect.threat.covers(item.threat.model):
            return None
        return Figure(item, item.robust_accuracy, item.interval, item.samples)
    if aspect.kind == "mean":
        found = item.measured.get(MEAN)
        if found is None or not is_under(item, ThreatModel(aspect.norm, aspect.size)):
            return None
        share = found.figures[0].value
        return Figure(item, share, hoeffding_interval(share, found.samples), found.samples)
    if aspect.kind == "corruptions":
        if item.corruptions is None:
            return None
        share, samples = 1 - item.corruptions.mean_corruption_error, item.corruptions.samples
        return Figure(item, share, hoeffding_interval(share, samples), samples)
    points = [] if item.certification is None else item.certification.points
    for point in points:
        if item.certification is not None and abs(point.parameter - aspect.size) < SAME_EPS:
            return Figure(item, point.accuracy, point.interval, item.certification.samples)
    return None
