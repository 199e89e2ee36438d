"""The audit: whether a robustness figure can be believed. Its questions are explained in docs/flags.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hardener.config.evaluation_record import Check, Flag
from hardener.errors import Failure
from hardener.evaluation.case import AuditCase, Examined
from hardener.evaluation.questions import ASKED, OF_A_BALL, not_asked
from hardener.evaluation.robust_accuracy import RobustAccuracy
from hardener.runtime.model_state import measuring
from hardener.threat import norm_of


@dataclass(frozen=True)
class AuditResult:
    """What the audit found.

    Attributes:
        checks: one an entry of `QUESTIONS`, in its order.
        result: the run's, in which images that the audit broke count as broken (by a last outcome named `audit`), and
            distances are the least of both: what the audit breaks is adversarial like anything else.
    """

    checks: list[Check]
    result: RobustAccuracy


def audit(
    examined: Examined,
    result: RobustAccuracy,
    *,
    samples: int = 200,
    on_done: Callable[[int], None] | None = None,
) -> AuditResult:
    """Ask of a robustness figure whether it can be believed.

    Attacks go through `robust_accuracy`, so that what the audit breaks is projected and classified again as in any
    run. If nothing ever falls the audit makes, for each of `samples`, 47 passes with a gradient and 50 without: about
    three PGD-20 on as many images; where images fall it is less. If `not-converged` or `gradient-free` is raised, all
    survivors of the run are attacked again, so that the figure itself is put right: by at most 100 more steps for
    each, and by at most 1,000 queries, which are at most four times as many passes as the run's attacks make.

    A model without gradients, an ONNX file on its own, is asked all that answers alone can tell; Square then stands
    where a PGD does otherwise, here and wherever no gradient reaches the input. Under a threat without a norm, what is
    about a ball is not asked, and a box search with 1,000 queries stands where a PGD does otherwise.

    Args:
        examined: the model, images and labels of the run.
        result: what was run.
        samples: images that the cheap questions are asked on, spread evenly over those that are right when clean;
            attacks are compared on half of them, survivors attacked again on a quarter.
        on_done: called with the percents of the work done since it was last called; they add up to 100.
    Sources: Athalye, Carlini, Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018;
        Carlini et al., "On Evaluating Adversarial Robustness", arXiv 1902.06705; Croce et al., "Evaluating the
        Adversarial Robustness of Adaptive Test-time Defenses", ICML 2022; `gradient-wrong` and the thresholds are ours.
    """
    started = time.monotonic()
    case = AuditCase(examined, result, samples)
    checks: list[Check] = []
    with measuring(examined.model):
        for place, (name, (question, ask)) in enumerate(ASKED.items()):
            try:
                if name in OF_A_BALL and norm_of(result.threat) is None:
                    found = not_asked(f"it is about a ball, and {result.threat} is none.")
                else:
                    found = ask(case)
            except Failure as failure:
                found = not_asked(f"an attack failed: {failure}")
            checks.append(
                Check(id=name, question=question, answer=found.answer, value=found.value, raised=found.raised)
            )
            if on_done is not None:
                on_done(100 * (place + 1) // len(ASKED) - 100 * place // len(ASKED))
    return AuditResult(checks, case.worst(time.monotonic() - started))


def flags_of(checks: Sequence[Check]) -> list[Flag]:
    """Return a flag for each question that raised one."""
    return [
        Flag(id=check.id, message=check.answer, page=f"docs/flags.md#{check.id}") for check in checks if check.raised
    ]
