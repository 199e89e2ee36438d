"""The model and the run that the audit asks about, and what several of its questions need."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from hardener.evaluation.robust_accuracy import AttackOutcome, AttackPlan, RobustAccuracy, robust_accuracy
from hardener.evaluation.standing import evenly
from hardener.evaluation.suite import most_passes
from hardener.geometry import norm_geometry
from hardener.losses.cross_entropy import cross_entropy
from hardener.losses.margin import margin
from hardener.runtime.answers import chosen_class
from hardener.runtime.gradient import gradient_of
from hardener.runtime.model_state import as_float, device_of
from hardener.statistics.interval import clopper_pearson
from hardener.threat import Threat, ThreatModel, with_rounding

SAME_ANSWER = 1e-3  # of the logits' spread: `answers-differ`, `batch-dependent`
SURE_DROP = 0.05  # of the images right when clean: `not-converged`, `ce-gap`

AUDIT = "audit"
"""What the outcome of the audit's own attacks is called in a result."""
_MOST_STEPS, _EOT_DRAWS = 100, 5
NOISE_DRAWS = 10
_MOST_QUERIES, _TIMES_THE_RUN, _PASSES_A_GRADIENT = 1000, 4, 3
NO_GRADIENT = "the model passes no finite gradient to its input."
NOT_LENT = "the file gives no gradients, and none were lent to it."


@dataclass(frozen=True)
class Own:
    """An attack of the audit's own, in a few words; as a yardstick, what share of it noise may not reach."""

    plan: AttackPlan
    words: str
    noise_ratio: float = 1.0


# All attacks that the audit makes itself; nothing else here or among the questions names one.
YARDSTICK = Own(AttackPlan("pgd", {"steps": 10, "loss": "margin"}), "a margin PGD-10", 0.5)
YARDSTICK_OF_ANSWERS = Own(AttackPlan("square", {"queries": 200}), "Square with 200 queries")
ONE_STEP = Own(AttackPlan("fgsm"), "FGSM")
PLAIN = Own(AttackPlan("pgd", {"steps": 10, "loss": "ce", "rescale": False}), "a plain cross-entropy PGD-10")
AGAIN = Own(AttackPlan("pgd", {"loss": "margin"}), "Margin PGD with more steps")
AGAIN_IN_RANGES = Own(AttackPlan("box-search", {"queries": 1000}), "Box-search with 1,000 queries")
AGAIN_BY_ANSWERS = Own(AttackPlan("square", {"queries": 500}), "Square with 500 queries")
SEARCH = Own(AttackPlan("square", {"queries": 100}), "Square with 100 queries")


@dataclass(frozen=True)
class Examined:
    """What is audited.

    Attributes:
        model: (N, C, H, W) in [0, 1] -> logits (N, K); left as it was found.
        images: (N, C, H, W), float in [0, 1] or uint8, as in the run.
        labels: (N,) int64, as in the run.
        batch_size: images at once.
        generator: of random starts and noise, on the model's device.
        differentiable: the model has gradients, or borrows them.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    batch_size: int = 128
    generator: torch.Generator | None = None
    differentiable: bool = True


class AuditCase:
    """The model, the run, and what several questions need; computed when the first of them asks."""

    def __init__(self, examined: Examined, result: RobustAccuracy, samples: int) -> None:
        self.model, self.images, self.labels = examined.model, examined.images, examined.labels.cpu()
        self.batch_size, self.generator = examined.batch_size, examined.generator
        self.differentiable, self.result = examined.differentiable, result
        self.plans = [outcome.plan for outcome in result.outcomes]
        self.stands = result.robust_correct.clone()
        self.attacked = torch.zeros_like(self.stands)
        self.distance, self.became = result.distance.clone(), result.became.clone()
        right = result.clean_correct.nonzero().squeeze(1)
        self.correct = len(right)
        self.quarter = max(samples // 4, 1)
        self.probed = evenly(right if len(right) else torch.arange(len(self.images)), samples)
        self.compared = evenly(right, max(samples // 2, 1))
        self.swept = evenly(self.compared, self.quarter)

    @property
    def ball(self) -> ThreatModel:
        """The run's ball; questions about another threat model do not ask for it."""
        assert isinstance(self.result.threat, ThreatModel), "the question is not asked"
        return self.result.threat

    def worst(self, seconds: float) -> RobustAccuracy:
        """Return the run's result, with what the audit broke."""
        fallen = self.result.robust_correct & ~self.stands
        found = replace(self.result, robust_correct=self.stands, distance=self.distance, became=self.became)
        if not fallen.any():
            return found
        outcome = AttackOutcome(
            AttackPlan(AUDIT),
            int(self.stands.sum()) / len(self.stands),
            int((self.attacked & self.result.robust_correct).sum()),
            int(fallen.sum()),
            seconds,
        )
        broken_by = torch.where(fallen, len(found.outcomes), found.broken_by)
        return replace(found, broken_by=broken_by, outcomes=[*found.outcomes, outcome])

    def batches(self, where: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels on the model's device, `batch_size` at once."""
        device = device_of(self.model)
        for piece in where.split(self.batch_size):
            yield as_float(self.images[piece].to(device)), self.labels[piece].to(device)

    @torch.no_grad()
    def logits(self, where: Tensor) -> Tensor:
        """Return the model's answers to these images, (n, K), on the CPU."""
        return torch.cat([self.model(images).float().cpu() for images, _ in self.batches(where)])

    @cached_property
    def probed_logits(self) -> Tensor:
        return self.logits(self.probed)

    @cached_property
    def spread(self) -> float:
        """The median over images of largest minus smallest finite logit; nan where no image has one."""
        logits = self.probed_logits[self.probed_logits.isfinite().any(dim=1)]
        if len(logits) == 0:
            return math.nan
        finite = logits.isfinite()
        largest, smallest = logits.masked_fill(~finite, -torch.inf), logits.masked_fill(~finite, torch.inf)
        return float((largest.amax(1) - smallest.amin(1)).median())

    def moved(self, again: Tensor) -> Tensor:
        """Return which of the probed images are answered otherwise than the first time, (n,) bool."""
        first = self.probed_logits
        gaps = (again - first).abs().masked_fill(again == first, 0)  # a class left out by -inf, twice
        return gaps.amax(dim=1) > SAME_ANSWER * self.spread

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
            return self.why_no_attack or NOT_LENT
        peak, _ = self.gradients
        return "" if bool((peak > 0).any()) else NO_GRADIENT

    @property
    def why_no_attack(self) -> str:
        """Empty where any attack makes sense."""
        return "" if self.correct else "no image is right when clean."

    @cached_property
    def yardstick(self) -> Own:
        """An attack that should work on any honest model: by gradients, or by answers where none can be followed."""
        return YARDSTICK_OF_ANSWERS if self.why_no_gradient_attack else YARDSTICK

    def strike(self, where: Tensor, plan: AttackPlan, eps: float | None = None) -> Tensor:
        """Attack images as a run would, count what that means, and return which of them fell, (len(where),) bool."""
        if len(where) == 0:
            return torch.zeros(0, dtype=torch.bool)
        threat: Threat = self.result.threat
        if eps is not None:
            threat = ThreatModel(self.ball.norm, eps)
        found = robust_accuracy(
            self.model,
            self.images[where],
            self.labels[where],
            [plan],
            threat,
            batch_size=self.batch_size,
            generator=self.generator,
        )
        fell = found.broken_by >= 0
        self.count(where[fell], found.distance[fell], found.became[fell])
        self.attacked[where] |= eps is None
        return fell

    def count(self, where: Tensor, distance: Tensor, became: Tensor) -> None:
        """Take images for broken if the perturbation is one that the run allows."""
        self.distance[where] = torch.minimum(self.distance[where], distance.to(self.distance.dtype))
        threat = self.result.threat
        within = distance <= (with_rounding(threat.eps) if isinstance(threat, ThreatModel) else 0.0)
        newly = within & self.stands[where]
        self.became[where[newly]] = became[newly]
        self.stands[where[within]] = False

    @cached_property
    def strengthened(self) -> tuple[int, int, int]:
        """Survivors of the run, how many of them were attacked again, how many of these fell.

        Where many fall all survivors are attacked, so that the figure is put right.
        """
        survivors = self.result.robust_correct.nonzero().squeeze(1)
        if not isinstance(self.result.threat, ThreatModel):
            return self.strike_survivors(survivors, AGAIN_IN_RANGES.plan)
        if not self.differentiable:
            return self.strike_survivors(survivors, AGAIN_BY_ANSWERS.plan)
        followed = [plan for plan in self.plans if plan.entry.follows_gradients]
        steps = min(max(5 * max((int(plan.setting("steps") or 1) for plan in followed), default=1), 20), _MOST_STEPS)
        if self.is_random:
            again = AGAIN.plan.having(steps=steps // _EOT_DRAWS, eot_draws=_EOT_DRAWS)
        else:
            again = AGAIN.plan.having(steps=steps)
        return self.strike_survivors(survivors, again)

    def strike_survivors(self, survivors: Tensor, plan: AttackPlan) -> tuple[int, int, int]:
        """Attack a quarter's worth of them, and all where many of these fall; return how many there are, were, fell."""
        first = evenly(survivors, self.quarter)
        fell = int(self.strike(first, plan).sum())
        if self.sure_share(fell, len(first), len(survivors)) <= SURE_DROP:
            return len(survivors), len(first), fell
        rest = survivors[~torch.isin(survivors, first)]
        return len(survivors), len(survivors), fell + int(self.strike(rest, plan).sum())

    def search(self) -> str:
        """Attack all that stands by answers alone, so that the figure is put right, and tell what that did."""
        passes = [most_passes(plan, 10, self.ball.norm) for plan in self.plans]
        run = sum(forwards + _PASSES_A_GRADIENT * gradients for forwards, gradients in passes)
        queries = min(max(_TIMES_THE_RUN * run, int(SEARCH.plan.setting("queries"))), _MOST_QUERIES)
        standing = self.stands.nonzero().squeeze(1)
        fell = int(self.strike(standing, SEARCH.plan.having(queries=queries)).sum())
        return (
            f" All {len(standing)} images that still stood were then given {queries} queries: {fell} fell. "
            "`--suite standard` gives each 5,000."
        )

    def sure_share(self, fell: int, attacked: int, all_of_them: int) -> float:
        """Return the share of images right when clean that would surely fall, were all attacked: the interval's end."""
        return 0.0 if attacked == 0 else clopper_pearson(fell, attacked)[0] * all_of_them / self.correct

    @cached_property
    def weakened(self) -> Tensor:
        """Which of the compared images the yardstick breaks."""
        return self.strike(self.compared, self.yardstick.plan)

    @cached_property
    def noisy(self) -> Tensor:
        """Which of the compared images the worst of a few random points on the border of the ball breaks."""
        ball, eps = norm_geometry(self.ball.norm), self.ball.eps
        fallen, lengths, became = [], [], []
        for images, labels in self.batches(self.compared):
            worst, found = torch.zeros_like(images), torch.zeros_like(labels, dtype=torch.bool)
            with torch.no_grad():
                for _ in range(NOISE_DRAWS):
                    drawn = torch.randn(images.shape, generator=self.generator, device=images.device)
                    delta = ball.farthest_in_box(images, drawn, eps)
                    wrong = chosen_class(self.model(images + delta)).ne(labels) & ~found
                    worst[wrong] = delta[wrong]
                    found |= wrong
                answer = chosen_class(self.model(images + worst))
                found &= answer.ne(labels)  # a random model must err twice
            fallen.append(found.cpu())
            lengths.append(ball.size(worst).cpu())
            became.append(answer.cpu())
        fell = torch.cat(fallen)
        self.count(self.compared[fell], torch.cat(lengths)[fell], torch.cat(became)[fell])
        return fell

    @cached_property
    def eps_curve(self) -> list[tuple[float, float]]:
        """(eps, share of the swept images that the yardstick leaves), up to where any image can be made gray."""
        plan, eps = self.yardstick.plan, self.ball.eps
        end = self.ball.entry.gray_radius(self.images[0].numel())
        curve = [(eps, self.weakened[torch.isin(self.compared, self.swept)])] if eps < end else []
        for times in (2, 4):
            if eps < times * eps < end:
                curve.append((times * eps, self.strike(self.swept, plan, times * eps)))
        twice = {key: 2 * value for key, value in plan.settings.items() if isinstance(value, int)}
        curve.append((end, self.strike(self.swept, plan.having(**twice), end)))
        return [(at, 1 - int(fell.sum()) / len(fell)) for at, fell in curve]


def _peak(loss: Tensor, inputs: Tensor) -> Tensor:
    return gradient_of(loss, inputs, keep_graph=True).flatten(1).abs().amax(dim=1)
