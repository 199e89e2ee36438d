"""Suites: named lists of attacks, what they leave out, and what they cost at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hardener.attacks import ATTACKS
from hardener.errors import HardenerError, did_you_mean
from hardener.evaluation.robust_accuracy import AttackPlan

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


def suite_plans(name: str, norm: str = "linf") -> list[AttackPlan]:
    """Return a suite's attacks, those that know the norm.

    Raises:
        HardenerError: unknown suite.
    """
    if name not in SUITES:
        raise HardenerError(f"unknown suite {name!r}. Known: {', '.join(SUITES)}.{did_you_mean(name, SUITES)}")
    return [plan for plan in SUITES[name] if norm in ATTACKS[plan.name].norms]


def left_out(plans: Sequence[AttackPlan]) -> list[str]:
    """Return what a reader must know was not run: AutoAttack's standard suite, and families with no attack at all."""
    ran = {plan.name for plan in plans}
    standard = {plan.name for plan in _STANDARD}
    missing = [] if standard <= ran else ["AutoAttack's standard suite"]
    return missing + [f"{family} attacks" for family, members in FAMILIES.items() if not members & ran]


@dataclass(frozen=True)
class Timing:
    """Seconds of a pass an image, forward and with a gradient."""

    forward: float
    gradient: float


def most_passes(plan: AttackPlan, num_classes: int, norm: str) -> tuple[int, int]:
    """Return forward passes, and passes with a gradient, that an attack makes for an image that stands to the end."""
    settings = plan.settings
    if plan.name in GRADIENT_FREE:
        return max(int(settings.get("queries", 0)), 1) * plan.restarts, 0
    steps = int(settings.get("steps", 1)) * int(settings.get("eot_draws", 1))
    searches = int(settings.get("binary_search_steps", 1)) if norm == "l2" else 1
    factor = {
        "apgd-t": min(int(settings.get("targets", 9)), num_classes - 1),
        "fab-t": min(int(settings.get("targets", 9)), num_classes - 1),
        "deepfool": min(int(settings.get("candidates", 10)), num_classes - 1),
        "transfer": 2,
    }.get(plan.name, 1)
    looks = steps * factor if plan.name == "fab-t" else 1  # it classifies each step's image besides
    return looks * plan.restarts, steps * factor * searches * plan.restarts


def most_seconds(plans: Sequence[AttackPlan], timing: Timing, *, images: int, num_classes: int, norm: str) -> float:
    """Return what the plans would take if every one of so many images stood to the end."""
    totals = [most_passes(plan, num_classes, norm) for plan in plans]
    return images * sum(forwards * timing.forward + gradients * timing.gradient for forwards, gradients in totals)
