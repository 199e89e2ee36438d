"""What sections of a recipe are made of, here and in the files of methods and vicinities that bring their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from hardener.catalog import Entry, named
from hardener.config.pixels import parse_color, parse_range
from hardener.config.quantity import parse_image_size, parse_quantity
from hardener.errors import HardenerError
from hardener.threat import ThreatModel


def _reported(parse: Callable[[Any], Any]) -> BeforeValidator:
    """Let pydantic collect what a parser of ours complains of, beside its own faults."""

    def parse_or_report(value: Any) -> Any:
        try:
            return parse(value)
        except HardenerError as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(parse_or_report)


def _switch(value: Any) -> Any:
    """YAML 1.1 reads a bare on and off as truth values."""
    return ("on" if value else "off") if isinstance(value, bool) else value


Quantity = Annotated[float, _reported(parse_quantity)]
ImageSize = Annotated[tuple[PositiveInt, PositiveInt], _reported(parse_image_size)]
Color = Annotated[tuple[int, int, int], _reported(parse_color)]
Range = Annotated[tuple[float, float], _reported(parse_range)]
Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Switch = Annotated[Literal["auto", "on", "off"], BeforeValidator(_switch)]

LARGEST = 2**53  # whole numbers up to here are floats, too
Kind = TypeVar("Kind", bound="Section")


class Section(BaseModel):
    """Keys of a recipe with their defaults and ranges; an unknown key is a fault."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse a truth value for a number, and whole numbers that no machine counts to."""
        assert info.field_name is not None, "it is a field's"
        section = _section_of(cls.model_fields[info.field_name].annotation)
        if section is not None and isinstance(value, bool | int | float | str):
            first = next(iter(section.model_fields))
            raise ValueError(f"it holds settings of its own, such as {info.field_name}.{first}=VALUE; got {value!r}.")
        if isinstance(value, bool) and not _takes_truth(cls.model_fields[info.field_name].annotation):
            raise ValueError(f"expected a number or a word; got {value!r}.")
        if isinstance(value, int) and abs(value) > LARGEST:
            raise ValueError(f"a number of {len(str(abs(value)))} digits is too large.")
        return value

    def find(self, kind: type[Kind]) -> Kind | None:
        """Return the section of this kind that stands in this one; None: there is none, or it is off."""
        return next((value for _, value in self if isinstance(value, kind)), None)

    def own(self, kind: type[Kind]) -> Kind:
        """Return the section of this kind, which must be there, as those of its method are in a checked recipe."""
        found = self.find(kind)
        assert found is not None, f"{type(self).__name__} holds no {kind.__module__}.{kind.__name__}"
        return found


class Ball(Section):
    """A norm and an eps that fit each other."""

    norm: str = "linf"
    eps: Quantity = 8 / 255

    @property
    def threat(self) -> ThreatModel:
        """Norm and eps as one value."""
        return ThreatModel(self.norm, self.eps)

    @model_validator(mode="after")
    def _check_threat(self) -> Self:
        try:
            _ = self.threat
        except HardenerError as error:
            raise ValueError(str(error)) from None
        return self


class PatchNoise(Section):
    """Gaussian noise on a square patch of some images: what the augmentation and the vicinity of it both ask for."""

    chance: Share = 0.5
    sigma: Annotated[float, Field(gt=0, le=1)] = 0.3
    least: Annotated[float, Field(gt=0, le=1)] = 0.25


def _section_of(annotation: Any) -> type[Section] | None:
    """Return the section that is all that a field takes, or None beside it."""
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]
    return kinds[0] if len(kinds) == 1 and isinstance(kinds[0], type) and issubclass(kinds[0], Section) else None


def _takes_truth(annotation: Any) -> bool:
    """Say whether a field's type has a place for True and False; YAML 1.1 writes a bare `on` so."""
    inner = [annotation, *get_args(annotation)]
    return any(kind is bool or kind is Any or kind in ("on", "off") or _takes_truth(kind) for kind in inner[1:]) or (
        annotation is bool or annotation is Any
    )


@dataclass(frozen=True)
class SectionEntry(Entry):
    """A catalog's entry of what may bring a section of the recipe.

    Attributes:
        settings: name of the section's model, a `Section` with a default for each field; None: it has none.
        key: where its settings stand in the recipe; None: under its own name, with _ for -.
        faults: name of what says why it refuses a recipe that uses it: a Recipe -> texts; None: it takes any.

    Both names are of the file that `target` names, or whole: "module:name".
    """

    settings: str | None = None
    key: str | None = None
    faults: str | None = None

    def load_settings(self) -> type[Section]:
        """Import the section's model; there must be one."""
        assert self.settings is not None, f"{self.target} brings no section"
        model: type[Section] = self._beside(self.settings)
        return model

    def faults_of(self, recipe: Section) -> Iterable[str]:
        """Return why it refuses the recipe; empty where it takes it."""
        told: Iterable[str] = () if self.faults is None else self._beside(self.faults)(recipe)
        return told

    def _beside(self, name: str) -> Any:
        return named(name if ":" in name else f"{self.module}:{name}")


def key_of(name: str, entry: SectionEntry) -> str:
    """Return where the settings of what is called so stand in the recipe."""
    return entry.key or name.replace("-", "_")
