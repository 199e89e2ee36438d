"""What a requirement is about, and what it asks: `linf-8/255=0.40`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hardener.config.quantity import parse_quantity
from hardener.config.requirements import read_requirements
from hardener.errors import HardenerError, did_you_mean
from hardener.reports.named_threat import NamedThreat, named_threat
from hardener.reports.shared import is_same
from hardener.threat import NORMS, THREATS, Threat, ThreatModel
from hardener.words import percent, points

KNOWN = ", ".join(
    [
        "clean",
        *(f"{norm}-EPS" for norm in NORMS),
        "mean-NORM-EPS",
        "balanced",
        "balanced-NORM-EPS",
        "balanced-THREAT",
        "corruptions",
        "certified-RADIUS",
        *THREATS,
    ]
)
MEAN = "mean-accuracy"
"""The measure whose figure is the mean robust accuracy over all eps up to one."""


@dataclass(frozen=True)
class Aspect:
    """What a condition is about. `size` is eps for `robust`, `balanced-robust` and `mean`, a radius for `certified`.

    The balanced ones are means over classes. `threat`: of `threat`, and of `balanced-robust` under one without a norm.
    """

    kind: Literal["clean", "robust", "threat", "mean", "balanced", "balanced-robust", "corruptions", "certified"]
    norm: str = "l2"
    size: float = 0.0
    threat: NamedThreat | None = None

    @property
    def is_attacked(self) -> bool:
        """Is it the accuracy under one threat, which attacks tell and none proves?"""
        return self.kind in {"robust", "threat", "balanced-robust"}

    def is_under(self, threat: Threat) -> bool:
        """Is it measured under a threat, every range included?"""
        if self.threat is not None:
            return self.threat.covers(threat)
        return is_same(threat, ThreatModel(self.norm, self.size))

    @property
    def is_balanced(self) -> bool:
        """Is it a mean over classes?"""
        return self.kind in {"balanced", "balanced-robust"}

    def __str__(self) -> str:
        if self.is_attacked:
            under = self.threat or ThreatModel(self.norm, self.size)
            return f"{'balanced ' if self.is_balanced else ''}robust accuracy under {under}"
        if self.kind == "balanced":
            return "balanced clean accuracy"
        if self.kind == "mean":
            return f"mean robust accuracy up to {ThreatModel(self.norm, self.size)}"
        if self.kind == "certified":
            return f"accuracy certified to l2 {self.size:g}"
        return "clean accuracy" if self.kind == "clean" else "mean accuracy under corruptions"


@dataclass(frozen=True)
class Condition:
    """`min`: the measure is at least `bound`. `max-drop`: it fell by at most `bound`, both in [0, 1].

    `because`: why it is asked, in the owner's words. `place`: where it stands in a file, such as `number 2 of
    requirements.yaml`; empty where it was typed.
    """

    kind: Literal["min", "max-drop"]
    aspect: Aspect
    bound: float
    text: str
    because: str = ""
    place: str = ""

    def in_words(self, other: str = "another run") -> str:
        """Say what is asked, such as `at least 80.0 %`; `other` is the run that a drop is from."""
        if self.kind == "max-drop":
            return f"at most {points(self.bound)} points below {other}"
        return f"at least {percent(self.bound)}"

    def __str__(self) -> str:
        """As it was asked: `--min clean=0.80`, or `number 2 of requirements.yaml, min clean=0.8`."""
        return f"{self.place}, {self.kind} {self.text}" if self.place else f"--{self.kind} {self.text}"


def parse_condition(kind: Literal["min", "max-drop"], text: str) -> Condition:
    """Read `linf-8/255=0.40`.

    Raises:
        HardenerError: no such measure, or a share outside [0, 1].
    """
    name, equals, value = text.rpartition("=")  # a threat's ranges have one of their own
    name, value = name.strip(), value.strip()
    if not equals or not name or not value:
        raise HardenerError(f"--{kind} takes MEASURE=SHARE, such as linf-8/255=0.40; got {text!r}.")
    return Condition(kind, _parse_aspect(name), _share(value, f"--{kind} {text}"), f"{name}={value}")


def conditions_in(path: Path) -> list[Condition]:
    """Read a file of requirements, in its order.

    Raises:
        HardenerError: it is none, or lines ask for what there is not; all of them are told.
    """
    found, faults = [], []
    for number, item in enumerate(read_requirements(path), start=1):
        asked: list[tuple[Literal["min", "max-drop"], str | None]] = [("min", item.min), ("max-drop", item.max_drop)]
        for kind, value in asked:
            if value is None:
                continue
            try:
                aspect, bound = _parse_aspect(item.measure), _share(value, f"{kind}: {value}")
                place = f"number {number} of {path}"
                found.append(Condition(kind, aspect, bound, f"{item.measure}={value}", item.why, place))
            except HardenerError as error:
                faults.append(f"number {number}: {error}")
    if faults:
        raise HardenerError(f"{path}: {' '.join(dict.fromkeys(faults))}")
    return found


def _share(value: str, said: str) -> float:
    try:
        bound = parse_quantity(value)
    except HardenerError:
        raise HardenerError(f"{said}: {value!r} is no share; write one in [0, 1], such as 0.80.") from None
    if not 0 <= bound <= 1:
        hint = f" Did you mean {bound / 100:g}?" if 1 < bound <= 100 else ""
        raise HardenerError(f"{said}: a share lies in [0, 1]; got {value}.{hint}")
    return bound


def aspect_of(threat: Threat) -> Aspect:
    """Return what a condition on robust accuracy under a threat model is about."""
    if isinstance(threat, ThreatModel):
        return Aspect("robust", threat.norm, threat.eps)
    settings = dict(threat.settings)
    return Aspect("threat", threat=NamedThreat(threat.kind, tuple((name, settings[name]) for name in threat.given)))


def _parse_aspect(name: str) -> Aspect:
    threat = named_threat(name)
    if threat is not None:
        return Aspect("threat", threat=threat)
    head, dash, size = name.partition("-")
    plain = {"clean": Aspect("clean"), "balanced": Aspect("balanced"), "corruptions": Aspect("corruptions")}
    if name in plain:
        return plain[name]
    if head == "balanced" and (changed := named_threat(size)) is not None:
        return Aspect("balanced-robust", threat=changed)
    norm, _, eps = size.partition("-")
    if head in {"mean", "balanced"} and norm in NORMS:
        return Aspect("mean" if head == "mean" else "balanced-robust", norm, ThreatModel(norm, parse_quantity(eps)).eps)
    if head in NORMS and dash:
        return Aspect("robust", head, ThreatModel(head, parse_quantity(size)).eps)
    if head == "certified" and dash:
        radius = parse_quantity(size)
        if radius < 0:
            raise HardenerError(f"a certified radius is >= 0; got {size}.")
        return Aspect("certified", "l2", radius)
    hint = did_you_mean(head, ["clean", *NORMS, *THREATS, "mean", "balanced", "corruptions", "certified"])
    raise HardenerError(f"unknown measure {name!r}. Known: {KNOWN}.{hint}")
