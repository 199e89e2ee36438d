"""What the attacker may do: one value in recipes, evaluator and report."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hardener.errors import HardenerError, did_you_mean

NORM_NAMES = ("linf", "l2")


@dataclass(frozen=True)
class ThreatModel:
    """A ball of radius `eps` around each image, inside the box [0, 1].

    Args:
        norm: `linf` or `l2`.
        eps: radius as a fraction of the [0, 1] pixel range, >= 0; at most 1 for `linf`.
    Raises:
        HardenerError: unknown norm, or eps out of range.
    """

    norm: str
    eps: float

    def __post_init__(self) -> None:
        if self.norm not in NORM_NAMES:
            hint = did_you_mean(self.norm.lower().replace("_", ""), NORM_NAMES)
            raise HardenerError(f"unknown norm {self.norm!r}. Known: {', '.join(NORM_NAMES)}.{hint}")
        if not 0 <= self.eps < float("inf"):
            raise HardenerError(f"eps must be a number >= 0; got {self.eps:g}.")
        if self.norm == "linf" and self.eps > 1:
            hint = f" Did you mean {self.eps:g}/255?" if self.eps <= 255 else ""
            raise HardenerError(f"eps must lie in [0, 1] because images do; got {self.eps:g}.{hint}")

    def __str__(self) -> str:
        return f"{self.norm} {show_eps(self.eps)}"


def show_eps(eps: float) -> str:
    """Write eps as people of the field do: `8/255` where it is a whole number of grey levels, else `0.03`."""
    levels = Fraction(eps * 255).limit_denominator(1)
    is_whole = abs(float(levels) - eps * 255) < 1e-6
    return f"{levels.numerator}/255" if is_whole and 0 < levels.numerator < 255 else f"{eps:g}"
