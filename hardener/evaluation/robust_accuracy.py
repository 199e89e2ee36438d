"""Robust accuracy: the worst case, image by image, over every attack and restart that was run."""

from __future__ import annotations

import functools
import inspect
import time
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from hardener.attacks import ATTACKS, Attack
from hardener.attacks.searches import SEARCHES
from hardener.catalog import resolve
from hardener.errors import Failure, HardenerError
from hardener.evaluation.standing import Found, Standing
from hardener.geometry import fit_box, norm_geometry
from hardener.losses.margin import relative_margin
from hardener.runtime.answers import chosen_class
from hardener.runtime.batch import times_at_once
from hardener.runtime.device import keep_freed_memory
from hardener.runtime.model_state import as_float, device_of, full_float32, in_eval_mode
from hardener.statistics.interval import clopper_pearson
from hardener.threat import Threat, ThreatModel, with_rounding
from hardener.threats import Change, change_of, shape_of

EVERY_ATTACK: Mapping[str, Attack] = ChainMap(cast("dict[str, Attack]", ATTACKS), cast("dict[str, Attack]", SEARCHES))
"""Attacks in a ball, and searches in the ranges of a threat without a norm."""
ROUNDING = 1e-3
"""Of an image's largest logit minus its smallest, what another order of the same float32 sums may change in a logit."""


@dataclass(frozen=True)
class AttackPlan:
    """An attack by its catalog name, its own settings, and how often it is repeated from another start.

    Attributes:
        everywhere: attack also images that fell already, for the sake of the distance that a minimum-norm attack finds.
        share: of the images that stand, in (0, 1]: those that other attacks brought nearest to another class.
        sample: attack at most so many of the images that stand, evenly drawn, and the others only if one of them falls.
        warm: start where other attacks brought each image nearest to another class; of an attack that takes a `start`.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    restarts: int = 1
    everywhere: bool = False
    share: float = 1.0
    sample: int | None = None
    warm: bool = False

    @property
    def entry(self) -> Attack:
        """The attack's facts."""
        return EVERY_ATTACK[self.name]

    def setting(self, name: str) -> Any:
        """Return a setting, its default if the plan gives none, None if the attack has none of this name."""
        if name in self.settings:
            return self.settings[name]
        parameter = inspect.signature(resolve(EVERY_ATTACK, self.name, "attack")).parameters.get(name)
        return None if parameter is None else parameter.default

    def having(self, **settings: Any) -> AttackPlan:
        """Return the plan with some settings changed."""
        return replace(self, settings={**self.settings, **settings})

    def lent(self, surrogate: nn.Module) -> AttackPlan:
        """Return the plan with another model to follow, where the attack takes one."""
        return self.having(surrogate=surrogate) if self.entry.needs_surrogate else self


@dataclass(frozen=True)
class AttackOutcome:
    """`robust_accuracy` is the worst case after this attack and all before it; `attacked` how many still stood."""

    plan: AttackPlan
    robust_accuracy: float
    attacked: int
    broken: int
    seconds: float


@dataclass(frozen=True)
class RobustAccuracy:
    """What an evaluation found.

    Attributes:
        predictions: (N,) int64, of the clean images.
        clean_correct, robust_correct: (N,) bool; robust_correct is the worst case over all that was run.
        broken_by: (N,) int64, index of the first attack that broke the image, -1 for none.
        became: (N,) int64, what the model takes each image for in the worst case, -1 where that was not kept.
        distance: (N,), norm of the smallest adversarial perturbation that any attack showed, whether inside eps or not:
            an upper bound of the true one; 0 where the clean image is wrong, inf where none was found. Under a threat
            that no norm describes it says no more than that: 0 where the image fell.
        outcomes: one an attack, in the order they ran.
        examples: image index -> an adversarial image (C, H, W) inside the threat model, for a few that fell.
        points: under a threat without a norm, the point (P,) of the box that gives each of `examples`.
    """

    threat: Threat
    predictions: Tensor
    clean_correct: Tensor
    robust_correct: Tensor
    broken_by: Tensor
    became: Tensor
    distance: Tensor
    outcomes: list[AttackOutcome]
    examples: dict[int, Tensor] = field(default_factory=dict)
    points: dict[int, Tensor] = field(default_factory=dict)

    def standing(self, because: list[str]) -> Standing:
        """Return where an evaluation with more attacks goes on from here; `because`: why it does."""
        state = Standing(self.predictions, self.clean_correct)
        state.stands, state.broken_by = self.robust_correct.clone(), self.broken_by.clone()
        state.became = self.became.clone()
        state.distance, state.examples = self.distance.clone(), dict(self.examples)
        state.points = dict(self.points)
        state.outcomes = [(o.robust_accuracy, o.attacked, o.broken, o.seconds) for o in self.outcomes]
        state.place, state.because = len(self.outcomes), because
        return state

    @property
    def samples(self) -> int:
        return len(self.clean_correct)

    @property
    def clean_accuracy(self) -> float:
        return int(self.clean_correct.sum()) / self.samples

    @property
    def robust_accuracy(self) -> float:
        return int(self.robust_correct.sum()) / self.samples

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of `robust_accuracy`."""
        return clopper_pearson(int(self.robust_correct.sum()), self.samples)


@dataclass(frozen=True)
class Course:
    """What goes on beside the attacks.

    Attributes:
        on_attacked: called with a number of images as they are dealt with: once for each plan's restart, and image.
        keep_examples: how many adversarial images to keep, the first that are found.
        standing: go on from here, the state that `on_batch` was called with; the same arguments must come with it.
        on_batch: called after each batch with all that a continuation needs.
        asked: chooses what an attack asks about some images: the model, or a faster copy. What counts is the model's
            answer; where the copy's are not the same at a batch's end, it is attacked once more, on the model itself.
    """

    on_attacked: Callable[[int], None] = lambda count: None
    keep_examples: int = 0
    standing: Standing | None = None
    on_batch: Callable[[Standing], None] | None = None
    asked: Callable[[AttackPlan, Tensor], nn.Module] | None = None


def robust_accuracy(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    plans: Sequence[AttackPlan],
    threat: Threat,
    *,
    batch_size: int = 128,
    generator: torch.Generator | None = None,
    course: Course | None = None,
) -> RobustAccuracy:
    """Attack every image that the model gets right until it falls or the plans are done.

    An attack's result is projected on ball and box here and classified again here: an attack's own word counts
    for nothing. Of a search in the box of a threat without a norm the points are put into the box, and the images
    changed by them, here. The model is in eval mode meanwhile and is left as it was found.

    Args:
        model: (N, C, H, W) in [0, 1] -> logits (N, K).
        images: (N, C, H, W), float in [0, 1] or uint8.
        labels: (N,) int64.
        batch_size: images at once.
        generator: of random starts, on the model's device.
        course: what goes on beside the attacks.
    Raises:
        HardenerError: no images, an eps beyond the size of the box, or images that the threat makes no sense on.
        Failure: an attack returned something that is no image.
    """
    _check(images, threat)
    keep_freed_memory()
    scene = _Scene(model, images, labels, threat, batch_size, generator, course or Course())
    with in_eval_mode(model), full_float32():
        state = scene.begin()
        clean_correct = state.predictions == labels.cpu()
        if state.nearest is None and any(plan.warm for plan in plans[state.place :]):
            state.nearest = torch.zeros(images.shape, dtype=torch.float16)
        while state.place < len(plans):
            scene.attack(plans[state.place], state, clean_correct)
    return RobustAccuracy(
        threat,
        state.predictions,
        clean_correct,
        state.stands,
        state.broken_by,
        state.became,
        state.distance,
        [AttackOutcome(plan, *counts) for plan, counts in zip(plans, state.outcomes, strict=True)],
        state.examples,
        state.points,
    )


def _check(images: Tensor, threat: Threat) -> None:
    if len(images) == 0:
        raise HardenerError("there are no images to evaluate.")
    if not isinstance(threat, ThreatModel):
        change_of(threat.kind, dict(threat.settings)).check(shape_of(images))
        return
    diameter = threat.entry.diameter(images[0].numel())
    if threat.eps > diameter:
        raise HardenerError(
            f"eps {threat.eps:g} in {threat.norm} exceeds the size of the whole box, {diameter:.1f} for these images. "
            f"Did you mean {threat.eps:g}/255?"
        )


@dataclass(frozen=True)
class _Scene:
    """Who attacks whom, and what else is done meanwhile."""

    model: nn.Module
    images: Tensor
    labels: Tensor
    threat: Threat
    batch_size: int
    generator: torch.Generator | None
    course: Course

    def begin(self) -> Standing:
        """Return where an earlier call ended, else ask the model about the clean images."""
        state = self.course.standing
        if state is None:
            predictions = _predict(self.model, self.images, self.batch_size)
            return Standing(predictions, predictions == self.labels.cpu())
        if self.generator is not None and state.generator_state is not None:
            self.generator.set_state(state.generator_state)
        return state

    def attack(self, plan: AttackPlan, state: Standing, clean_correct: Tensor) -> None:
        """Run an attack, or the rest of it, with its restarts."""
        attack = resolve(EVERY_ATTACK, plan.name, "attack")
        while state.restart < plan.restarts:
            left_out = self._choose(plan, state, clean_correct) if state.targets is None else 0
            starts = self._starts(plan, state)
            self.course.on_attacked(left_out * starts)
            self._attack_targets(attack, plan, state, starts)
            if plan.sample is not None and state.targets is not None:
                others = _others(state.stands, state.targets)
                if state.broken > state.last_broken:  # so the others may fall as well
                    state.targets = torch.cat([state.targets, others])
                    self._attack_targets(attack, plan, state, starts)
                else:
                    self.course.on_attacked(len(others))
            state.end_restarts(starts)
        state.end_plan()

    def _choose(self, plan: AttackPlan, state: Standing, clean_correct: Tensor) -> int:
        """Choose the images of a restart, and return how many it will not look at."""
        among = clean_correct if plan.everywhere else state.stands
        state.targets = state.choose(among, share=plan.share, sample=plan.sample)
        state.last_broken = state.broken
        later = len(_others(state.stands, state.targets)) if plan.sample is not None else 0
        return len(self.images) - len(state.targets) - later

    def _starts(self, plan: AttackPlan, state: Standing) -> int:
        """Return how many restarts are made at once: more than one where few small images are left."""
        assert state.targets is not None, "they were chosen"
        if plan.sample is not None or len(state.targets) > self.batch_size:
            return 1
        return times_at_once(self.images[state.targets], plan.restarts - state.restart)

    def _attack_targets(self, attack: Callable[..., Tensor], plan: AttackPlan, state: Standing, starts: int) -> None:
        """Attack the images that were chosen, from where an interruption left it."""
        assert state.targets is not None, "they were chosen"
        for piece in state.targets[state.offset :].split(self.batch_size):
            if len(piece) == 0:  # torch splits nothing into one piece
                continue
            started = time.monotonic()
            start = state.nearest[piece] if plan.warm and state.nearest is not None else None
            rows, again = piece.repeat(starts), None if start is None else start.repeat(starts, 1, 1, 1)
            found = self._attack_batch(attack, plan, rows, again)
            state.take(piece, found if starts == 1 else found.best_of(starts), self.course.keep_examples)
            state.seconds += time.monotonic() - started
            if self.course.on_batch is not None:
                state.generator_state = None if self.generator is None else self.generator.get_state()
                self.course.on_batch(state)
            self.course.on_attacked(len(piece) * starts)

    def _attack_batch(
        self, attack: Callable[..., Tensor], plan: AttackPlan, piece: Tensor, start: Tensor | None
    ) -> Found:
        model, threat, device = self.model, self.threat, device_of(self.model)
        clean = as_float(self.images[piece].to(device))
        truth = self.labels[piece].to(device)
        told = {**plan.settings, "generator": self.generator}
        change = None
        if isinstance(threat, ThreatModel):
            run = functools.partial(attack, norm=threat.norm, eps=threat.eps, **told)
        else:
            change = change_of(threat.kind, dict(threat.settings))
            run = functools.partial(attack, change=change, **told)
        if start is not None:
            run = functools.partial(run, start=clean + start.to(clean))
        copy = model if self.course.asked is None else self.course.asked(plan, clean)

        def search(asked: nn.Module) -> tuple[Tensor, Tensor | None]:
            found: Tensor = run(asked, clean, truth)
            return (found, None) if change is None else _changed(change, clean, found)

        found, points = search(copy)
        if copy is not model and not same_answers(model, copy, found):
            found, points = search(model)
        if found.shape != clean.shape or not bool(found.isfinite().all()):
            raise Failure(
                f"the attack {plan.name} returned {tuple(found.shape)} with finite={bool(found.isfinite().all())}; "
                f"expected finite images of {tuple(clean.shape)}. The model's gradients may be NaN or infinite."
            )
        return replace(_judge(model, clean, truth, found, threat), points=points)


@torch.no_grad()
def _judge(model: nn.Module, clean: Tensor, truth: Tensor, found: Tensor, threat: Threat) -> Found:
    """Bring what an attack found into ball and box, and ask the model about it."""
    if not isinstance(threat, ThreatModel):
        logits = model(found)
        answer = chosen_class(logits)
        broken = answer.ne(truth)
        distance = torch.where(broken, 0.0, torch.inf)
        nearness = _nearness(logits, truth, broken)
        return Found(broken.cpu(), answer.cpu(), found, distance.cpu(), nearness, found - clean)
    ball = norm_geometry(threat.norm)
    raw = fit_box(clean, found.detach() - clean)
    inside = ball.project_in_box(clean, raw, threat.eps)
    logits = model(clean + inside)
    answer = chosen_class(logits)
    broken = answer.ne(truth)
    distance = torch.where(broken, ball.size(inside), torch.inf)
    beyond = (ball.size(raw) > with_rounding(threat.eps)).nonzero().squeeze(1)
    if len(beyond):  # a minimum-norm attack's finding, which may lie outside the threat model
        far = chosen_class(model(clean[beyond] + raw[beyond])).ne(truth[beyond])
        reached = torch.where(far, ball.size(raw[beyond]), torch.inf)
        distance[beyond] = torch.minimum(distance[beyond], reached)
    nearness = _nearness(logits, truth, broken)
    return Found(broken.cpu(), answer.cpu(), clean + inside, distance.cpu(), nearness, inside)


def _nearness(logits: Tensor, truth: Tensor, broken: Tensor) -> Tensor:
    return torch.where(broken, torch.inf, relative_margin(logits, truth)).float().cpu()


@torch.no_grad()
def _changed(change: Change, images: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images that the points of a search change, and these points, in the box."""
    expected = (len(images), change.values(shape_of(images)))
    if points.shape != expected or not bool(points.isfinite().all()):
        raise Failure(f"the search returned points of {tuple(points.shape)}; expected finite ones of {expected}.")
    inside = points.detach().clamp(0, 1)
    return change.apply(images, inside), inside


def _others(stands: Tensor, attacked: Tensor) -> Tensor:
    """Return which images stand that were not attacked, (n,) int64."""
    left = stands.clone()
    left[attacked] = False
    return left.nonzero().squeeze(1)


@torch.no_grad()
def same_answers(model: nn.Module, copy: nn.Module, images: Tensor) -> bool:
    """Tell whether two classifiers' logits, (N, K), differ by rounding alone on some images."""
    own, other = model(images), copy(images)
    spread = (own.amax(dim=1) - own.amin(dim=1)).clamp_min(torch.finfo(own.dtype).tiny)
    return own.shape == other.shape and bool(((own - other).abs().amax(dim=1) <= ROUNDING * spread).all())


@torch.no_grad()
def _predict(model: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    device = device_of(model)
    return torch.cat([chosen_class(model(as_float(piece.to(device)))).cpu() for piece in images.split(batch_size)])
