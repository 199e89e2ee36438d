"""An evaluation as the measures see it: its model and images, and the attacks that it lends them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hardener.evaluation.robust_accuracy import AttackPlan, Course, RobustAccuracy, robust_accuracy
from hardener.evaluation.session import EvaluationSession
from hardener.evaluation.standing import Standing
from hardener.evaluation.suite import DEFAULT, FAST, sweep_plans
from hardener.geometry import norm_geometry
from hardener.measures.run import Case, LentAttack, LentSweep
from hardener.runtime.answers import chosen_class
from hardener.runtime.model_state import as_float, device_of
from hardener.threat import ThreatModel, norm_of

_HALVED = 6
"""How often the way to what fools a model is halved, to say how far at most the nearest such image lies."""


def case_of(session: EvaluationSession, result: RobustAccuracy, *, went_on: bool = False) -> Case:
    """Return what the measures are given.

    Args:
        result: what the attacks found on the session's images.
        went_on: the evaluation went on to another suite by itself, since its own may have been fooled.
    """
    subject, sample, request = session.subject, session.sample, session.plan.request
    swept = session.plan.suite == FAST and subject.differentiable and not went_on
    norm = norm_of(result.threat)
    return Case(
        model=subject.model,
        pixels=sample.pixels,
        labels=sample.labels,
        paths=sample.paths,
        clean_correct=result.clean_correct,
        threat=result.threat,
        attacks=()
        if swept or norm is None
        else tuple(
            lend(plan, subject.model, norm=norm, batch_size=request.batch_size)
            for plan in followed(session.plan.attacks, differentiable=subject.differentiable)
        ),
        distance=result.distance,
        sweep=lend_sweep(subject.model, norm=norm, batch_size=request.batch_size)
        if subject.differentiable and norm is not None
        else None,
        differentiable=subject.differentiable,
        noise_sigma=subject.noise_sigma,
        noise_is_default=subject.noise_is_default,
        radii=request.radii,
        classes=subject.classes,
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


def lend_sweep(model: nn.Module, *, norm: str, batch_size: int) -> LentSweep:
    """Return the attack that a measure sweeps through growing eps with."""

    def fall(
        images: Tensor, labels: Tensor, eps: float, starts: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        begin = Standing(labels, torch.ones_like(labels, dtype=torch.bool))
        if starts is not None:
            begin.nearest = (starts - as_float(images)).half()
        found = robust_accuracy(
            model, images, labels, sweep_plans(norm, warm=starts is not None), ThreatModel(norm, eps),
            batch_size=batch_size, generator=generator, course=Course(keep_examples=len(images), standing=begin),
        )  # fmt: skip
        shown, distance = as_float(images).clone(), found.distance.clone()
        places = torch.tensor(sorted(found.examples), dtype=torch.int64)
        for piece in places.split(batch_size) if len(places) else ():
            clean, fooling = shown[piece], torch.stack([found.examples[place] for place in piece.tolist()])
            nearer = _along_the_way(model, clean, fooling, labels[piece])
            shown[piece], distance[piece] = nearer, norm_geometry(norm).size(nearer - clean).to(distance.dtype)
        return found.robust_correct, shown, distance

    return fall


@torch.no_grad()
def _along_the_way(model: nn.Module, clean: Tensor, fooling: Tensor, labels: Tensor) -> Tensor:
    """Return the nearest point between images and what fools the model that still does, as far as halving finds it."""
    device = device_of(model)
    begin, end, truth = clean.to(device), fooling.to(device), labels.to(device)
    low, high = torch.zeros(len(clean), 1, 1, 1, device=device), torch.ones(len(clean), 1, 1, 1, device=device)
    for _ in range(_HALVED):
        middle = (low + high) / 2
        wrong = chosen_class(model(begin + middle * (end - begin))).ne(truth).view(-1, 1, 1, 1)
        low, high = torch.where(wrong, low, middle), torch.where(wrong, middle, high)
    return (begin + high * (end - begin)).cpu()
