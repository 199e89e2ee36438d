"""The questions of the audit, one function each; what they mean is explained in docs/flags.md."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch

from hardener.evaluation.case import (
    AGAIN,
    AGAIN_BY_ANSWERS,
    AGAIN_IN_RANGES,
    NO_GRADIENT,
    NOISE_DRAWS,
    NOT_LENT,
    ONE_STEP,
    PLAIN,
    SEARCH,
    SURE_DROP,
    YARDSTICK,
    AuditCase,
)
from hardener.evaluation.directions import LOW_COSINE, gradient_cosine
from hardener.evaluation.robust_accuracy import AttackPlan
from hardener.evaluation.standing import evenly
from hardener.losses.cross_entropy import cross_entropy
from hardener.models.borrowed_gradient import BorrowedGradient
from hardener.runtime.answers import NO_ANSWER, chosen_class
from hardener.statistics.interval import clopper_pearson
from hardener.threat import norm_of, show_eps
from hardener.words import counted

ZERO_SHARE = 0.05  # of images: `gradients-zero`
SATURATED_SHARE, FLAT_SPREAD = 0.5, 1e-3  # of images; in logits: `logit-scale`
FEWEST = 5  # images, and half of those asked: `gradient-wrong`
STRAY_IMAGES, STRAY_SHARE = 3, 0.02  # images, and share: `single-step`, `gradient-free`
RISE = 0.05  # of images: `more-eps`


@dataclass(frozen=True)
class Finding:
    """An answer in a sentence, what was measured, and whether it raises a flag; None where it was not asked."""

    answer: str
    value: float | None
    raised: bool | None


def not_asked(why: str) -> Finding:
    """Return the finding of a question that makes no sense here."""
    return Finding(f"Not asked: {why}", None, None)


def sees_only_cross_entropy(plans: Sequence[AttackPlan]) -> bool:
    """Whether every gradient attack of a run climbs the cross-entropy of the logits as they are."""
    return all(
        (plan.setting("loss") or plan.entry.loss) == "ce" and not plan.setting("rescale")
        for plan in plans
        if plan.entry.follows_gradients
    )


def _of(count: int, total: int) -> str:
    return f"{count:,} of {counted(total, 'image')}"


def _gradients_zero(case: AuditCase) -> Finding:
    if not case.differentiable:
        return not_asked(NOT_LENT)
    peak, _ = case.gradients
    zero = int((peak == 0).sum())
    share = zero / len(peak)
    return Finding(f"The margin's gradient is zero on {_of(zero, len(peak))}.", share, share > ZERO_SHARE)


def _gradient_wrong(case: AuditCase) -> Finding:
    if not case.differentiable:
        return not_asked(NOT_LENT)
    if isinstance(case.model, BorrowedGradient):
        return not_asked("the gradients are another network's, lent to a file.")
    if case.is_random:
        return not_asked("the model answers differently twice anyway.")
    if not bool((case.gradients[0] > 0).any()):
        return not_asked(NO_GRADIENT)
    asked = evenly(case.probed, case.quarter)
    cosines = torch.cat([gradient_cosine(case.model, *batch).cpu() for batch in case.batches(asked)])
    told = cosines[cosines.isfinite()]
    if len(told) < max(FEWEST, len(asked) / 2):
        return not_asked(f"answers move too little or too roughly to tell, on all but {_of(len(told), len(asked))}.")
    middle = float(told.quantile(0.5))
    return Finding(
        f"Along random directions, answers move as the gradient says with a cosine of {middle:.2f}, the median of "
        f"{counted(len(told), 'image')}.",
        middle,
        middle < LOW_COSINE,
    )


def _not_finite(case: AuditCase) -> Finding:
    fine = chosen_class(case.probed_logits) != NO_ANSWER
    if case.differentiable:
        margins, entropies = case.gradients
        fine &= margins.isfinite() & entropies.isfinite()
    bad, told = int((~fine).sum()), "Answers or gradients" if case.differentiable else "Answers"
    silent, asked = int((case.result.predictions == NO_ANSWER).sum()), len(case.result.predictions)
    also = f" Of the run, {_of(silent, asked)} got no answer, and count as wrong." if silent else ""
    share = max(bad / len(fine), silent / asked)
    return Finding(f"{told} are NaN or infinite on {_of(bad, len(fine))}.{also}", share, share > 0)


def _answers_differ(case: AuditCase) -> Finding:
    return Finding(
        "Asked again three times, the model gave other answers."
        if case.is_random
        else "Asked again three times, the model gave the same answers.",
        float(case.is_random),
        case.is_random,
    )


def _batch_dependent(case: AuditCase) -> Finding:
    if case.is_random:
        return not_asked("the model answers differently twice anyway.")
    backwards = case.probed.flip(0)
    alone = len(backwards) // 20
    pieces = [*backwards[:alone].split(1), *backwards[alone:].split(max(case.batch_size // 2, 1))]
    pieces = [piece for piece in pieces if len(piece)]  # torch splits nothing into one piece
    moved = case.moved(torch.cat([case.logits(piece) for piece in pieces]).flip(0))
    count = int(moved.sum())
    return Finding(
        f"Among other images the model gave another answer to {_of(count, len(moved))}.", count / len(moved), count > 0
    )


def _probabilities(case: AuditCase) -> Finding:
    outputs = case.probed_logits
    rows = (outputs >= 0).all(1) & (outputs <= 1).all(1) & ((outputs.sum(1) - 1).abs() < 1e-3)
    count = int(rows.sum())
    return Finding(
        f"Outputs lie in [0, 1] and add up to 1 on {_of(count, len(rows))}.", count / len(rows), count == len(rows)
    )


def _autograd_in_forward(case: AuditCase) -> Finding:
    if not case.differentiable:
        return not_asked("the file runs outside of autograd.")
    with _backward_passes() as calls:
        case.logits(case.probed[:2])
    return Finding(f"One forward pass asks autograd for gradients {len(calls)} times.", len(calls), len(calls) > 0)


def _logit_scale(case: AuditCase) -> Finding:
    if not case.differentiable:
        return not_asked(NOT_LENT)
    margins, entropies = case.gradients
    lost = (cross_entropy(case.probed_logits, case.labels[case.probed]) == 0) | ((entropies == 0) & (margins > 0))
    share = int(lost.sum()) / len(lost)
    spread = f"The logits of an image spread over {case.spread:.3g}"
    rounds = f"the cross-entropy or its gradient rounds to zero in float32 on {_of(int(lost.sum()), len(lost))}"
    extreme = share > SATURATED_SHARE or case.spread < FLAT_SPREAD
    if extreme and not sees_only_cross_entropy(case.plans):
        return Finding(f"{spread} and {rounds}, but attacks of the run do not depend on scale.", share, False)
    return Finding(f"{spread}; {rounds}.", share, extreme)


def _small_eps(case: AuditCase) -> Finding:
    levels = case.ball.eps * 255
    return Finding(f"eps is {levels:.3g} of 255 grey levels.", levels, levels < 0.5)


def _not_converged(case: AuditCase) -> Finding:
    in_ranges = norm_of(case.result.threat) is None
    if case.why_no_attack or (case.differentiable and not in_ranges and case.why_no_gradient_attack):
        return not_asked(case.why_no_gradient_attack)
    survivors, attacked, fell = case.strengthened
    if attacked == 0:
        return not_asked("no image stands after the run.")
    stronger = AGAIN_IN_RANGES if in_ranges else AGAIN if case.differentiable else AGAIN_BY_ANSWERS
    return Finding(
        f"{stronger.words} and another start broke {_of(fell, attacked)} that the run had left standing.",
        fell / attacked * survivors / case.correct,
        case.sure_share(fell, attacked, survivors) > SURE_DROP,
    )


def _single_step(case: AuditCase) -> Finding:
    if case.why_no_gradient_attack:
        return not_asked(case.why_no_gradient_attack)
    stray = int((case.strike(case.compared, ONE_STEP.plan) & ~case.weakened).sum())
    total = len(case.compared)
    return Finding(
        f"{ONE_STEP.words} broke {_of(stray, total)} that {YARDSTICK.words} left standing.",
        stray / total,
        _is_stray(stray, total),
    )


def _gradient_free(case: AuditCase) -> Finding:
    if not case.differentiable:
        return not_asked(NOT_LENT)
    seeing = [place for place, plan in enumerate(case.plans) if plan.entry.follows_gradients]
    searched = any(plan.name == SEARCH.plan.name for plan in case.plans)
    sampled: Finding | None = None
    for place, plan in enumerate(case.plans):
        stray = int((case.result.broken_by == place).sum())
        if not (plan.entry.is_blind and seeing and seeing[0] < place):
            continue
        total = case.correct if plan.sample is None else case.result.outcomes[place].attacked
        found = f"{plan.name} broke {_of(stray, total)} that the gradient attacks before it had left standing."
        if _is_stray(stray, total):
            return Finding(found if searched else found + case.search(), stray / case.correct, True)
        if plan.sample is not None and total > 0:
            sampled = Finding(found, stray / case.correct, False)
    if sampled is not None:  # a search such as the one below has been made
        return sampled
    standing = case.stands.nonzero().squeeze(1)
    attacked = evenly(standing, case.quarter)
    stray = int(case.strike(attacked, SEARCH.plan).sum())
    if len(attacked) == 0:
        return not_asked("no image stands.")
    found = f"{SEARCH.words} broke {_of(stray, len(attacked))} that gradient attacks had left standing."
    raised = _is_stray(stray, len(attacked))
    return Finding(
        found + case.search() if raised else found, stray / len(attacked) * len(standing) / case.correct, raised
    )


def _noise_as_bad(case: AuditCase) -> Finding:
    if case.why_no_attack:
        return not_asked(case.why_no_attack)
    noise, attack, total = int(case.noisy.sum()), int(case.weakened.sum()), len(case.compared)
    return Finding(
        f"The worst of {NOISE_DRAWS} random perturbations of norm eps broke {_of(noise, total)}, "
        f"{case.yardstick.words} {attack}.",
        noise / total,
        _is_stray(noise, total) and noise >= case.yardstick.noise_ratio * attack and attack < total / 2,
    )


def _ce_gap(case: AuditCase) -> Finding:
    if case.why_no_gradient_attack:
        return not_asked(case.why_no_gradient_attack)
    plain = case.strike(case.compared, PLAIN.plan)
    gap, total = int((case.weakened & ~plain).sum()), len(case.compared)
    wide = case.sure_share(gap, total, case.correct) > SURE_DROP
    found = f"{YARDSTICK.words} broke {int(case.weakened.sum())}, {PLAIN.words} {int(plain.sum())}"
    told = f"Of {counted(total, 'image')} right when clean {found}"
    if wide and not sees_only_cross_entropy(case.plans):
        return Finding(f"{told}, but the run did not rely on it.", gap / total, False)
    return Finding(f"{told}.", gap / total, wide)


def _more_eps(case: AuditCase) -> Finding:
    if case.why_no_attack:
        return not_asked(case.why_no_attack)
    lefts = [left for _, left in case.eps_curve]
    rise = max((late - early for place, early in enumerate(lefts) for late in lefts[place + 1 :]), default=0.0)
    shown = ", ".join(f"{100 * left:.0f} % at {show_eps(eps)}" for eps, left in case.eps_curve)
    return Finding(
        f"Of {counted(len(case.swept), 'image')} right when clean, {case.yardstick.words} leaves {shown}.",
        rise,
        rise > RISE or (len(lefts) > 1 and lefts[-1] >= lefts[0] > 0),
    )


def _half_box(case: AuditCase) -> Finding:
    if case.why_no_attack:
        return not_asked(case.why_no_attack)
    eps, left = case.eps_curve[-1]
    total = len(case.swept)
    chance = int(case.labels[case.swept].bincount().max()) / total
    return Finding(
        f"With eps {show_eps(eps)}, enough to make any image gray, {100 * left:.0f} % of {total} images still stand; "
        f"one answer for all would keep {100 * chance:.0f} %.",
        left,
        clopper_pearson(round(left * total), total)[0] > chance,
    )


def _is_stray(count: int, total: int) -> bool:
    return count >= STRAY_IMAGES and count > STRAY_SHARE * total


@contextmanager
def _backward_passes() -> Iterator[list[str]]:
    """List autograd's calls by watching Python's: a model may have imported `grad` under any name."""
    watched = {torch.autograd.grad.__code__, torch.autograd.backward.__code__}
    calls: list[str] = []

    def watch(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in watched:
            calls.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield calls
    finally:
        sys.setprofile(before)


ASKED: Mapping[str, tuple[str, Callable[[AuditCase], Finding]]] = {
    "gradients-zero": ("Does a gradient reach the input?", _gradients_zero),
    "gradient-wrong": ("Do answers move as the gradient says?", _gradient_wrong),
    "not-finite": ("Are answers and gradients finite numbers?", _not_finite),
    "answers-differ": ("Does the model answer the same twice?", _answers_differ),
    "batch-dependent": ("Is the answer independent of the other images of a batch?", _batch_dependent),
    "probabilities": ("Are the outputs logits rather than probabilities?", _probabilities),
    "autograd-in-forward": ("Does the model answer without computing gradients itself?", _autograd_in_forward),
    "logit-scale": ("Does float32 resolve the loss at the scale of the logits?", _logit_scale),
    "small-eps": ("May the attacker change a pixel by half a grey level?", _small_eps),
    "not-converged": ("Would more steps, another start and the margin loss break no more?", _not_converged),
    "single-step": ("Do many steps break what a single step breaks?", _single_step),
    "gradient-free": ("Do gradient attacks break what gradient-free and transferred ones break?", _gradient_free),
    "noise-as-bad": ("Is the attack clearly worse than random noise of the same norm?", _noise_as_bad),
    "ce-gap": ("Does the cross-entropy find what the margin loss finds?", _ce_gap),
    "more-eps": ("Does accuracy fall as eps grows?", _more_eps),
    "half-box": ("Does the attack reach chance where it may make any image gray?", _half_box),
}
OF_A_BALL = frozenset({"small-eps", "single-step", "gradient-free", "noise-as-bad", "ce-gap", "more-eps", "half-box"})
"""Questions that make sense in the ball of a norm alone."""
QUESTIONS: Mapping[str, str] = {name: question for name, (question, _) in ASKED.items()}
"""Check id -> question, in the order in which they are asked: survivors are attacked again before anything else is."""
