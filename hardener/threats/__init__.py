"""Threat models that are no ball: a change of the image whose values lie in ranges. One file a threat.

A point of a threat is a vector in the unit box [0, 1]^P, one an image: how far each value lies in its range. A threat
says what a point does to an image, and the searches of `hardener.attacks.searches` look for the worst one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from pydantic import AfterValidator, BeforeValidator, ConfigDict, ValidationError

from hardener.catalog import resolve
from hardener.config.quantity import parse_quantity
from hardener.config.section import Section
from hardener.errors import HardenerError, did_you_mean
from hardener.threat import THREATS, ChangeThreat, Setting

if TYPE_CHECKING:
    import torch
    from torch import Tensor


Shape = tuple[int, int, int]
"""Channels, height and width of an image."""


def _ends(value: Any) -> Any:
    """Read `-15,15`, or (-15, 15)."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or len(parts) != 2:
        raise ValueError(f"takes two numbers, LOW,HIGH; got {value!r}")
    try:
        low, high = (parse_quantity(part.strip() if isinstance(part, str) else part) for part in parts)
    except HardenerError as error:
        raise ValueError(f"takes two numbers: {error}".rstrip(".")) from None
    if low > high:
        raise ValueError(f"is out of order: LOW comes first, so write {high:g},{low:g} for {low:g},{high:g}")
    return low, high


Ends = Annotated[tuple[float, float], BeforeValidator(_ends)]
"""The ends of a range, the lower one first."""


def within(low: float, high: float, *, still: float) -> AfterValidator:
    """Return what refuses a range that leaves [low, high], or lacks `still`, the value that changes nothing."""

    def check(ends: tuple[float, float]) -> tuple[float, float]:
        if ends[0] < low or ends[1] > high:
            raise ValueError(f"lies in {low:g},{high:g}; got {ends[0]:g},{ends[1]:g}")
        if not ends[0] <= still <= ends[1]:
            raise ValueError(f"must hold {still:g}, which changes nothing; got {ends[0]:g},{ends[1]:g}")
        return ends

    return AfterValidator(check)


class Change(Section, ABC):
    """A threat's ranges, and what a point of its box does to an image.

    A threat's file writes its ranges as fields, and the functions without a body below. All are pure: of each image
    they see its own row alone.
    """

    model_config = ConfigDict(frozen=True)
    grid_weights: ClassVar[tuple[float, ...]] = ()
    """How finely a grid divides each value, relative to the others; empty: no grid of it can be fine enough."""

    @abstractmethod
    def values(self, shape: Shape) -> int:
        """Return how many values a point has."""

    @abstractmethod
    def apply(self, images: Tensor, points: Tensor) -> Tensor:
        """Return the changed images, (N, C, H, W) in [0, 1]; `points`: (N, P) in [0, 1]."""

    @abstractmethod
    def reach(self) -> str:
        """Say what the attacker may do, one sentence."""

    def told(self, point: Tensor, shape: Shape) -> str:
        """Say which values a point (P,) has; by default one for each range, in their order.

        Returns:
            Such as `rotation 12.5, shift -0.03`.
        """
        ranges = [(name, getattr(self, name)) for name in type(self).model_fields]
        values = [(name, between(point[None], place, ends).item()) for place, (name, ends) in enumerate(ranges)]
        return ", ".join(f"{name.replace('_', ' ')} {round(value, 2):g}" for name, value in values)

    def check(self, shape: Shape) -> None:
        """Refuse images that the change makes no sense on.

        Raises:
            HardenerError: such images.
        """

    def random_points(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a point an image, (N, P): each value uniform, or with chance 1/2 an end of its range."""
        import torch

        size = (len(images), self.values(shape_of(images)))
        drawn, ends = (torch.rand(size, generator=generator, device=images.device) for _ in range(2))
        return torch.where(ends < 0.5, drawn, drawn.round())

    def neighbours(
        self, points: Tensor, images: Tensor, *, share: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw a point near each, (N, P): a Gaussian step of std `share`, in (0, 1], in about half of the values."""
        import torch

        steps = torch.randn(points.shape, generator=generator, device=points.device)
        moved = torch.rand(points.shape, generator=generator, device=points.device) < 0.5
        return (points + share * steps * moved).clamp(0, 1)

    def jump(self, points: Tensor, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw another point in those values that no gradient moves; the same point where all have one."""
        return points

    def threat(self, kind: str) -> ChangeThreat:
        """Return the threat model as records and reports hold it."""
        settings: dict[str, Setting] = {name: getattr(self, name) for name in type(self).model_fields}
        plain = type(self)()
        given = tuple(sorted(name for name, value in settings.items() if value != getattr(plain, name)))
        return ChangeThreat(kind, tuple(sorted(settings.items())), given, self.reach())


def shape_of(images: Tensor) -> Shape:
    """Return channels, height and width of (N, C, H, W)."""
    _, channels, height, width = images.shape
    return channels, height, width


def between(points: Tensor, place: int, ends: tuple[float, float]) -> Tensor:
    """Return the value of each point, (N,), in its range."""
    return ends[0] + points[:, place] * (ends[1] - ends[0])


def change_of(kind: str, given: Mapping[str, Any] | None = None) -> Change:
    """Return a threat's change, its ranges as given or their defaults.

    Raises:
        HardenerError: no such threat or range, or a range out of order or beyond what makes sense.
    """
    model = cast("type[Change]", resolve(THREATS, kind, "threat"))
    try:
        return model.model_validate(dict(given or {}))
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0])
        if fault["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields)
            raise HardenerError(
                f"{kind} has no setting {name!r}. Known: {known}.{did_you_mean(name, model.model_fields)}"
            ) from None
        message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
        message = message.replace("a valid number, unable to parse string as a number", "a number")
        ours = "" if fault["type"] == "value_error" else f"; got {fault['input']!r}"
        raise HardenerError(f"{kind}: {name} {message[0].lower()}{message[1:]}{ours}.") from None


def threat_of(kind: str, given: Mapping[str, Any] | None = None) -> ChangeThreat:
    """Return a threat model with all its settings.

    Raises:
        HardenerError: see `change_of`.
    """
    return change_of(kind, given).threat(kind)
