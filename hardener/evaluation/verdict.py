"""The verdict: what an evaluation says, in two words and a sentence. The thresholds are explained in docs/flags.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hardener.attacks import Attack
from hardener.config.evaluation_record import Check
from hardener.evaluation.robust_accuracy import EVERY_ATTACK, RobustAccuracy
from hardener.statistics.interval import clopper_pearson
from hardener.threat import ChangeThreat
from hardener.words import counted

Verdict = Literal["robust", "partly robust", "not robust", "inconclusive"]

LITTLE, MOST = 0.25, 0.75  # of the images right when clean
STRONG_QUERIES = 1000
_LARGEST = "always naming the largest class"


@dataclass(frozen=True)
class _Guess:
    """What a model without any knowledge of the image gets right, and how."""

    share: float
    words: str

    def __str__(self) -> str:
        return f"{self.words}, {100 * self.share:.1f} %"


def verdict(
    result: RobustAccuracy, *, num_classes: int, checks: Sequence[Check], largest_class: float | None = None
) -> tuple[Verdict, str]:
    """Return the verdict and the reason for it, one sentence with its figures.

    In this order, where the interval is that of the worst case, the share kept that of the images right when clean
    which stay right (both intervals 95 %, exact), and chance is 1 / num_classes; or, where classes are uneven, what a
    model gets right that always names the largest:

    - not robust: no image stands, or the interval lies below chance, or the share kept surely below a quarter, or the
      interval lies so near to chance that it holds chance and ends within a quarter of the way from there to 1. No flag
      can save it: every image that was broken is there to be seen.
    - inconclusive: a question of the audit raised a flag; or nothing followed the model's gradients; or the interval
      holds chance and reaches farther than that, or that of the share kept reaches from below a quarter to above three
      quarters: too few images.
    - robust: the share kept is surely above three quarters, and a gradient attack and one that needs no gradient (at
      least 1,000 queries an image) ran. Under a threat without a norm: all its own attacks ran; gradients need not be
      followed where it has few values.
    - partly robust: all else, so that the interval lies above chance.

    Chance is compared with the interval and not with the worst case itself: of twelve images that two classes share,
    a model that guesses gets seven or more right in 39 % of all cases.

    Args:
        result: the worst case, what the audit broke included.
        num_classes: K >= 2.
        checks: the audit's; empty if there was none.
        largest_class: its share of the images, where classes differ by more than 3 times and the model may do no more
            than name it.
    """
    low, high = result.interval
    clean = result.clean_accuracy
    guess = _Guess(1 / num_classes, "guessing") if largest_class is None else _Guess(largest_class, _LARGEST)
    shown = (
        f"The worst case leaves {100 * result.robust_accuracy:.1f} % of {counted(result.samples, 'image')} right "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %), of {100 * clean:.1f} % when clean"
    )
    fallen = _fallen(result, guess)
    if fallen:
        return "not robust", f"{shown}: {fallen}."
    unsettled = _unsettled(result, guess, checks)
    if unsettled:
        return "inconclusive", f"{shown}{unsettled}."
    if _kept(result)[0] <= MOST:
        return "partly robust", f"{shown}."
    if _strongly_attacked(result):
        return "robust", f"{shown}: surely more than three quarters of it."
    if isinstance(result.threat, ChangeThreat):
        return "partly robust", f"{shown}, but not all attacks of {result.threat.kind} ran: leave --attack out."
    return "partly robust", f"{shown}, but only weaker attacks ran: `--suite standard` may find less."


def _kept(result: RobustAccuracy) -> tuple[float, float]:
    """Return the exact 95 % interval of the share of the images right when clean that stay right."""
    right = int(result.clean_correct.sum())
    return clopper_pearson(int(result.robust_correct.sum()), right) if right else (0.0, 1.0)


def _fallen(result: RobustAccuracy, guess: _Guess) -> str:
    """Say why a model is not robust, or nothing."""
    low, high = result.interval
    if not result.robust_correct.any():
        return "every image that was right falls" if result.clean_correct.any() else "no image is right to begin with"
    if high < guess.share:
        return f"no better than {guess}"
    if _kept(result)[1] < LITTLE:
        return "surely less than a quarter of it"
    if low <= guess.share and high <= guess.share + LITTLE * (1 - guess.share):
        return f"hardly better than {guess}, if at all"
    return ""


def _unsettled(result: RobustAccuracy, guess: _Guess, checks: Sequence[Check]) -> str:
    """Say why nothing can be said, or nothing."""
    low = result.interval[0]
    raised = [check.id for check in checks if check.raised]
    if raised:
        return f", but the audit does not trust the figure: {', '.join(raised)}"
    asked = {check.id for check in checks if check.raised is not None}
    followed = {"gradients-zero", "not-converged"} <= asked  # by the audit's own attack, up the gradients
    if not (_is_searched(result) or followed or any(entry.follows_gradients for entry in _entries(result))):
        return ", but no attack followed the model's gradients over several steps"
    if low <= guess.share:
        return f": too few images to tell it from {guess}"
    if _kept(result)[0] < LITTLE and _kept(result)[1] > MOST:
        return ": too few images to tell"
    return ""


def _strongly_attacked(result: RobustAccuracy) -> bool:
    """Whether an attack up the gradients ran, and one by many queries; of a threat without a norm, all its own."""
    if isinstance(result.threat, ChangeThreat):
        return set(result.threat.entry.attacks) <= {outcome.plan.name for outcome in result.outcomes}
    queried = any(
        EVERY_ATTACK[outcome.plan.name].queries
        and int(outcome.plan.settings.get("queries", STRONG_QUERIES)) >= STRONG_QUERIES
        for outcome in result.outcomes
        if outcome.plan.name in EVERY_ATTACK
    )
    return queried and any(entry.follows_gradients for entry in _entries(result))


def _is_searched(result: RobustAccuracy) -> bool:
    """Whether the threat is one of few values, where a search that follows no gradient finds as much."""
    return isinstance(result.threat, ChangeThreat) and result.threat.entry.gradients != "needed"


def _entries(result: RobustAccuracy) -> list[Attack]:
    """Return the facts of the attacks that ran; the audit's own outcome is none of the catalog."""
    return [EVERY_ATTACK[outcome.plan.name] for outcome in result.outcomes if outcome.plan.name in EVERY_ATTACK]
