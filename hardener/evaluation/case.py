"""An evaluation as the measures see it: its model and images, and the attacks that it lends them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hardener.data.loader import Images
from hardener.evaluation.robust_accuracy import AttackPlan, RobustAccuracy, robust_accuracy
from hardener.evaluation.subject import Subject
from hardener.measures.run import Case, LentAttack
from hardener.progress import Reporter
from hardener.threat import ThreatModel

if TYPE_CHECKING:
    from hardener.evaluation.run import EvaluateRequest

_CLIMBS = {"fgsm", "pgd"}
_SEARCHES = {"square"}


def case_of(
    subject: Subject,
    pixels: Tensor,
    images: Images,
    result: RobustAccuracy,
    request: EvaluateRequest,
    reporter: Reporter,
) -> Case:
    """Return what the measures are given.

    Args:
        pixels: (N, C, H, W), of `images`.
        result: what the attacks found on them.
    """
    plans = [outcome.plan for outcome in result.outcomes]
    return Case(
        model=subject.model,
        pixels=pixels,
        labels=images.labels,
        paths=tuple(images.files.paths),
        clean_correct=result.clean_correct,
        threat=result.threat,
        attacks=tuple(
            lend(plan, subject.model, norm=result.threat.norm, batch_size=request.batch_size)
            for plan in followed(plans, differentiable=subject.differentiable)
        ),
        differentiable=subject.differentiable,
        noise_sigma=subject.noise_sigma,
        batch_size=request.batch_size,
        seed=request.seed,
        reporter=reporter,
    )


def followed(plans: Sequence[AttackPlan], *, differentiable: bool) -> list[AttackPlan]:
    """Return the attacks to follow as eps grows: those that climb from image to image with steps of any size."""
    if not differentiable:
        return [plan for plan in plans if plan.name in _SEARCHES]
    climbed = [plan for plan in plans if plan.name in _CLIMBS] or [AttackPlan("pgd")]
    return [AttackPlan(p.name, {k: v for k, v in p.settings.items() if k != "step_size"}) for p in climbed]


def lend(plan: AttackPlan, model: nn.Module, *, norm: str, batch_size: int) -> LentAttack:
    """Return an attack that a measure can ask which images stand."""

    def standing(images: Tensor, labels: Tensor, eps: float, generator: torch.Generator | None) -> Tensor:
        threat = ThreatModel(norm, eps)
        found = robust_accuracy(model, images, labels, [plan], threat, batch_size=batch_size, generator=generator)
        return found.robust_correct

    return LentAttack(plan.name, standing)
