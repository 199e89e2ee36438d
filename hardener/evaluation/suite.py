"""Suites: named lists of attacks, what they leave out, and what they cost at most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hardener.attacks import ATTACKS, CUSTOMARY
from hardener.errors import HardenerError, did_you_mean
from hardener.evaluation.robust_accuracy import AttackPlan
from hardener.threat import NORMS, THREATS, ChangeThreat, Threat

DEFAULT = AttackPlan("pgd")
"""The attack that settings without a name are for, and that training is validated by."""
_FAST = (
    AttackPlan("pma", {"steps": 10, "loss": "ce"}),
    AttackPlan("pma", {"steps": 20}, warm=True),
    AttackPlan("mm", {"steps": 20, "targets": 3}),
    AttackPlan("mm", {"steps": 15, "targets": 9}),
    AttackPlan("apgd-t", {"steps": 50, "targets": 9}, share=0.12),
    AttackPlan("pma", {"steps": 50, "loss": "dlr"}, restarts=3, share=0.12),
    AttackPlan("pma", {"steps": 50}, restarts=3, share=0.2),
    AttackPlan("pma", {"steps": 50}, warm=True, share=0.12),
    AttackPlan("square", {"queries": 100}, sample=50),
)
_FAST_SPARSE = (
    AttackPlan("apgd", {"steps": 20, "loss": "ce"}),
    AttackPlan("apgd", {"steps": 40, "loss": "dlr"}),
    AttackPlan("apgd-t", {"steps": 30, "targets": 5}),
    AttackPlan("apgd-t", {"steps": 60, "targets": 9}),
    AttackPlan("square", {"queries": 100}, sample=50),
)
"""In a norm whose steps change few values, where those that shorten find less."""
_QUICK = (DEFAULT, AttackPlan("pgd", {"loss": "margin"}))
_STANDARD = (
    AttackPlan("apgd", {"loss": "ce"}),
    AttackPlan("apgd-t"),
    AttackPlan("fab-t"),
    AttackPlan("square"),
)
SUITES: dict[str, tuple[AttackPlan, ...]] = {
    "fast": _FAST,
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
FAST = "fast"
"""The cascade that goes on to another suite where the audit asks for it."""
SUITE = "fast"
"""The suite that runs where no attack is named."""
GOES_ON = {FAST: "standard"}
"""A suite -> the one that the evaluation goes on to by itself, where the audit finds that a figure hides something."""
DEPLOYED = (
    AttackPlan("pgd", {"steps": 20}),
    AttackPlan("pgd", {"steps": 20, "loss": "margin"}),
    AttackPlan("transfer", {"steps": 20}),
    AttackPlan("apgd-t", {"steps": 20, "targets": 3}),
    AttackPlan("square", {"queries": 300}),
)
"""By which two files made from one network are held against each other."""
DEPLOYED_QUICK = (AttackPlan("pgd", {"steps": 10}), AttackPlan("square", {"queries": 50}))


def suite_plans(name: str, norm: str = "linf") -> list[AttackPlan]:
    """Return a suite's attacks, those that know the norm.

    Raises:
        HardenerError: unknown suite.
    """
    if name not in SUITES:
        raise HardenerError(f"unknown suite {name!r}. Known: {', '.join(SUITES)}.{did_you_mean(name, SUITES)}")
    plans = _FAST_SPARSE if name == FAST and norm in NORMS and NORMS[norm].is_sparse else SUITES[name]
    return [plan for plan in plans if norm in ATTACKS[plan.name].norms]


def sweep_plans(norm: str, *, warm: bool) -> list[AttackPlan]:
    """Return the attacks that go from one eps to the next; `warm`: from where each image fell at the one before."""
    if NORMS[norm].is_sparse:
        return [AttackPlan("apgd", {"steps": 20}), AttackPlan("apgd-t", {"steps": 20, "targets": 3})]
    steps = 10 if warm else 20
    return [AttackPlan("pma", {"steps": steps}, warm=warm), AttackPlan("mm", {"steps": steps}, warm=warm)]


def threat_plans(kind: str) -> list[AttackPlan]:
    """Return the searches that a threat without a norm is evaluated by."""
    return [AttackPlan(name, settings) for name, settings in THREATS[kind].attacks.items()]


def left_out(plans: Sequence[AttackPlan], threat: Threat | None = None) -> list[str]:
    """Return what a reader must know was not run: AutoAttack's standard suite, and families with no attack at all.

    Under a threat without a norm: its own searches.
    """
    ran = {plan.name for plan in plans}
    if isinstance(threat, ChangeThreat):
        return [name for name in threat.entry.attacks if name not in ran]
    standard = {plan.name for plan in _STANDARD}
    families = frozenset().union(*(ATTACKS[name].families for name in ran))
    missing = [] if standard <= ran else ["AutoAttack's standard suite"]
    return missing + [f"{family} attacks" for family in CUSTOMARY if family not in families]


@dataclass(frozen=True)
class Timing:
    """Seconds of a pass an image, forward and with a gradient."""

    forward: float
    gradient: float


def most_queries(plan: AttackPlan) -> int:
    """Return the forward passes that an attack by answers alone makes for an image that stands to the end."""
    return max(int(plan.setting("queries") or 0), 1) * plan.restarts


def most_passes(plan: AttackPlan, num_classes: int, norm: str | None) -> tuple[int, int]:
    """Return forward passes, and passes with a gradient, that an attack makes for an image that stands to the end.

    Where it goes at a share of the images, it is the mean over them.
    """
    attack = plan.entry
    if attack.needs_answers_only:
        return most_queries(plan), 0
    steps = int(plan.setting("steps") or 1) * int(plan.setting("eot_draws") or 1) * attack.gradients
    if attack.classes is not None:
        steps *= min(int(plan.setting(attack.classes)), num_classes - 1)
    searches = int(plan.setting(attack.searches)) if attack.searches and norm in attack.nearest_in else 1
    times = plan.restarts * plan.share
    return math.ceil((steps if attack.looks else 1) * times), math.ceil(steps * searches * times)


def most_seconds(
    plans: Sequence[AttackPlan], timing: Timing, *, images: int, num_classes: int, norm: str | None
) -> float:
    """Return what the plans would take if every one of so many images stood to the end."""
    seconds = 0.0
    for plan in plans:
        forwards, gradients = most_passes(plan, num_classes, norm)
        attacked = images if plan.sample is None else min(plan.sample, images)
        seconds += attacked * (forwards * timing.forward + gradients * timing.gradient)
    return seconds
