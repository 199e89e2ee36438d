"""The verdict: what an evaluation says, in two words and a sentence. The thresholds are explained in docs/flags.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from hardener.config.evaluation_record import Check
from hardener.evaluation.audit import QUERYING, WHITE_BOX
from hardener.evaluation.robust_accuracy import RobustAccuracy

Verdict = Literal["robust", "partly robust", "not robust", "inconclusive"]

LITTLE, MOST = 0.25, 0.75  # of the clean accuracy
STRONG_QUERIES = 1000


def verdict(result: RobustAccuracy, *, num_classes: int, checks: Sequence[Check]) -> tuple[Verdict, str]:
    """Return the verdict and the reason for it, one sentence with its figures.

    In this order, where clean is the clean accuracy and the interval that of the worst case:

    - not robust: the worst case is at or below chance, 1 / num_classes, or the interval lies below it or below a
      quarter of clean. No flag can save it: every image that was broken is there to be seen.
    - inconclusive: a question of the audit raised a flag, or nothing followed the model's gradients, or the interval
      reaches from below a quarter of clean to above three quarters: too few images.
    - robust: the interval lies above three quarters of clean, and a gradient attack and one that needs no gradient
      (at least 1,000 queries an image) ran.
    - partly robust: all else.

    Args:
        result: the worst case, what the audit broke included.
        num_classes: K >= 2.
        checks: the audit's; empty if there was none.
    """
    raised = [check for check in checks if check.raised]
    low, high = result.interval
    clean, worst, chance = result.clean_accuracy, result.robust_accuracy, 1 / num_classes
    shown = (
        f"the worst case leaves {100 * worst:.1f} % of {result.samples} images right "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %), of {100 * clean:.1f} % when clean"
    )
    if worst <= chance:
        return "not robust", f"{_upper(shown)}: no better than guessing, {100 * chance:.1f} %."
    if high < max(chance, LITTLE * clean):
        return "not robust", f"{_upper(shown)}: surely less than a quarter of it, or than guessing."
    if raised:
        why = ", ".join(check.id for check in raised)
        return "inconclusive", f"{_upper(shown)}, but the audit does not trust the figure: {why}."
    names = {outcome.plan.name for outcome in result.outcomes}
    asked = {check.id for check in checks if check.raised is not None}
    followed = bool(names & WHITE_BOX) or {"gradients-zero", "not-converged"} <= asked  # by the audit's own PGD
    if not followed:
        return "inconclusive", f"{_upper(shown)}, but no attack followed the model's gradients over several steps."
    if low < LITTLE * clean and high > MOST * clean:
        return "inconclusive", f"{_upper(shown)}: too few images to tell."
    if low > MOST * clean:
        queried = any(
            outcome.plan.name in QUERYING
            and int(outcome.plan.settings.get("queries", STRONG_QUERIES)) >= STRONG_QUERIES
            for outcome in result.outcomes
        )
        if names & WHITE_BOX and queried:
            return "robust", f"{_upper(shown)}: surely more than three quarters of it."
        return "partly robust", f"{_upper(shown)}, but only weaker attacks ran: `--suite standard` may find less."
    return "partly robust", f"{_upper(shown)}."


def _upper(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
