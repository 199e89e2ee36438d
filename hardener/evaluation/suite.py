"""Suites: named lists of attacks, what they leave out, and what they cost at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hardener.errors import HardenerError, did_you_mean
from hardener.evaluation.robust_accuracy import AttackPlan, as_float, device_of

_QUICK = (AttackPlan("pgd"), AttackPlan("pgd", {"loss": "margin"}))
_STANDARD = (
    AttackPlan("apgd", {"loss": "ce"}),
    AttackPlan("apgd-t"),
    AttackPlan("fab-t"),
    AttackPlan("square"),
)
SUITES: dict[str, tuple[AttackPlan, ...]] = {
    "quick": _QUICK,
    "standard": _STANDARD,
    # white-box first, so that whatever a weaker attacker adds afterwards is an alarm
    "full": (
        AttackPlan("fgsm"),
        *_QUICK,
        AttackPlan("mi-fgsm"),
        AttackPlan("cw"),
        *_STANDARD,
        AttackPlan("nes"),
        AttackPlan("spsa"),
        AttackPlan("hopskipjump"),
        AttackPlan("transfer"),
        AttackPlan("random-noise"),
        AttackPlan("fmn", everywhere=True),
    ),
}
FAMILIES: dict[str, frozenset[str]] = {
    "gradient": frozenset({"bim", "pgd", "mi-fgsm", "cw", "apgd", "apgd-t", "fab-t"}),
    "minimum-norm": frozenset({"deepfool", "fmn", "fab-t", "cw"}),
    "gradient-free": frozenset({"square", "nes", "spsa"}),
    "decision-based": frozenset({"hopskipjump"}),
    "transfer": frozenset({"transfer"}),
}
GRADIENT_FREE = FAMILIES["gradient-free"] | FAMILIES["decision-based"] | {"random-noise"}


def suite_plans(name: str) -> list[AttackPlan]:
    """Return a suite's attacks.

    Raises:
        HardenerError: unknown suite.
    """
    if name not in SUITES:
        raise HardenerError(f"unknown suite {name!r}. Known: {', '.join(SUITES)}.{did_you_mean(name, SUITES)}")
    return list(SUITES[name])


def left_out(plans: Sequence[AttackPlan]) -> list[str]:
    """Return what a reader must know was not run: AutoAttack's standard suite, and families with no attack at all."""
    ran = {plan.name for plan in plans}
    standard = {plan.name for plan in _STANDARD}
    missing = [] if standard <= ran else ["AutoAttack's standard suite"]
    return missing + [f"{family} attacks" for family, members in FAMILIES.items() if not members & ran]


def most_passes(plan: AttackPlan, num_classes: int) -> tuple[int, int]:
    """Return forward passes, and passes with a gradient, that an attack makes for an image that stands to the end."""
    settings = plan.settings
    queries = int(settings.get("queries", 0))
    if plan.name in GRADIENT_FREE:
        return max(queries, 1) * plan.restarts, 0
    steps = int(settings.get("steps", 1)) * int(settings.get("eot_draws", 1))
    factor = {
        "apgd-t": min(9, num_classes - 1),
        "fab-t": min(9, num_classes - 1),
        "deepfool": min(10, num_classes),
        "transfer": 2,
    }.get(plan.name, 1)
    looks = steps * factor if plan.name == "fab-t" else 1  # it classifies each step's image besides
    return looks * plan.restarts, steps * factor * int(settings.get("search_steps", 1)) * plan.restarts


def most_seconds(
    model: nn.Module, images: Tensor, plans: Sequence[AttackPlan], *, num_classes: int, batch_size: int
) -> float:
    """Time a forward and a gradient pass, and return what the plans would take if every image stood to the end.

    Args:
        model: differentiable or not, in eval mode.
        images: (N, C, H, W), all that will be attacked; a batch of them is used for timing.
    """
    sample = as_float(images[:batch_size].to(device_of(model)))

    def forward() -> None:
        with torch.no_grad():
            model(sample)

    def gradient() -> None:
        inputs = sample.clone().requires_grad_()
        total = model(inputs).sum()
        if total.requires_grad:
            torch.autograd.grad(total, inputs, allow_unused=True)

    totals = [most_passes(plan, num_classes) for plan in plans]
    rounds = len(images) / len(sample)
    return rounds * (
        sum(forwards for forwards, _ in totals) * _seconds(forward)
        + sum(gradients for _, gradients in totals) * _seconds(gradient)
    )


def _seconds(work: Callable[[], None]) -> float:
    work()  # the first call also allocates and chooses kernels
    started = time.monotonic()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic() - started
