"""What `hardener inspect` found in a data set: one value for the terminal, JSON and the page."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hardener.config.data_findings import DataFound, LeftOut
from hardener.config.pixels import Fit, Rgb

INSPECTION_SCHEMA: Literal["hardener/data-inspection/1"] = "hardener/data-inspection/1"
Likeness = Literal["same file", "nearly the same"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ImageName(_Strict):
    """An image: its split, its class, and its file, with folders from the data's root on where it lies below."""

    split: str
    label: str
    file: str


class Remarked(_Strict):
    """An image that cannot be read, or that is unlike the rest, and why."""

    image: ImageName
    reason: str


class Alike(_Strict):
    """Images that are the same, or nearly. `leak`: they lie in several splits; `conflict`: in several classes."""

    likeness: Likeness
    images: tuple[ImageName, ...]
    leak: bool
    conflict: bool


class ClassCount(_Strict):
    """How many images a class has in each split."""

    name: str
    images: dict[str, int]

    @property
    def total(self) -> int:
        """Over all splits."""
        return sum(self.images.values())


class SizeCount(_Strict):
    height: int
    width: int
    images: int


class Headers(_Strict):
    """What the headers of all images say: how many are of each size, format, mode and depth; with alpha, of several
    pages, and with a colour profile that changes something."""

    sizes: tuple[SizeCount, ...]
    formats: dict[str, int]
    modes: dict[str, int]
    depths: dict[str, int]
    transparent: int
    paged: int
    profiles: int


class Bin(_Strict):
    """A bar of a histogram: values from `low` up to `high`."""

    low: float
    high: float
    count: int


class Channel(_Strict):
    """One channel of the training images as the model gets them, in [0, 1]; `histogram` holds 32 shares."""

    name: str
    mean: float
    std: float
    low: float
    high: float
    histogram: tuple[float, ...]


class MeasuredLevels(_Strict):
    """The levels of images with more than 8 bits; 99 % of their pixels lie within `bulk`."""

    images: int
    low: float
    high: float
    bulk: tuple[float, float]


class InputView(_Strict):
    """What training would bring every image to; `cut_share` of the images lose more than a fifth to the crop."""

    height: int
    width: int
    channels: Literal[1, 3]
    fit: Fit
    background: Rgb
    range: tuple[float, float] | None
    cut_share: float


class Advice(_Strict):
    """What to do about something, and the command for it; `grave`: figures would be wrong without."""

    text: str
    command: str
    grave: bool = False


class DataInspection(_Strict):
    """Everything that was found. Sizes are those of the files, turned the right way up.

    `found`: what `train` would put on record of the same data. `drawn`: the splits that the seed draws.
    """

    schema_name: Literal["hardener/data-inspection/1"] = Field(INSPECTION_SCHEMA, alias="schema")
    root: str
    created_at: str
    hardener_version: str
    found: DataFound
    headers: Headers
    drawn: tuple[str, ...]
    bytes: int
    short_sides: tuple[Bin, ...]
    long_sides: tuple[Bin, ...]
    ratios: tuple[Bin, ...]
    levels: MeasuredLevels | None
    input: InputView
    channels: tuple[Channel, ...]
    brightness: tuple[Bin, ...]
    bad: tuple[Remarked, ...]
    odd: tuple[Remarked, ...]
    alike: tuple[Alike, ...]
    advice: tuple[Advice, ...]

    @property
    def splits(self) -> dict[str, int]:
        """How many images each split has."""
        return {name: split.images for name, split in self.found.splits.items()}

    @property
    def classes(self) -> tuple[ClassCount, ...]:
        """How many images each class has in each split."""
        names = next(iter(self.found.splits.values())).classes
        return tuple(
            ClassCount(name=name, images={own: split.classes[name] for own, split in self.found.splits.items()})
            for name in names
        )

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What is not used."""
        return self.found.left_out

    @property
    def total(self) -> int:
        """Images of all splits."""
        return sum(self.splits.values())

    @property
    def leaks(self) -> tuple[Alike, ...]:
        """Images that lie in several splits."""
        return tuple(group for group in self.alike if group.leak)

    @property
    def conflicts(self) -> tuple[Alike, ...]:
        """Images that lie in several classes."""
        return tuple(group for group in self.alike if group.conflict)
