"""Conditions that a run must meet before it goes on, judged by intervals and not by luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hardener.config.data_findings import SEEN
from hardener.config.evaluation_record import Evaluation
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.reports.attack_lists import attack_list, attacked_alike
from hardener.reports.condition import Aspect, Condition
from hardener.reports.figure import Figure, figures, not_measured
from hardener.reports.own_images import is_elsewhere, precedence, root_of, split_in_words
from hardener.reports.shared import current_evaluations, weights_gone
from hardener.statistics.paired import paired_difference, read_outcomes
from hardener.words import percent, points


@dataclass(frozen=True)
class Outcome:
    """A condition that was looked at: `found` and `needed` in words, `why` of a failure, else empty; the figure."""

    condition: Condition
    passed: bool
    found: str
    needed: str
    why: str
    figure: Figure

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


def judge(run: RunFolder, conditions: Sequence[Condition], against: RunFolder | None = None) -> Judgement:
    """Look at every condition. Of the run's evaluations of its present weights, the newest that has a measure counts.
    Clean accuracy is in all of them; there the one of most images counts, of those on the newest one's data. Figures of
    the images that the run held out come first; those of other data count where there are no others, and are named.

    A `min` condition holds when the lower end of the 95 % interval reaches the bound; a `max-drop` condition when the
    upper end of the 95 % interval of the drop stays within it. That interval is the paired one of Newcombe where both
    runs were evaluated on the same images, else the widest that the two intervals of 97.5 % allow. A robust accuracy
    whose verdict is `inconclusive` meets no condition, nor does any figure of images that the run has seen.

    Raises:
        HardenerError: no conditions, nothing but itself to compare with, weights that are gone, or an evaluation that
            is still to be made.
    """
    drops = [condition for condition in conditions if condition.kind == "max-drop"]
    if not conditions:
        raise HardenerError(
            "nothing to hold the run to: give --min MEASURE=SHARE, --max-drop with --against RUN, or --requirements "
            f"FILE. A file {run.requirements} is found by itself."
        )
    if drops and against is None:
        asked = f"{drops[0]}:" if drops[0].place else "--max-drop"
        raise HardenerError(f"{asked} needs --against RUN, the run to compare with.")
    if against is not None and against.path.resolve() == run.path.resolve():
        raise HardenerError(f"--against names {run.path} itself, below which it cannot fall: name another run.")
    if against is not None and not drops:
        raise HardenerError("--against is for --max-drop, and none was given, in a file of requirements neither.")
    for one in (run, against):
        gone = None if one is None else weights_gone(one)
        if gone is not None:
            raise HardenerError(f"{gone}.")
    mine = current_evaluations(run)
    others = [] if against is None else current_evaluations(against)
    _check_measured(run, mine, [condition.aspect for condition in conditions])
    if against is not None:
        _check_measured(against, others, [condition.aspect for condition in drops])
    outcomes, notes = [], []
    for condition in conditions:
        outcome, said = look_at(condition, (run, mine), None if against is None else (against, others))
        outcomes.append(outcome)
        notes += said
    return Judgement(run=str(run.path), outcomes=outcomes, notes=list(dict.fromkeys(notes)))


Evaluated = tuple[RunFolder, Sequence[Evaluation]]
"""A run and the evaluations of its present weights, newest first."""


def look_at(condition: Condition, mine: Evaluated, against: Evaluated | None) -> tuple[Outcome, list[str]]:
    """Look at one condition, whose figures there are; return what came out, and what must not be missed."""
    found = figures(mine[1], condition.aspect)
    notes = [*_older_and_lower(condition, found), *_flags(found[0])]
    root = root_of(mine[0])
    if condition.kind == "min":
        return _judge_min(condition, found[0], root), [*notes, *_set_aside(condition, found[0], found, root)]
    assert against is not None, "a drop is from something"
    others = figures(against[1], condition.aspect)
    chosen = _with_a_like(condition.aspect, found, others)
    other = to_compare_with(chosen, others)
    notes = [*notes, *_flags(chosen), *_other_attacks(condition, chosen, other), *_flags(other)]
    notes += _set_aside(condition, chosen, found, root)
    return _judge_drop(condition, (mine[0], chosen), (against[0], other)), notes


def _with_a_like(aspect: Aspect, found: Sequence[Figure], others: Sequence[Figure]) -> Figure:
    """Return the figure that is held against another run's: that which counts, or on other data one of images that
    both runs were evaluated on; of what no attack has part in, any such one."""
    alike = [one for one in found if any(_same_images(one, other) for other in others)]
    if found[0] in alike:
        return found[0]
    elsewhere = [one for one in alike if aspect.kind == "clean" or one.evaluation.data.own is False]
    return next(iter(elsewhere), found[0])


def _set_aside(condition: Condition, chosen: Figure, found: Sequence[Figure], root: str | None) -> list[str]:
    """Tell the newest figure of each other data set, which does not count here."""
    told: dict[str, Figure] = {}
    for figure in found:
        data = figure.evaluation.data
        if data.own is False and data.root != chosen.evaluation.data.root:
            told.setdefault(data.root, figure)
    counts = "of the images that the run held out counts" if not precedence(chosen.evaluation) else "counts"
    return [
        f"{condition.aspect}: the figure {counts}, and not the {percent(figure.share)} (n = {figure.samples}"
        + (f", flag {SEEN}" if figure.is_of_seen_images else "")
        + f") on {split_in_words(figure.evaluation, root)}"
        for figure in told.values()
    ]


def _flags(figure: Figure) -> list[str]:
    """What makes a figure less trustworthy than it looks; what meets no condition is told there."""
    when = figure.evaluation.created_at[:16].replace("T", " ")
    return [
        f"the evaluation of {when} carries the flag {flag.id}: {flag.message}"
        for flag in figure.evaluation.flags
        if flag.id != SEEN
    ]


def _check_measured(run: RunFolder, evaluations: Sequence[Evaluation], aspects: Sequence[Aspect]) -> None:
    """Refuse what was not measured, all of it at once, with the commands that measure it."""
    lacking = [aspect for aspect in dict.fromkeys(aspects) if not figures(evaluations, aspect)]
    if lacking:
        raise HardenerError(" ".join(not_measured(run, evaluations, aspect) for aspect in lacking))


def _older_and_lower(condition: Condition, found: Sequence[Figure]) -> list[str]:
    """The newest evaluation counts; one that is older and broke more of the same images must not go unsaid."""
    newest = found[0]
    if not condition.aspect.is_attacked:
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


def _judge_min(condition: Condition, figure: Figure, root: str | None) -> Outcome:
    low, high = figure.interval
    found = f"{percent(figure.share)}, 95 % interval {100 * low:.1f} – {percent(high)}, n = {figure.samples}"
    found += _named(figure, root)
    why = _worth_nothing(condition, figure)
    if not why and low < condition.bound <= figure.share:
        why = "The figure reaches it and the interval does not: evaluate on more images with --samples"
    return Outcome(
        condition,
        low >= condition.bound and not why,
        found,
        f"a lower end of at least {percent(condition.bound)}",
        why,
        figure,
    )


def _worth_nothing(condition: Condition, figure: Figure) -> str:
    """Say why a figure meets no condition, whatever it is; empty where it may."""
    for flag in figure.evaluation.flags:
        if flag.id == SEEN:
            return f"Figures of images that the run has seen meet no condition: {flag.message}"
    if (
        not (condition.aspect.is_attacked or condition.aspect.kind == "mean")
        or figure.evaluation.verdict != "inconclusive"
    ):
        return ""
    return f"The evaluation is inconclusive, so its robust accuracy proves nothing: {figure.evaluation.reason}"


def _named(figure: Figure, root: str | None) -> str:
    """Name the data of a figure that is not of the run's own; empty for the others."""
    return f", on {split_in_words(figure.evaluation, root)}" if is_elsewhere(figure.evaluation, root) else ""


def to_compare_with(figure: Figure, others: Sequence[Figure]) -> Figure:
    """The newest of others that is on the same images, else the newest."""
    return next((other for other in others if _same_images(figure, other)), others[0])


def _same_images(one: Figure, other: Figure) -> bool:
    return one.evaluation.data.fingerprint == other.evaluation.data.fingerprint


def _other_attacks(condition: Condition, figure: Figure, other: Figure) -> list[str]:
    if not condition.aspect.is_attacked or attacked_alike(figure.evaluation, other.evaluation):
        return []
    return [
        f"{condition.aspect}: the two runs were not attacked alike, {attack_list(figure.evaluation)} against "
        f"{attack_list(other.evaluation)}, so a drop may only be one of attacks"
    ]


def _judge_drop(condition: Condition, mine: tuple[RunFolder, Figure], against: tuple[RunFolder, Figure]) -> Outcome:
    (run, figure), (before, other) = mine, against
    interval = _paired_drop(condition.aspect, run, figure, before, other)
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
    places = _named(figure, root_of(run)), _named(other, root_of(before))
    found += places[0] if places[0] == places[1] else f"{places[0]}; before{places[1] or ' on its own held-out images'}"
    why = _worth_nothing(condition, figure)
    passed = interval[1] <= condition.bound and not why
    if not why and not passed and drop <= condition.bound:
        why = f"The figures keep within it and the interval does not: evaluate {advice}"
    needed = f"an upper end of at most {points(condition.bound)} points"
    return Outcome(condition, passed, found, needed, why, figure)


def _paired_drop(
    aspect: Aspect, run: RunFolder, figure: Figure, against: RunFolder, other: Figure
) -> tuple[float, float] | None:
    """The interval of the drop from image to image; None where an evaluation has no results of each image."""
    if aspect.kind not in {"clean", "robust", "threat"} or not _same_images(figure, other):
        return None
    names = figure.evaluation.per_image, other.evaluation.per_image
    if names[0] is None or names[1] is None:
        return None
    files = run.evaluations / names[0], against.evaluations / names[1]
    if not all(file.is_file() for file in files):
        return None
    which: Literal["clean", "robust"] = "clean" if aspect.kind == "clean" else "robust"
    return paired_difference(read_outcomes(files[0]), read_outcomes(files[1]), which).interval
