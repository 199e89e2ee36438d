"""What the attacker may do: one value in recipes, evaluator and report; the norms, and the threats that have none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from hardener.catalog import Entry
from hardener.errors import HardenerError, did_you_mean
from hardener.words import either


@dataclass(frozen=True)
class NormEntry(Entry):
    """An lp norm over all values of an image: its geometry as text, and what is known of it without an image.

    Attributes:
        order: p >= 1; `math.inf` for the largest of all values.
        default_eps: radius of an evaluation that names none: the usual one for small colour images.
        smallest_eps: first radius of a curve over eps.
        clever_radius: how far CLEVER looks, a few times the eps that are usual.
        in_levels: people speak of its eps in 1/255 of the pixel range.
        reach: what an attacker of radius {eps} may do, one sentence.
    """

    order: float
    default_eps: float
    smallest_eps: float
    clever_radius: float
    reach: str
    in_levels: bool = False

    @property
    def dual_order(self) -> float:
        """q with 1/p + 1/q = 1: the order of the norm that measures how much a gradient can do with a step of 1."""
        return math.inf if self.order == 1 else 1 / (1 - 1 / self.order)

    @property
    def is_sparse(self) -> bool:
        """Whether the best step changes as few values as the box allows."""
        return self.order == 1

    @property
    def symbol(self) -> str:
        """As matplotlib sets it: the letter with the order below."""
        return "$\\ell_\\infty$" if math.isinf(self.order) else f"$\\ell_{{{self.order:g}}}$"

    def diameter(self, numel: int) -> float:
        """Return the distance of two opposite corners of the box [0, 1]^numel."""
        return float(numel ** (1 / self.order))

    def gray_radius(self, numel: int) -> float:
        """Return the eps at which any image of `numel` values can become plain gray."""
        return self.diameter(numel) / 2


NORMS: Mapping[str, NormEntry] = {
    "linf": NormEntry(
        "hardener.geometry.linf:LINF",
        "largest change of any one pixel",
        order=math.inf,
        default_eps=8 / 255,
        smallest_eps=0.5 / 255,
        clever_radius=0.1,
        reach="The attacker may change every value of every pixel by at most {eps} of the range from black to white.",
        in_levels=True,
    ),
    "l2": NormEntry(
        "hardener.geometry.l2:L2",
        "Euclidean length over all pixels and channels",
        order=2.0,
        default_eps=0.5,
        smallest_eps=16 / 255,
        clever_radius=2.0,
        reach="The attacker may change an image by at most {eps} in Euclidean length, pixels counted from 0 to 1.",
    ),
    "l1": NormEntry(
        "hardener.geometry.l1:L1",
        "sum of all changes, over pixels and channels: a few pixels much or many a little",
        order=1.0,
        default_eps=12.0,
        smallest_eps=0.5,
        clever_radius=40.0,
        reach="The attacker may change an image by at most {eps} in all: the sum over its values, counted from 0 to 1.",
    ),
}

NORM_NAMES = tuple(NORMS)


@dataclass(frozen=True)
class ThreatModel:
    """A ball of radius `eps` around each image, inside the box [0, 1].

    Args:
        norm: a name in NORMS.
        eps: radius as a fraction of the [0, 1] pixel range, >= 0; at most 1 for `linf`.
    Raises:
        HardenerError: unknown norm, or eps out of range.
    """

    norm: str
    eps: float

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            hint = did_you_mean(self.norm.lower().replace("_", ""), NORMS)
            raise HardenerError(f"unknown norm {self.norm!r}. Known: {', '.join(NORMS)}.{hint}")
        if not 0 <= self.eps < float("inf"):
            raise HardenerError(f"eps must be a number >= 0; got {self.eps:g}.")
        if math.isinf(NORMS[self.norm].order) and self.eps > 1:  # what other norms allow depends on the images' size
            hint = f" Did you mean {self.eps:g}/255?" if self.eps <= 255 else ""
            raise HardenerError(f"eps must lie in [0, 1] because images do; got {self.eps:g}.{hint}")

    def __str__(self) -> str:
        return f"{self.norm} {show_eps(self.eps)}"

    @property
    def entry(self) -> NormEntry:
        """The norm's entry."""
        return NORMS[self.norm]

    @property
    def rank(self) -> tuple[int, float]:
        """Where it comes in a list: norms in the order of NORMS, and the wider of two balls first."""
        return norm_rank(self.norm), -self.eps


def norm_rank(norm: str) -> int:
    """Return the place of a norm in NORMS; one that is not known comes last."""
    return list(NORMS).index(norm) if norm in NORMS else len(NORMS)


DEFAULT_THREAT = ThreatModel("linf", NORMS["linf"].default_eps)
"""What an evaluation that names nothing attacks in."""


def with_rounding(eps: float) -> float:
    """Return up to which measured length a perturbation lies within eps.

    An image on the border of the ball is a float32 sum: its length is eps and up to 6e-8 a value more, and that of many
    values, relative to their sum, some 1e-6. Whatever compares a found length with an eps asks here.
    """
    return eps * (1 + 1e-5) + 1e-7


def show_eps(eps: float) -> str:
    """Write eps as people of the field do: `8/255` where it is a whole number of grey levels, else `0.03`."""
    levels = Fraction(eps * 255).limit_denominator(1)
    is_whole = abs(float(levels) - eps * 255) < 1e-6
    return f"{levels.numerator}/255" if is_whole and 0 < levels.numerator < 255 else f"{eps:g}"


def show_distance(distance: float, norm: str) -> str:
    """Write a measured distance to three digits, in 1/255 where the norm's eps are told so."""
    return f"{255 * distance:.3g}/255" if NORMS[norm].in_levels else f"{distance:.3g}"


@dataclass(frozen=True)
class ThreatEntry(Entry):
    """A threat model that is no ball: what changes, as a class of `hardener.threats`, and what attacks it.

    Attributes:
        gradients: `none`: the change has none; `helps`: it has, and a search finds as much; `needed`: without an
            attack that follows them a figure proves little.
        attacks: names of the searches that run where none is named, each with its settings.
    """

    gradients: Literal["none", "helps", "needed"] = "none"
    attacks: Mapping[str, Mapping[str, float]] = field(default_factory=lambda: {"box-search": {}})


THREATS: Mapping[str, ThreatEntry] = {
    "spatial": ThreatEntry(
        "hardener.threats.spatial:Spatial",
        "the image turned and moved",
        gradients="helps",
        attacks={"grid-search": {}, "box-pgd": {}, "box-search": {}},
    ),
    "camera": ThreatEntry(
        "hardener.threats.camera:Camera",
        "everyday changes of a photograph together: light, blur, noise, JPEG, size, a turn",
        attacks={"box-search": {"queries": 300}},
    ),
    "patch": ThreatEntry(
        "hardener.threats.patch:Patch",
        "a square sticker of any content at any place",
        gradients="needed",
        attacks={"box-pgd": {"steps": 60}, "box-search": {"queries": 600}},
    ),
}
"""Threat models beside the balls of NORMS."""

Setting = float | tuple[float, float]


@dataclass(frozen=True)
class ChangeThreat:
    """All changes of a kind whose values lie in their ranges: a threat model that no norm describes.

    Two are the same where kind and settings are; `hardener.threats.change_of` makes the change itself.

    Attributes:
        kind: a name in THREATS.
        settings: names and values of all settings, sorted by name.
        given: names of those that are not their defaults.
        reach: what the attacker may do, one sentence.
    """

    kind: str
    settings: tuple[tuple[str, Setting], ...]
    given: tuple[str, ...] = field(default=(), compare=False)
    reach: str = field(default="", compare=False)

    def __str__(self) -> str:
        own = [f"{name} {show_setting(value)}" for name, value in self.settings if name in self.given]
        return f"{self.kind} ({', '.join(own)})" if own else self.kind

    @property
    def entry(self) -> ThreatEntry:
        """The entry of its kind."""
        return THREATS[self.kind]

    @property
    def rank(self) -> tuple[int, float]:
        """Where it comes in a list: behind all norms, in the order of THREATS."""
        return len(NORMS) + (list(THREATS).index(self.kind) if self.kind in THREATS else len(THREATS)), 0.0


Threat = ThreatModel | ChangeThreat


def norm_of(threat: Threat) -> str | None:
    """Return the norm of a ball; None of another threat model."""
    return threat.norm if isinstance(threat, ThreatModel) else None


def show_setting(value: Setting) -> str:
    """Write a setting of a threat: `0.05`, or `-15 to 15`."""
    return f"{value[0]:g} to {value[1]:g}" if isinstance(value, tuple) else f"{value:g}"


NORM_HELP = either(NORMS) + "."
EPS_HELP = "Radius, such as 8/255. (default: {})".format(
    ", ".join(f"{show_eps(entry.default_eps)} in {name}" for name, entry in NORMS.items())
)
