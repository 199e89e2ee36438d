"""A threat without a norm, as a condition names it: `spatial`, or `spatial:rotation=-15,15`."""

from __future__ import annotations

from dataclasses import dataclass

from hardener.config.quantity import parse_quantity
from hardener.errors import HardenerError
from hardener.threat import THREATS, Setting, Threat, ThreatModel, show_setting


@dataclass(frozen=True)
class NamedThreat:
    """A threat and those of its settings that are not to be its defaults."""

    kind: str
    ranges: tuple[tuple[str, Setting], ...] = ()

    def __str__(self) -> str:
        told = ", ".join(f"{name} {show_setting(value)}" for name, value in self.ranges)
        return f"{self.kind} ({told})" if told else self.kind

    @property
    def measure(self) -> str:
        """What a condition calls it: `spatial:rotation=-15,15`."""
        ends = {name: value if isinstance(value, tuple) else (value,) for name, value in self.ranges}
        return ":".join([self.kind, *(f"{name}={','.join(map(repr, value))}" for name, value in ends.items())])

    def covers(self, threat: Threat) -> bool:
        """Say whether a threat model is the one that is named, every range included."""
        if isinstance(threat, ThreatModel) or threat.kind != self.kind:
            return False
        settings, named = dict(threat.settings), dict(self.ranges)
        return set(threat.given) <= set(named) and all(settings.get(name) == value for name, value in named.items())


def named_threat(text: str) -> NamedThreat | None:
    """Read `spatial:rotation=-15,15:shift=0,0.1`; None where it begins with no threat's name.

    Raises:
        HardenerError: a range without a value.
    """
    kind, *parts = text.split(":")
    if kind not in THREATS:
        return None
    ranges = []
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            raise HardenerError(f"{text}: write a range as NAME=LOW,HIGH, such as {kind}:{name or 'rotation'}=-15,15.")
        ends = tuple(parse_quantity(end) for end in value.split(","))
        if len(ends) > 2:
            raise HardenerError(f"{text}: {name} takes LOW,HIGH or one number; got {value}.")
        ranges.append((name, (ends[0], ends[1]) if len(ends) == 2 else ends[0]))
    return NamedThreat(kind, tuple(sorted(ranges)))
