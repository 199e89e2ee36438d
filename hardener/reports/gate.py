"""Conditions that a run must meet before it goes on, judged by intervals and not by luck."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from hardener.config.evaluation_record import Evaluation
from hardener.config.files import write_text
from hardener.config.quantity import parse_quantity
from hardener.config.run_folder import RunFolder, now
from hardener.errors import HardenerError, did_you_mean
from hardener.reports._markdown import cell
from hardener.reports.attack_lists import attack_list, attacked_alike
from hardener.reports.command import fresh_command
from hardener.reports.shared import SAME_EPS, current_evaluations
from hardener.statistics.interval import clopper_pearson
from hardener.statistics.paired import hoeffding_interval, paired_difference, read_outcomes
from hardener.threat import NORMS, ThreatModel
from hardener.words import percent, points

KNOWN = ", ".join(["clean", *(f"{norm}-EPS" for norm in NORMS), "mean-NORM-EPS", "corruptions", "certified-RADIUS"])
MEAN = "mean-accuracy"
"""The measure whose figure is the mean robust accuracy over all eps up to one."""
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Aspect:
    """What a condition is about. `size` is eps for `robust` and `mean`, a radius for `certified`."""

    kind: Literal["clean", "robust", "mean", "corruptions", "certified"]
    norm: str = "l2"
    size: float = 0.0

    def __str__(self) -> str:
        if self.kind == "robust":
            return f"robust accuracy under {ThreatModel(self.norm, self.size)}"
        if self.kind == "mean":
            return f"mean robust accuracy up to {ThreatModel(self.norm, self.size)}"
        if self.kind == "certified":
            return f"accuracy certified to l2 {self.size:g}"
        return "clean accuracy" if self.kind == "clean" else "mean accuracy under corruptions"


@dataclass(frozen=True)
class Condition:
    """`min`: the measure is at least `bound`. `max-drop`: it fell by at most `bound`, both in [0, 1]."""

    kind: Literal["min", "max-drop"]
    aspect: Aspect
    bound: float
    text: str


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


@dataclass(frozen=True)
class Outcome:
    """A condition that was looked at: `found` and `needed` in words, `why` of a failure, else empty."""

    condition: Condition
    passed: bool
    found: str
    needed: str
    why: str

    @property
    def line(self) -> str:
        return f"{self.condition.aspect}: {self.found}; needed: {self.needed}" + (f". {self.why}" if self.why else "")


@dataclass(frozen=True)
class Judgement:
    """What the gate says of a run."""

    run: str
    outcomes: list[Outcome]
    notes: list[str]

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if not outcome.passed]


def parse_condition(kind: Literal["min", "max-drop"], text: str) -> Condition:
    """Read `linf-8/255=0.40`.

    Raises:
        HardenerError: no such measure, or a share outside [0, 1].
    """
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    if not equals or not name or not value:
        raise HardenerError(f"--{kind} takes MEASURE=SHARE, such as linf-8/255=0.40; got {text!r}.")
    try:
        bound = parse_quantity(value)
    except HardenerError:
        raise HardenerError(f"--{kind} {text}: {value!r} is no share; write one in [0, 1], such as 0.80.") from None
    if not 0 <= bound <= 1:
        hint = f" Did you mean {bound / 100:g}?" if 1 < bound <= 100 else ""
        raise HardenerError(f"--{kind} {text}: a share lies in [0, 1]; got {value}.{hint}")
    return Condition(kind, _parse_aspect(name), bound, f"{name}={value}")


def _parse_aspect(name: str) -> Aspect:
    head, dash, size = name.partition("-")
    if name in {"clean", "corruptions"}:
        return Aspect("clean" if name == "clean" else "corruptions")
    if head == "mean" and dash and size.partition("-")[0] in NORMS:
        norm, _, eps = size.partition("-")
        return Aspect("mean", norm, ThreatModel(norm, parse_quantity(eps)).eps)
    if head in NORMS and dash:
        return Aspect("robust", head, ThreatModel(head, parse_quantity(size)).eps)
    if head == "certified" and dash:
        radius = parse_quantity(size)
        if radius < 0:
            raise HardenerError(f"a certified radius is >= 0; got {size}.")
        return Aspect("certified", "l2", radius)
    hint = did_you_mean(head, ["clean", *NORMS, "mean", "corruptions", "certified"])
    raise HardenerError(f"unknown measure {name!r}. Known: {KNOWN}.{hint}")


def judge(run: RunFolder, conditions: Sequence[Condition], against: RunFolder | None = None) -> Judgement:
    """Look at every condition. Of the run's evaluations of its present weights, the newest that has a measure counts.

    A `min` condition holds when the lower end of the 95 % interval reaches the bound; a `max-drop` condition when the
    upper end of the 95 % interval of the drop stays within it. That interval is the paired one of Newcombe where both
    runs were evaluated on the same images, else the widest that the two intervals of 97.5 % allow. A robust accuracy
    whose verdict is `inconclusive` meets no condition.

    Raises:
        HardenerError: no conditions, nothing to compare with, or an evaluation that is still to be made.
    """
    drops = [condition for condition in conditions if condition.kind == "max-drop"]
    if not conditions:
        raise HardenerError("nothing to hold the run to: give --min MEASURE=SHARE, or --max-drop with --against RUN.")
    if drops and against is None:
        raise HardenerError("--max-drop needs --against RUN, the run to compare with.")
    if against is not None and not drops:
        raise HardenerError("--against is for --max-drop, and none was given.")
    mine = current_evaluations(run)
    others = [] if against is None else current_evaluations(against)
    outcomes, notes = [], []
    for condition in conditions:
        found = _figures(run, mine, condition.aspect)
        notes += _older_and_lower(condition, found)
        if condition.kind == "min":
            outcomes.append(_judge_min(condition, found[0]))
        else:
            assert against is not None, "checked above"
            other = _to_compare_with(found[0], _figures(against, others, condition.aspect))
            notes += _other_attacks(condition, found[0], other)
            outcomes.append(_judge_drop(condition, run, found[0], against, other))
    return Judgement(run=str(run.path), outcomes=outcomes, notes=list(dict.fromkeys(notes)))


def _figures(run: RunFolder, evaluations: Sequence[Evaluation], aspect: Aspect) -> list[Figure]:
    """The figures of a measure, newest first.

    Raises:
        HardenerError: there is none.
    """
    found = [figure for item in evaluations if (figure := _figure(item, aspect)) is not None]
    if found:
        return found
    has = ""
    if aspect.kind == "robust":
        command = fresh_command(run.path, norm=aspect.norm, eps=aspect.size)
        threats = dict.fromkeys(str(ThreatModel(item.threat.norm, item.threat.eps)) for item in evaluations)
        has = f" It was evaluated under {', '.join(threats)}."
    elif aspect.kind == "mean":
        command = fresh_command(run.path, norm=aspect.norm, eps=aspect.size, sections=[MEAN])
    elif aspect.kind == "corruptions":
        command = fresh_command(run.path, sections=["corruptions"])
    else:
        command = fresh_command(run.path, sections=["certify"])
        radii = sorted({p.parameter for item in evaluations if item.certification for p in item.certification.points})
        has = f" It was certified to {', '.join(f'{radius:g}' for radius in radii)}." if radii else ""
    raise HardenerError(f"{run.path} has no {aspect}.{has} Run `{command}`.")


def _figure(item: Evaluation, aspect: Aspect) -> Figure | None:
    if aspect.kind == "clean":
        return Figure(item, item.clean_accuracy, item.clean_interval, item.samples)
    if aspect.kind == "robust":
        if item.threat.norm != aspect.norm or abs(item.threat.eps - aspect.size) >= SAME_EPS:
            return None
        return Figure(item, item.robust_accuracy, item.interval, item.samples)
    if aspect.kind == "mean":
        found = item.measured.get(MEAN)
        if found is None or item.threat.norm != aspect.norm or abs(item.threat.eps - aspect.size) >= SAME_EPS:
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


def _older_and_lower(condition: Condition, found: Sequence[Figure]) -> list[str]:
    """The newest evaluation counts; one that is older and broke more of the same images must not go unsaid."""
    newest = found[0]
    if condition.aspect.kind != "robust":
        return []
    alike = [figure for figure in found if figure.evaluation.data.fingerprint == newest.evaluation.data.fingerprint]
    lowest = min(alike, key=lambda figure: figure.share)
    if lowest.share >= newest.share:
        return []
    attacks = ", ".join(dict.fromkeys(attack.name for attack in lowest.evaluation.attacks))
    return [
        f"{condition.aspect}: the newest evaluation counts and found {percent(newest.share)}, but that of "
        f"{lowest.evaluation.created_at[:16].replace('T', ' ')} ({attacks}) found {percent(lowest.share)} on the "
        "same images. The lower one is nearer the truth"
    ]


def _judge_min(condition: Condition, figure: Figure) -> Outcome:
    low, high = figure.interval
    found = f"{percent(figure.share)}, 95 % interval {100 * low:.1f} – {percent(high)}, n = {figure.samples}"
    why = _inconclusive(condition, figure)
    if not why and low < condition.bound <= figure.share:
        why = "The figure reaches it and the interval does not: evaluate on more images with --samples"
    return Outcome(
        condition,
        low >= condition.bound and not why,
        found,
        f"a lower end of at least {percent(condition.bound)}",
        why,
    )


def _inconclusive(condition: Condition, figure: Figure) -> str:
    if condition.aspect.kind not in {"robust", "mean"} or figure.evaluation.verdict != "inconclusive":
        return ""
    return f"The evaluation is inconclusive, so its robust accuracy proves nothing: {figure.evaluation.reason}"


def _to_compare_with(figure: Figure, others: Sequence[Figure]) -> Figure:
    """The newest of others that is on the same images, else the newest."""
    return next((other for other in others if _same_images(figure, other)), others[0])


def _same_images(one: Figure, other: Figure) -> bool:
    return one.evaluation.data.fingerprint == other.evaluation.data.fingerprint


def _other_attacks(condition: Condition, figure: Figure, other: Figure) -> list[str]:
    if condition.aspect.kind != "robust" or attacked_alike(figure.evaluation, other.evaluation):
        return []
    return [
        f"{condition.aspect}: the two runs were not attacked alike, {attack_list(figure.evaluation)} against "
        f"{attack_list(other.evaluation)}, so a drop may only be one of attacks"
    ]


def _judge_drop(condition: Condition, run: RunFolder, figure: Figure, against: RunFolder, other: Figure) -> Outcome:
    interval = _paired_drop(condition.aspect, run, figure, against, other)
    if interval is not None:
        how, advice = "paired, on the same images", "on more images"
    else:
        low, high = figure.bounds(condition.aspect, 0.975)
        other_low, other_high = other.bounds(condition.aspect, 0.975)
        interval = other_low - high, other_high - low
        how = "unpaired and so wide: not the same images, or no results of each image"
        advice = "both runs on the same images, or on more"
    drop = other.share - figure.share
    found = (
        f"{'fell' if drop >= 0 else 'rose'} by {points(abs(drop))} points, from {percent(other.share)} to "
        f"{percent(figure.share)}, 95 % interval of the drop {points(interval[0])} to "
        f"{points(interval[1])} points ({how})"
    )
    why = _inconclusive(condition, figure)
    passed = interval[1] <= condition.bound and not why
    if not why and not passed and drop <= condition.bound:
        why = f"The figures keep within it and the interval does not: evaluate {advice}"
    return Outcome(condition, passed, found, f"an upper end of at most {points(condition.bound)} points", why)


def _paired_drop(
    aspect: Aspect, run: RunFolder, figure: Figure, against: RunFolder, other: Figure
) -> tuple[float, float] | None:
    """The interval of the drop from image to image; None where an evaluation has no results of each image."""
    if aspect.kind not in {"clean", "robust"} or not _same_images(figure, other):
        return None
    names = figure.evaluation.per_image, other.evaluation.per_image
    if names[0] is None or names[1] is None:
        return None
    files = run.evaluations / names[0], against.evaluations / names[1]
    if not all(file.is_file() for file in files):
        return None
    which: Literal["clean", "robust"] = "clean" if aspect.kind == "clean" else "robust"
    return paired_difference(read_outcomes(files[0]), read_outcomes(files[1]), which).interval


def write_junit(judgement: Judgement, path: Path) -> None:
    """Write one test case a condition, as JUnit XML, which every CI system reads."""
    counts = {
        "tests": str(len(judgement.outcomes)),
        "failures": str(len(judgement.failed)),
        "errors": "0",
        "skipped": "0",
    }
    root = ElementTree.Element("testsuites", {"name": "hardener gate", **counts})
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {"name": _xml(f"hardener gate {judgement.run}"), "timestamp": now()[:19], "time": "0", **counts},
    )
    for outcome in judgement.outcomes:
        condition = outcome.condition
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {"classname": _xml(judgement.run), "name": _xml(f"{condition.kind} {condition.text}"), "time": "0"},
        )
        if outcome.passed:
            ElementTree.SubElement(case, "system-out").text = _xml(outcome.line)
        else:
            message = f"{outcome.found}; needed: {outcome.needed}"
            failure = ElementTree.SubElement(case, "failure", {"type": condition.kind, "message": _xml(message)})
            failure.text = _xml(outcome.line)
    ElementTree.indent(root)
    write_text(path, '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n")


def _xml(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)


def write_summary(judgement: Judgement, path: Path) -> None:
    """Write GitHub-flavoured Markdown; where `path` is the job's summary ($GITHUB_STEP_SUMMARY), add to it."""
    failed = len(judgement.failed)
    title = f"{failed} of {len(judgement.outcomes)} conditions failed" if failed else "all conditions hold"
    lines = [
        f"### hardener gate: {title}",
        "",
        f"Run `{judgement.run}`",
        "",
        "| | condition | found | needed |",
        "| --- | --- | --- | --- |",
    ]
    for outcome in judgement.outcomes:
        condition, why = outcome.condition, f"<br>{cell(outcome.why)}" if outcome.why else ""
        lines.append(
            f"| {'holds' if outcome.passed else '**failed**'} | `{condition.kind} {cell(condition.text)}` "
            f"| {cell(f'{condition.aspect}: {outcome.found}')}{why} | {cell(outcome.needed)} |"
        )
    lines += ["", *(f"> **Note** {cell(note)}" for note in judgement.notes)]
    text = "\n".join(lines).rstrip() + "\n"
    job = os.environ.get("GITHUB_STEP_SUMMARY")
    if job and Path(job).resolve() == path.resolve():
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        write_text(path, text)
