"""The audit: questions that tell whether a robustness figure can be believed. Each is explained in docs/flags.md."""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from hardener.attacks import ATTACKS
from hardener.catalog import resolve
from hardener.config.evaluation_record import Check, Flag
from hardener.errors import Failure
from hardener.evaluation.robust_accuracy import AttackOutcome, AttackPlan, RobustAccuracy, robust_accuracy
from hardener.evaluation.suite import FAMILIES, GRADIENT_FREE, most_passes
from hardener.geometry import norm_geometry
from hardener.losses.cross_entropy import cross_entropy
from hardener.losses.margin import margin
from hardener.runtime.gradient import gradient_of
from hardener.runtime.model_state import as_float, device_of, measuring
from hardener.statistics.interval import clopper_pearson
from hardener.threat import ThreatModel, show_eps

WHITE_BOX = FAMILIES["gradient"] | FAMILIES["minimum-norm"]
QUERYING = FAMILIES["gradient-free"] | FAMILIES["decision-based"]
_BLIND = GRADIENT_FREE | FAMILIES["transfer"]

ZERO_SHARE = 0.05  # of images: `gradients-zero`
SAME_ANSWER = 1e-3  # of the logits' spread: `answers-differ`, `batch-dependent`
SATURATED_SHARE, FLAT_SPREAD = 0.5, 1e-3  # of images; in logits: `logit-scale`
SURE_DROP = 0.05  # of the images right when clean: `not-converged`, `ce-gap`
STRAY_IMAGES, STRAY_SHARE = 3, 0.02  # images, and share: `single-step`, `gradient-free`
NOISE_RATIO = 0.5  # of what the attack breaks: `noise-as-bad`
RISE = 0.05  # of images: `more-eps`

_MARGIN_PGD = {"steps": 10, "loss": "margin"}
_MOST_STEPS, _EOT_DRAWS, _NOISE_DRAWS = 100, 5, 10
_QUERIES, _SWEEP_QUERIES, _AGAIN_QUERIES = 100, 200, 500
_MOST_QUERIES, _TIMES_THE_RUN, _PASSES_A_GRADIENT = 1000, 4, 3
_NO_GRADIENT = "the model passes no finite gradient to its input."
_NOT_LENT = "the file gives no gradients, and none were lent to it."


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
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    result: RobustAccuracy,
    *,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
    samples: int = 200,
    differentiable: bool = True,
    on_done: Callable[[int], None] | None = None,
) -> AuditResult:
    """Ask of a robustness figure whether it can be believed.

    Attacks go through `robust_accuracy`, so that what the audit breaks is projected and classified again as in any
    run. If nothing ever falls the audit makes, for each of `samples`, 47 passes with a gradient and 42 without: about
    three PGD-20 on as many images; where images fall it is less. If `not-converged` or `gradient-free` is raised, all
    survivors of the run are attacked again, so that the figure itself is put right: by at most 100 more steps for
    each, and by at most 1,000 queries, which are at most four times as many passes as the run's attacks make.

    A model without gradients, an ONNX file on its own, is asked all that answers alone can tell; Square then stands
    where a PGD does otherwise, here and wherever no gradient reaches the input.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K); left as it was found.
        images: (N, C, H, W), float in [0, 1] or uint8, as in the run.
        labels: (N,) int64, as in the run.
        result: what was run.
        batch_size: images at once.
        generator: of random starts and noise, on the model's device.
        differentiable: the model has gradients, or borrows them.
        samples: images that the cheap questions are asked on, spread evenly over those that are right when clean;
            attacks are compared on half of them, survivors attacked again on a quarter.
        on_done: called with the percents of the work done since it was last called; they add up to 100.
    Sources: Athalye, Carlini, Wagner, "Obfuscated Gradients Give a False Sense of Security", ICML 2018;
        Carlini et al., "On Evaluating Adversarial Robustness", arXiv 1902.06705; Croce et al., "Evaluating the
        Adversarial Robustness of Adaptive Test-time Defenses", ICML 2022; the thresholds are ours.
    """
    started = time.monotonic()
    case = _Case(model, images, labels, result, batch_size, generator, samples, differentiable)
    checks: list[Check] = []
    with measuring(model):
        for place, (name, (question, ask)) in enumerate(_CHECKS.items()):
            try:
                found = ask(case)
            except Failure as failure:
                found = _not_asked(f"an attack failed: {failure}")
            checks.append(
                Check(id=name, question=question, answer=found.answer, value=found.value, raised=found.raised)
            )
            if on_done is not None:
                on_done(100 * (place + 1) // len(_CHECKS) - 100 * place // len(_CHECKS))
    return AuditResult(checks, case.worst(time.monotonic() - started))


def flags_of(checks: Sequence[Check]) -> list[Flag]:
    """Return a flag for each question that raised one."""
    return [
        Flag(id=check.id, message=check.answer, page=f"docs/flags.md#{check.id}") for check in checks if check.raised
    ]


def sees_only_cross_entropy(plans: Sequence[AttackPlan]) -> bool:
    """Whether every gradient attack of a run climbs the cross-entropy of the logits as they are."""
    return all(
        plan.name in {"bim", "mi-fgsm"} or (setting_of(plan, "loss") == "ce" and not setting_of(plan, "rescale"))
        for plan in plans
        if plan.name in WHITE_BOX
    )


def setting_of(plan: AttackPlan, name: str) -> Any:
    """Return an attack's setting, its default if the plan gives none, None if the attack has none of this name."""
    if name in plan.settings:
        return plan.settings[name]
    parameter = inspect.signature(resolve(ATTACKS, plan.name, "attack")).parameters.get(name)
    return None if parameter is None else parameter.default


@dataclass(frozen=True)
class _Finding:
    answer: str
    value: float | None
    raised: bool | None


@dataclass(frozen=True)
class _Yardstick:
    """An attack that should work on any honest model, in a few words, and what share of it noise may not reach."""

    name: str
    settings: Mapping[str, Any]
    words: str
    noise_ratio: float


def _not_asked(why: str) -> _Finding:
    return _Finding(f"Not asked: {why}", None, None)


class _Case:
    """The model, the run, and what several questions need; computed when the first of them asks."""

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        result: RobustAccuracy,
        batch_size: int,
        generator: torch.Generator | None,
        samples: int,
        differentiable: bool,
    ) -> None:
        self.differentiable = differentiable
        self.model, self.images, self.labels, self.result = model, images, labels.cpu(), result
        self.batch_size, self.generator = batch_size, generator
        self.plans = [outcome.plan for outcome in result.outcomes]
        self.stands = result.robust_correct.clone()
        self.attacked = torch.zeros_like(self.stands)
        self.distance = result.distance.clone()
        right = result.clean_correct.nonzero().squeeze(1)
        self.correct = len(right)
        self.quarter = max(samples // 4, 1)
        self.probed = _evenly(right if len(right) else torch.arange(len(images)), samples)
        self.compared = _evenly(right, max(samples // 2, 1))
        self.swept = _evenly(self.compared, self.quarter)

    def worst(self, seconds: float) -> RobustAccuracy:
        """The run's result, with what the audit broke."""
        fallen = self.result.robust_correct & ~self.stands
        found = replace(self.result, robust_correct=self.stands, distance=self.distance)
        if not fallen.any():
            return found
        outcome = AttackOutcome(
            AttackPlan("audit"),
            int(self.stands.sum()) / len(self.stands),
            int((self.attacked & self.result.robust_correct).sum()),
            int(fallen.sum()),
            seconds,
        )
        broken_by = torch.where(fallen, len(found.outcomes), found.broken_by)
        return replace(found, broken_by=broken_by, outcomes=[*found.outcomes, outcome])

    def batches(self, where: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels on the model's device, `batch_size` at once."""
        device = device_of(self.model)
        for piece in where.split(self.batch_size):
            yield as_float(self.images[piece].to(device)), self.labels[piece].to(device)

    @torch.no_grad()
    def logits(self, where: Tensor) -> Tensor:
        return torch.cat([self.model(images).float().cpu() for images, _ in self.batches(where)])

    @cached_property
    def probed_logits(self) -> Tensor:
        return self.logits(self.probed)

    @cached_property
    def spread(self) -> float:
        """The median over images of largest minus smallest logit."""
        return float((self.probed_logits.amax(1) - self.probed_logits.amin(1)).median())

    def moved(self, again: Tensor) -> Tensor:
        """Which of the probed images are answered otherwise than the first time."""
        return (again - self.probed_logits).abs().amax(dim=1) > SAME_ANSWER * self.spread

    @cached_property
    def gradients(self) -> tuple[Tensor, Tensor]:
        """The largest entry of |gradient| of margin and cross-entropy of each probed image: (n,) and (n,)."""
        peaks = []
        for images, labels in self.batches(self.probed):
            inputs = images.detach().requires_grad_()
            with torch.enable_grad():
                logits = self.model(inputs).float()
                losses = [loss(logits, labels).sum() for loss in (margin, cross_entropy)]
            peaks.append(torch.stack([_peak(loss, inputs) for loss in losses]).cpu())
        both = torch.cat(peaks, dim=1)
        return both[0], both[1]

    @cached_property
    def is_random(self) -> bool:
        return bool(torch.stack([self.moved(self.logits(self.probed)) for _ in range(3)]).any())

    @cached_property
    def why_no_gradient_attack(self) -> str:
        """Empty where a gradient attack makes sense."""
        if self.why_no_attack or not self.differentiable:
            return self.why_no_attack or _NOT_LENT
        peak, _ = self.gradients
        return "" if bool((peak > 0).any()) else _NO_GRADIENT

    @property
    def why_no_attack(self) -> str:
        """Empty where any attack makes sense."""
        return "" if self.correct else "no image is right when clean."

    @cached_property
    def yardstick(self) -> _Yardstick:
        """A margin PGD, or Square where there is no gradient to follow."""
        if self.why_no_gradient_attack:
            return _Yardstick("square", {"queries": _SWEEP_QUERIES}, f"Square with {_SWEEP_QUERIES} queries", 1.0)
        return _Yardstick("pgd", _MARGIN_PGD, "a margin PGD-10", NOISE_RATIO)

    def strike(self, where: Tensor, name: str, settings: Mapping[str, Any], eps: float | None = None) -> Tensor:
        """Attack images as a run would, count what that means, and return which of them fell, (len(where),) bool."""
        if len(where) == 0:
            return torch.zeros(0, dtype=torch.bool)
        threat = self.result.threat
        found = robust_accuracy(
            self.model,
            self.images[where],
            self.labels[where],
            [AttackPlan(name, settings)],
            ThreatModel(threat.norm, threat.eps if eps is None else eps),
            batch_size=self.batch_size,
            generator=self.generator,
        )
        fell = found.broken_by >= 0
        self.count(where[fell], found.distance[fell])
        self.attacked[where] |= eps is None
        return fell

    def count(self, where: Tensor, distance: Tensor) -> None:
        """Take images for broken if the perturbation is one that the run allows."""
        self.distance[where] = torch.minimum(self.distance[where], distance.to(self.distance.dtype))
        self.stands[where[distance <= self.result.threat.eps * (1 + 1e-5)]] = False

    @cached_property
    def strengthened(self) -> tuple[int, int, int]:
        """Survivors of the run, how many of them were attacked again, how many of these fell.

        Where many fall all survivors are attacked, so that the figure is put right.
        """
        survivors = self.result.robust_correct.nonzero().squeeze(1)
        if not self.differentiable:
            return self.strike_survivors(survivors, "square", {"queries": _AGAIN_QUERIES})
        longest = max((int(setting_of(plan, "steps") or 1) for plan in self.plans if plan.name in WHITE_BOX), default=1)
        steps = min(max(5 * longest, 20), _MOST_STEPS)
        settings: dict[str, Any] = {"steps": steps, "loss": "margin"}
        if self.is_random:
            settings |= {"steps": steps // _EOT_DRAWS, "eot_draws": _EOT_DRAWS}
        return self.strike_survivors(survivors, "pgd", settings)

    def strike_survivors(self, survivors: Tensor, name: str, settings: Mapping[str, Any]) -> tuple[int, int, int]:
        """Attack a quarter's worth of them, and all where many of these fall; return how many there are, were, fell."""
        first = _evenly(survivors, self.quarter)
        fell = int(self.strike(first, name, settings).sum())
        if self.sure_share(fell, len(first), len(survivors)) <= SURE_DROP:
            return len(survivors), len(first), fell
        rest = survivors[~torch.isin(survivors, first)]
        return len(survivors), len(survivors), fell + int(self.strike(rest, name, settings).sum())

    def search(self) -> str:
        """Attack all that stands by Square, so that the figure is put right, and tell what that did."""
        passes = [most_passes(plan, 10, self.result.threat.norm) for plan in self.plans]
        run = sum(forwards + _PASSES_A_GRADIENT * gradients for forwards, gradients in passes)
        queries = min(max(_TIMES_THE_RUN * run, _QUERIES), _MOST_QUERIES)
        standing = self.stands.nonzero().squeeze(1)
        fell = int(self.strike(standing, "square", {"queries": queries}).sum())
        return (
            f" All {len(standing)} images that still stood were then given {queries} queries: {fell} fell. "
            "`--suite standard` gives each 5,000."
        )

    def sure_share(self, fell: int, attacked: int, all_of_them: int) -> float:
        """The least share of images right when clean that would fall, were all attacked: 95 % interval's lower end."""
        return 0.0 if attacked == 0 else clopper_pearson(fell, attacked)[0] * all_of_them / self.correct

    @cached_property
    def weakened(self) -> Tensor:
        """Which of the compared images the yardstick breaks."""
        return self.strike(self.compared, self.yardstick.name, self.yardstick.settings)

    @cached_property
    def noisy(self) -> Tensor:
        """Which of the compared images the worst of a few random points on the border of the ball breaks."""
        ball, eps = norm_geometry(self.result.threat.norm), self.result.threat.eps
        fallen, lengths = [], []
        for images, labels in self.batches(self.compared):
            worst, found = torch.zeros_like(images), torch.zeros_like(labels, dtype=torch.bool)
            with torch.no_grad():
                for _ in range(_NOISE_DRAWS):
                    drawn = torch.randn(images.shape, generator=self.generator, device=images.device)
                    delta = ball.farthest_in_box(images, drawn, eps)
                    wrong = self.model(images + delta).argmax(1).ne(labels) & ~found
                    worst[wrong] = delta[wrong]
                    found |= wrong
                found &= self.model(images + worst).argmax(1).ne(labels)  # a random model must err twice
            fallen.append(found.cpu())
            lengths.append(ball.size(worst).cpu())
        fell = torch.cat(fallen)
        self.count(self.compared[fell], torch.cat(lengths)[fell])
        return fell

    @cached_property
    def eps_curve(self) -> list[tuple[float, float]]:
        """(eps, share of the swept images that the yardstick leaves), up to where any image can be made gray."""
        name, settings = self.yardstick.name, self.yardstick.settings
        eps = self.result.threat.eps
        end = self.result.threat.entry.gray_radius(self.images[0].numel())
        curve = [(eps, self.weakened[torch.isin(self.compared, self.swept)])] if eps < end else []
        for times in (2, 4):
            if eps < times * eps < end:
                curve.append((times * eps, self.strike(self.swept, name, settings, times * eps)))
        twice = {key: 2 * value if isinstance(value, int) else value for key, value in settings.items()}
        curve.append((end, self.strike(self.swept, name, twice, end)))
        return [(at, 1 - int(fell.sum()) / len(fell)) for at, fell in curve]


def _peak(loss: Tensor, inputs: Tensor) -> Tensor:
    return gradient_of(loss, inputs, keep_graph=True).flatten(1).abs().amax(dim=1)


def _evenly(where: Tensor, count: int) -> Tensor:
    """At most `count` of the indices, evenly spread: images often lie sorted by class."""
    if len(where) <= count:
        return where
    return where[torch.linspace(0, len(where) - 1, count).round().long()]


def _of(count: int, total: int) -> str:
    return f"{count} of {total} images"


def _gradients_zero(case: _Case) -> _Finding:
    if not case.differentiable:
        return _not_asked(_NOT_LENT)
    peak, _ = case.gradients
    zero = int((peak == 0).sum())
    share = zero / len(peak)
    return _Finding(f"The margin's gradient is zero on {_of(zero, len(peak))}.", share, share > ZERO_SHARE)


def _not_finite(case: _Case) -> _Finding:
    fine = case.probed_logits.isfinite().all(dim=1)
    if case.differentiable:
        margins, entropies = case.gradients
        fine &= margins.isfinite() & entropies.isfinite()
    bad, told = int((~fine).sum()), "Answers or gradients" if case.differentiable else "Answers"
    return _Finding(f"{told} are NaN or infinite on {_of(bad, len(fine))}.", bad / len(fine), bad > 0)


def _answers_differ(case: _Case) -> _Finding:
    return _Finding(
        "Asked again three times, the model gave other answers."
        if case.is_random
        else "Asked again three times, the model gave the same answers.",
        float(case.is_random),
        case.is_random,
    )


def _batch_dependent(case: _Case) -> _Finding:
    if case.is_random:
        return _not_asked("the model answers differently twice anyway.")
    backwards = case.probed.flip(0)
    alone = len(backwards) // 20
    pieces = [*backwards[:alone].split(1), *backwards[alone:].split(max(case.batch_size // 2, 1))]
    moved = case.moved(torch.cat([case.logits(piece) for piece in pieces]).flip(0))
    count = int(moved.sum())
    return _Finding(
        f"Among other images the model gave another answer to {_of(count, len(moved))}.", count / len(moved), count > 0
    )


def _probabilities(case: _Case) -> _Finding:
    outputs = case.probed_logits
    rows = (outputs >= 0).all(1) & (outputs <= 1).all(1) & ((outputs.sum(1) - 1).abs() < 1e-3)
    count = int(rows.sum())
    return _Finding(
        f"Outputs lie in [0, 1] and add up to 1 on {_of(count, len(rows))}.", count / len(rows), count == len(rows)
    )


def _autograd_in_forward(case: _Case) -> _Finding:
    if not case.differentiable:
        return _not_asked("the file runs outside of autograd.")
    with _backward_passes() as calls:
        case.logits(case.probed[:2])
    return _Finding(f"One forward pass asks autograd for gradients {len(calls)} times.", len(calls), len(calls) > 0)


def _logit_scale(case: _Case) -> _Finding:
    if not case.differentiable:
        return _not_asked(_NOT_LENT)
    margins, entropies = case.gradients
    lost = (cross_entropy(case.probed_logits, case.labels[case.probed]) == 0) | ((entropies == 0) & (margins > 0))
    share = int(lost.sum()) / len(lost)
    spread = f"The logits of an image spread over {case.spread:.3g}"
    rounds = f"the cross-entropy or its gradient rounds to zero in float32 on {_of(int(lost.sum()), len(lost))}"
    extreme = share > SATURATED_SHARE or case.spread < FLAT_SPREAD
    if extreme and not sees_only_cross_entropy(case.plans):
        return _Finding(f"{spread} and {rounds}, but attacks of the run do not depend on scale.", share, False)
    return _Finding(f"{spread}; {rounds}.", share, extreme)


def _small_eps(case: _Case) -> _Finding:
    levels = case.result.threat.eps * 255
    return _Finding(f"eps is {levels:.3g} of 255 grey levels.", levels, levels < 0.5)


def _not_converged(case: _Case) -> _Finding:
    if case.why_no_attack or (case.differentiable and case.why_no_gradient_attack):
        return _not_asked(case.why_no_gradient_attack)
    survivors, attacked, fell = case.strengthened
    if attacked == 0:
        return _not_asked("no image stands after the run.")
    stronger = "Margin PGD with more steps" if case.differentiable else f"Square with {_AGAIN_QUERIES} queries"
    return _Finding(
        f"{stronger} and another start broke {_of(fell, attacked)} that the run had left standing.",
        fell / attacked * survivors / case.correct,
        case.sure_share(fell, attacked, survivors) > SURE_DROP,
    )


def _single_step(case: _Case) -> _Finding:
    if case.why_no_gradient_attack:
        return _not_asked(case.why_no_gradient_attack)
    stray = int((case.strike(case.compared, "fgsm", {}) & ~case.weakened).sum())
    total = len(case.compared)
    return _Finding(
        f"FGSM broke {_of(stray, total)} that a margin PGD-10 left standing.", stray / total, _is_stray(stray, total)
    )


def _gradient_free(case: _Case) -> _Finding:
    if not case.differentiable:
        return _not_asked(_NOT_LENT)
    seeing = [place for place, plan in enumerate(case.plans) if plan.name in WHITE_BOX]
    searched = any(plan.name == "square" for plan in case.plans)
    for place, plan in enumerate(case.plans):
        stray = int((case.result.broken_by == place).sum())
        if plan.name in _BLIND and seeing and seeing[0] < place and _is_stray(stray, case.correct):
            found = (
                f"{plan.name} broke {_of(stray, case.correct)} that the gradient attacks before it had left standing."
            )
            return _Finding(found if searched else found + case.search(), stray / case.correct, True)
    if "square" not in ATTACKS:
        return _not_asked("no gradient-free attack is installed.")
    standing = case.stands.nonzero().squeeze(1)
    attacked = _evenly(standing, case.quarter)
    stray = int(case.strike(attacked, "square", {"queries": _QUERIES}).sum())
    if len(attacked) == 0:
        return _not_asked("no image stands.")
    found = f"Square with {_QUERIES} queries broke {_of(stray, len(attacked))} that gradient attacks had left standing."
    raised = _is_stray(stray, len(attacked))
    return _Finding(
        found + case.search() if raised else found, stray / len(attacked) * len(standing) / case.correct, raised
    )


def _noise_as_bad(case: _Case) -> _Finding:
    if case.why_no_attack:
        return _not_asked(case.why_no_attack)
    noise, attack, total = int(case.noisy.sum()), int(case.weakened.sum()), len(case.compared)
    return _Finding(
        f"The worst of {_NOISE_DRAWS} random perturbations of norm eps broke {_of(noise, total)}, "
        f"{case.yardstick.words} {attack}.",
        noise / total,
        _is_stray(noise, total) and noise >= case.yardstick.noise_ratio * attack and attack < total / 2,
    )


def _ce_gap(case: _Case) -> _Finding:
    if case.why_no_gradient_attack:
        return _not_asked(case.why_no_gradient_attack)
    plain = case.strike(case.compared, "pgd", {"steps": 10, "loss": "ce", "rescale": False})
    gap, total = int((case.weakened & ~plain).sum()), len(case.compared)
    wide = case.sure_share(gap, total, case.correct) > SURE_DROP
    found = f"a margin PGD-10 broke {int(case.weakened.sum())}, a plain cross-entropy PGD-10 {int(plain.sum())}"
    told = f"Of {total} images right when clean {found}"
    if wide and not sees_only_cross_entropy(case.plans):
        return _Finding(f"{told}, but the run did not rely on it.", gap / total, False)
    return _Finding(f"{told}.", gap / total, wide)


def _more_eps(case: _Case) -> _Finding:
    if case.why_no_attack:
        return _not_asked(case.why_no_attack)
    lefts = [left for _, left in case.eps_curve]
    rise = max((late - early for place, early in enumerate(lefts) for late in lefts[place + 1 :]), default=0.0)
    shown = ", ".join(f"{100 * left:.0f} % at {show_eps(eps)}" for eps, left in case.eps_curve)
    return _Finding(
        f"Of {len(case.swept)} images right when clean, {case.yardstick.words} leaves {shown}.",
        rise,
        rise > RISE or (len(lefts) > 1 and lefts[-1] >= lefts[0] > 0),
    )


def _half_box(case: _Case) -> _Finding:
    if case.why_no_attack:
        return _not_asked(case.why_no_attack)
    eps, left = case.eps_curve[-1]
    total = len(case.swept)
    chance = int(case.labels[case.swept].bincount().max()) / total
    return _Finding(
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


_CHECKS: Mapping[str, tuple[str, Callable[[_Case], _Finding]]] = {
    "gradients-zero": ("Does a gradient reach the input?", _gradients_zero),
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
QUESTIONS: Mapping[str, str] = {name: question for name, (question, _) in _CHECKS.items()}
"""Check id -> question, in the order in which they are asked: survivors are attacked again before anything else is."""
