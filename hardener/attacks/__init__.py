"""Attacks: pure functions `attack(model, images, labels, *, norm, eps, ..., generator)` -> adversarial images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hardener.catalog import Entry
from hardener.threat import NORM_NAMES

Family = Literal["gradient", "minimum-norm", "gradient-free", "decision-based", "transfer", "single-step", "noise"]
CUSTOMARY: tuple[Family, ...] = ("gradient", "minimum-norm", "gradient-free", "decision-based", "transfer")
"""Families that a reader misses where no attack of theirs ran."""


@dataclass(frozen=True)
class Attack(Entry):
    """An attack, with the facts that suites, audit, verdict and record go by. None of them knows it by name.

    Attributes:
        families: what kind it is; an attack may be of several.
        draws: at random as it goes, so that an image's result depends on its place in the batch.
        needs_surrogate: it takes another model, its setting `surrogate`.
        extra: the module that it imports and the extra of this project that brings it.
        norms: those that it knows.
        nearest_in: norms in which it looks for the nearest misclassified image, however far that lies.
        loss: what it climbs where it has no setting of this name.
        default_step: where its step size is None, it is so many times eps / steps, and the record says so.
        gradients: passes with a gradient that a step takes.
        classes: the setting that says for how many other classes it takes each step.
        searches: the setting that says how often it starts anew in norms of `nearest_in`.
        looks: it classifies the image of each step besides.
        grid: it takes every point of a grid, which only threats of few values have.
        curve: accuracy under it is drawn against eps where it ran.
    """

    families: frozenset[Family] = frozenset()
    draws: bool = False
    needs_surrogate: bool = False
    extra: tuple[str, str] | None = None
    norms: tuple[str, ...] = NORM_NAMES
    nearest_in: tuple[str, ...] = ()
    loss: str | None = None
    default_step: float | None = None
    gradients: int = 1
    classes: str | None = None
    searches: str | None = None
    looks: bool = False
    grid: bool = False
    curve: bool = False

    @property
    def follows_gradients(self) -> bool:
        """Over several steps, the model's own."""
        return bool(self.families & {"gradient", "minimum-norm"})

    @property
    def queries(self) -> bool:
        """It searches by asking for answers."""
        return bool(self.families & {"gradient-free", "decision-based"})

    @property
    def needs_answers_only(self) -> bool:
        """It can be run on a file that gives no gradients."""
        return self.queries or "noise" in self.families

    @property
    def is_blind(self) -> bool:
        """It sees no gradient of the model, so that what it breaks alone is an alarm."""
        return self.needs_answers_only or "transfer" in self.families


def _of(*families: Family) -> frozenset[Family]:
    return frozenset(families)


ATTACKS: Mapping[str, Attack] = {
    "fgsm": Attack(
        "hardener.attacks.fgsm:fgsm", "one step of length eps along the gradient", _of("single-step"), curve=True
    ),
    "bim": Attack("hardener.attacks.bim:bim", "small FGSM steps from the image itself", _of("gradient"), loss="ce"),
    "mi-fgsm": Attack(
        "hardener.attacks.mi_fgsm:mi_fgsm",
        "steps along a running sum of gradients; made for transfer",
        _of("gradient"),
        loss="ce",
    ),
    "pgd": Attack(
        "hardener.attacks.pgd:pgd",
        "projected gradient ascent on ce, margin or dlr, from a random start",
        _of("gradient"),
        default_step=2.5,
        curve=True,
    ),
    "cw": Attack(
        "hardener.attacks.cw:cw",
        "Carlini-Wagner: the margin inside the ball (linf), the nearest image (l2)",
        _of("gradient", "minimum-norm"),
        nearest_in=("l2",),
        searches="binary_search_steps",
    ),
    "apgd": Attack(
        "hardener.attacks.apgd:apgd", "Auto-PGD: steps that halve themselves, on ce, dlr or margin", _of("gradient")
    ),
    "apgd-t": Attack(
        "hardener.attacks.apgd_t:apgd_t",
        "Auto-PGD towards each likely wrong class, on the targeted DLR",
        _of("gradient"),
        classes="targets",
    ),
    "pma": Attack(
        "hardener.attacks.pma:pma",
        "PGD on the margin between probabilities, by steps that shorten",
        _of("gradient"),
    ),
    "mm": Attack(
        "hardener.attacks.mm:mm",
        "minimum margin: PGD towards each of the likeliest wrong classes, by steps that shorten",
        _of("gradient"),
        classes="targets",
    ),
    "fab-t": Attack(
        "hardener.attacks.fab_t:fab_t",
        "steps along the linearised boundary to the nearest image that falls",
        _of("gradient", "minimum-norm"),
        nearest_in=NORM_NAMES,
        classes="targets",
        looks=True,
    ),
    "square": Attack(
        "hardener.attacks.square:square",
        "random squares, kept where the margin falls; scores alone",
        _of("gradient-free"),
        draws=True,
    ),
    "deepfool": Attack(
        "hardener.attacks.deepfool:deepfool",
        "minimum norm: to the nearest boundary, linearised at each step",
        _of("minimum-norm"),
        nearest_in=NORM_NAMES,
        classes="candidates",
    ),
    "fmn": Attack(
        "hardener.attacks.fmn:fmn",
        "minimum norm: up the margin on a ball that shrinks once the image falls",
        _of("minimum-norm"),
        nearest_in=NORM_NAMES,
    ),
    "spsa": Attack(
        "hardener.attacks.spsa:spsa",
        "Adam on gradients estimated from answers, along random signs; scores alone",
        _of("gradient-free"),
        draws=True,
    ),
    "nes": Attack(
        "hardener.attacks.nes:nes",
        "momentum on gradients estimated from answers, Gaussian; scores alone",
        _of("gradient-free"),
        draws=True,
    ),
    "hopskipjump": Attack(
        "hardener.attacks.hopskipjump:hopskipjump",
        "along the boundary, by foolbox; decisions alone",
        _of("decision-based"),
        draws=True,
        extra=("foolbox", "decision"),
        norms=("linf", "l2"),
    ),
    "transfer": Attack(
        "hardener.attacks.transfer:transfer",
        "PGD on a surrogate; answers of the model alone",
        _of("transfer"),
        needs_surrogate=True,
        gradients=2,
    ),
    "random-noise": Attack(
        "hardener.attacks.random_noise:random_noise",
        "random points of the border: the floor, no attack",
        _of("noise"),
        draws=True,
    ),
}
