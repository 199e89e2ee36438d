"""An evaluation as the measures see it: its model and images, and the attacks that it lends them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hardener.evaluation.robust_accuracy import AttackPlan, RobustAccuracy, robust_accuracy
from hardener.evaluation.session import EvaluationSession
from hardener.evaluation.suite import DEFAULT
from hardener.measures.run import Case, LentAttack
from hardener.threat import ThreatModel


def case_of(session: EvaluationSession, result: RobustAccuracy) -> Case:
    """Return what the measures are given.

    Args:
        result: what the attacks found on the session's images.
    """
    subject, sample, request = session.subject, session.sample, session.plan.request
    return Case(
        model=subject.model,
        pixels=sample.pixels,
        labels=sample.labels,
        paths=sample.paths,
        clean_correct=result.clean_correct,
        threat=result.threat,
        attacks=tuple(
            lend(plan, subject.model, norm=result.threat.norm, batch_size=request.batch_size)
            for plan in followed(session.plan.attacks, differentiable=subject.differentiable)
        ),
        differentiable=subject.differentiable,
        noise_sigma=subject.noise_sigma,
        batch_size=request.batch_size,
        seed=request.seed,
        reporter=session.reporter,
    )


def followed(plans: Sequence[AttackPlan], *, differentiable: bool) -> list[AttackPlan]:
    """Return the attacks to follow as eps grows: those whose curve is drawn, with steps of any size."""
    if not differentiable:
        return [plan for plan in plans if "gradient-free" in plan.entry.families][:1]
    climbed = [plan for plan in plans if plan.entry.curve] or [DEFAULT]
    return [AttackPlan(p.name, {k: v for k, v in p.settings.items() if k != "step_size"}) for p in climbed]


def lend(plan: AttackPlan, model: nn.Module, *, norm: str, batch_size: int) -> LentAttack:
    """Return an attack that a measure can ask which images stand."""

    def standing(images: Tensor, labels: Tensor, eps: float, generator: torch.Generator | None) -> Tensor:
        threat = ThreatModel(norm, eps)
        found = robust_accuracy(model, images, labels, [plan], threat, batch_size=batch_size, generator=generator)
        return found.robust_correct

    return LentAttack(plan.name, standing)
