"""The figures of a run's evaluations that a requirement is held against, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hardener.config.data_findings import SEEN
from hardener.config.evaluation_record import Evaluation
from hardener.config.run_folder import RunFolder
from hardener.reports.command import fresh_command
from hardener.reports.condition import MEAN, Aspect
from hardener.reports.own_images import precedence
from hardener.reports.shared import SAME_EPS
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

    @property
    def is_of_seen_images(self) -> bool:
        """Whether the run was trained on some of the images, or chose its epoch by them."""
        return any(flag.id == SEEN for flag in self.evaluation.flags)

    def bounds(self, aspect: Aspect, confidence: float) -> tuple[float, float]:
        """The interval at another confidence."""
        if aspect.is_balanced:
            return _interval_over_classes(self.share, self.evaluation, confidence)
        if aspect.kind in {"corruptions", "mean"}:
            return hoeffding_interval(self.share, self.samples, confidence)
        return clopper_pearson(round(self.share * self.samples), self.samples, confidence)


def figures(evaluations: Sequence[Evaluation], aspect: Aspect) -> list[Figure]:
    """Return the figures of what a requirement is about, the one that counts first; empty where none has it.

    Those of the images that the run held out come before those of other data; else they are in the order of the
    evaluations. What no attack has part in is in each of them, whatever it was for; there
    the figure of most images counts, of those on the first one's data and of no images that the run has seen. Where the
    first one itself is of such images, it counts.
    """
    found = [figure for item in evaluations if (figure := _figure(item, aspect)) is not None]
    found.sort(key=_precedence)
    if not found or aspect.kind not in {"clean", "balanced"} or found[0].is_of_seen_images:
        return found
    own = _place(found[0])
    return sorted(found, key=lambda one: (_precedence(one), _place(one) != own, one.is_of_seen_images, -one.samples))


def _precedence(figure: Figure) -> int:
    return precedence(figure.evaluation)


def _place(figure: Figure) -> tuple[str, str]:
    data = figure.evaluation.data
    return "" if data.own else data.root, data.split


def measuring_command(run: RunFolder, aspect: Aspect) -> str:
    """Return the command that measures it."""
    if aspect.threat is not None:
        return fresh_command(run.path, threat=aspect.threat.kind, ranges=dict(aspect.threat.ranges))
    if aspect.is_attacked:
        return fresh_command(run.path, norm=aspect.norm, eps=aspect.size)
    if aspect.kind == "mean":
        return fresh_command(run.path, norm=aspect.norm, eps=aspect.size, sections=[MEAN])
    if aspect.kind in {"clean", "balanced"}:
        return fresh_command(run.path)
    if aspect.kind == "certified":
        return fresh_command(run.path, sections=["certify"], radii=[aspect.size])
    return fresh_command(run.path, sections=["corruptions"])


def not_measured(run: RunFolder, evaluations: Sequence[Evaluation], aspect: Aspect) -> str:
    """Say that a run has no such figure, which of the kind it has, and what measures it."""
    has = ""
    if aspect.is_balanced and any(_is_about(item, aspect) for item in evaluations):
        ball = str(ThreatModel(aspect.norm, aspect.size)).replace(" ", "-")
        plain = "clean" if not aspect.is_attacked else ball if aspect.threat is None else aspect.threat.measure
        return (
            f"{run.path} has no {aspect}: it is measured where the largest class has more than 3 times the images of "
            f"the smallest, and the images evaluated are not so uneven. Ask for {plain} instead."
        )
    if aspect.is_attacked:
        threats = dict.fromkeys(str(item.threat.model) for item in evaluations)
        has = f" It was evaluated under {', '.join(threats)}." if threats else ""
    elif aspect.kind == "certified":
        radii = sorted({p.parameter for item in evaluations if item.certification for p in item.certification.points})
        has = f" It was certified to {', '.join(f'{radius:g}' for radius in radii)}." if radii else ""
    return f"{run.path} has no {aspect}.{has} Run `{measuring_command(run, aspect)}`."


def _is_about(item: Evaluation, aspect: Aspect) -> bool:
    return aspect.kind == "balanced" or aspect.is_under(item.threat.model)


def _balanced(item: Evaluation, aspect: Aspect) -> Figure | None:
    if item.balanced is None or not _is_about(item, aspect):
        return None
    share = item.balanced.clean_accuracy if aspect.kind == "balanced" else item.balanced.robust_accuracy
    return Figure(item, share, _interval_over_classes(share, item), item.samples)


def _interval_over_classes(share: float, item: Evaluation, confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval for a mean over classes: that of few images widens it most.

    Source: Hoeffding (1963), Theorem 2, on each side: an image of class k, of K, with n_k images, moves the mean by at
        most 1 / (K n_k), so the sum of squared ranges is the sum over classes of 1 / (K^2 n_k).
    """
    squares = sum(1 / found.samples for found in item.per_class) / len(item.per_class) ** 2
    reach = math.sqrt(squares * math.log(2 / (1 - confidence)) / 2)
    return max(0.0, share - reach), min(1.0, share + reach)


def _figure(item: Evaluation, aspect: Aspect) -> Figure | None:
    if aspect.is_balanced:
        return _balanced(item, aspect)
    if aspect.kind == "clean":
        return Figure(item, item.clean_accuracy, item.clean_interval, item.samples)
    if aspect.is_attacked:
        if not aspect.is_under(item.threat.model):
            return None
        return Figure(item, item.robust_accuracy, item.interval, item.samples)
    if aspect.kind == "mean":
        found = item.measured.get(MEAN)
        if found is None or not aspect.is_under(item.threat.model):
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
