"""A data set as training would see it: what it holds, what is wrong with it, and pictures of each class."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from hardener import __version__
from hardener.augmentation.chain import augmentations_of
from hardener.config.data_findings import DataFound
from hardener.config.inspection_record import (
    Alike,
    Bin,
    Channel,
    DataInspection,
    Headers,
    ImageName,
    InputView,
    Likeness,
    MeasuredLevels,
    Remarked,
    SizeCount,
)
from hardener.config.pixels import PixelRule
from hardener.config.reading import AS_FOUND, Reading
from hardener.config.recipe import settle
from hardener.config.run_folder import now
from hardener.config.schema import Recipe
from hardener.data.class_names import refuse_unserved
from hardener.data.data_set import DataSet, read_data_set
from hardener.data.decode import decode_image
from hardener.data.image_files import ImageFiles
from hardener.data.input_rule import bulk_size, cut_by_crop
from hardener.data.loader import ImageShape
from hardener.data.look import Seen, look_at, oddities
from hardener.data.prints import PRINT_BYTES, Prints, joined, near_pairs, prints_of, unread
from hardener.data.survey import Levels, Survey, measure_levels, survey, together
from hardener.errors import BadImage
from hardener.progress import Reporter, Silent
from hardener.training.augmentation import Pictured, settle_augmentation
from hardener.training.data_advice import advice_on
from hardener.training.look import facts_of

SHOWN_CLASSES, SHOWN_IMAGES, SHOWN_PAIRS = 60, 10, 24
_RATIOS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.99, 1.01, 1.12, 1.25, 1.43, 1.67, 2.5, 5.0)


@dataclass(frozen=True)
class InspectionRequest:
    """What `hardener inspect` was asked for: what `train` would get of the data.

    Attributes:
        options: those that made the recipe what it is, as words of a command line.
    """

    data: Path
    recipe: Recipe
    reading: Reading | None = None
    validation_root: Path | None = None
    test_root: Path | None = None
    seed: int = 0
    options: Sequence[str] = ()

    @property
    def place(self) -> str:
        """The data, how it is read, and what was asked for besides, as words of a command line after `--data`."""
        words = [str(self.data)]
        for option, root in (("--val", self.validation_root), ("--test", self.test_root)):
            words += [] if root is None else [option, str(root)]
        words += (self.reading or AS_FOUND).words() + (["--seed", str(self.seed)] if self.seed else [])
        return shlex.join([*words, *self.options])


@dataclass(frozen=True)
class Pictures:
    """What there is to be looked at, all (H, W, C), uint8, as the model gets it.

    Attributes:
        classes: of some images of each class, as they are read, and after the recipe's augmentation.
        alike: of the first groups of `DataInspection.alike`, the first images of each.
        odd: of the first images of `DataInspection.odd`.
    """

    classes: Mapping[str, tuple[Sequence[NDArray[np.uint8]], Sequence[NDArray[np.uint8]]]]
    alike: Sequence[Sequence[NDArray[np.uint8]]]
    odd: Sequence[NDArray[np.uint8]]


def inspect_data(request: InspectionRequest, reporter: Reporter) -> tuple[DataInspection, Pictures]:
    """Read every image once and say what is found; nothing is written.

    Raises:
        HardenerError: the data cannot be read as `train` would read it.
    """
    folder = read_data_set(
        request.data,
        reading=(request.reading or AS_FOUND).grouped(request.recipe.data.group_by),
        validation_root=request.validation_root,
        test_root=request.test_root,
        seed=request.seed,
        val_fraction=request.recipe.data.val_fraction,
        test_fraction=request.recipe.data.test_fraction,
        reporter=reporter,
    )
    refuse_unserved(folder.classes)
    splits = {"train": folder.train, "validation": folder.validation, "test": folder.test}
    present = {name: files for name, files in splits.items() if files is not None}
    headers = {name: _survey(name, files, reporter) for name, files in present.items()}
    view, levels = _view(folder, headers["train"], request.recipe, reporter)
    seen = {name: _look(name, files, view, reporter) for name, files in present.items()}
    shape = ImageShape(view.height, view.width, view.channels)
    found = facts_of(
        folder,
        {name: _prints(items) for name, items in seen.items()},
        headers["train"],
        shape,
        request.recipe.data.image_size,
        None,
    )
    record = _described(request, folder, found, together(headers.values()), view, levels, seen)
    record = record.model_copy(update={"advice": advice_on(record, request.place, request.recipe.data)})
    return record, _pictures(record, folder, present, view, request)


def _survey(name: str, files: ImageFiles, reporter: Reporter) -> Survey:
    with reporter.track(f"reading headers, {name}", len(files), "images") as advance:
        return survey(files, on_done=advance)


def _look(name: str, files: ImageFiles, view: InputView, reporter: Reporter) -> list[Seen]:
    with reporter.track(f"looking at images, {name}", len(files), "images") as advance:
        return list(look_at(files, **_input(view), on_done=advance))


def _prints(seen: Sequence[Seen]) -> Prints:
    """Return what the images of a split are known by; those that cannot be read by nothing."""
    return prints_of(b"".join(item.mark or unread(len(seen)) for item in seen), len(seen))


def _input(view: InputView) -> dict[str, Any]:
    rule = PixelRule(fit=view.fit, background=view.background, range=view.range)
    return {"height": view.height, "width": view.width, "channels": view.channels, "rule": rule}


def _view(folder: DataSet, headers: Survey, recipe: Recipe, reporter: Reporter) -> tuple[InputView, Levels | None]:
    """Return what training would bring images to; float images without a range are shown by what is measured."""
    asked = recipe.data
    height, width = asked.image_size or bulk_size(headers)
    levels = None
    if headers.deep:
        with reporter.track("measuring levels", len(folder.train), "images") as advance:
            levels = measure_levels(folder.train, on_done=advance)
    ends = asked.range
    if ends is None and levels is not None:
        ends = (levels.low, levels.high if levels.high > levels.low else levels.low + 1)
    channels: Literal[1, 3] = (3 if headers.color else 1) if asked.channels == "auto" else asked.channels
    cut = cut_by_crop(headers, (height, width)).share if asked.fit == "crop" else 0.0
    return InputView(
        height=height, width=width, channels=channels, fit=asked.fit, background=asked.background, range=ends,
        cut_share=cut,
    ), levels  # fmt: skip


def _described(
    request: InspectionRequest,
    folder: DataSet,
    found: DataFound,
    headers: Survey,
    view: InputView,
    levels: Levels | None,
    seen: Mapping[str, list[Seen]],
) -> DataInspection:
    everything = [(name, item) for name, items in seen.items() for item in items]

    def named(split: str, place: int) -> ImageName:
        files = folder.splits[split]  # type: ignore[index]
        shown = _shown(files, place, request)
        return ImageName(split=split, label=folder.classes[files.labels[place]], file=shown)

    readable = [item for _, item in everything if not item.reason]
    return DataInspection(
        root=str(request.data),
        created_at=now(),
        hardener_version=__version__,
        found=found,
        headers=Headers(
            sizes=tuple(SizeCount(height=h, width=w, images=count) for (h, w), count in headers.sizes.items()),
            **{name: getattr(headers, name) for name in Headers.model_fields if name != "sizes"},
        ),
        drawn=tuple(map(str, folder.drawn)),
        bytes=sum(item.weight for _, item in everything),
        short_sides=_side_bins([min(item.size) for item in readable]),
        long_sides=_side_bins([max(item.size) for item in readable]),
        ratios=_bins([item.size[1] / item.size[0] for item in readable], [0.0, *_RATIOS, float("inf")]),
        levels=None if levels is None else MeasuredLevels(**vars(levels)),
        input=view,
        channels=_channels([item for item in seen["train"] if not item.reason], view.channels),
        brightness=_bins([item.brightness / 255 for item in readable], np.linspace(0, 1, 21).tolist()),
        bad=tuple(Remarked(image=named(s, i.place), reason=i.reason) for s, i in everything if i.reason),
        odd=tuple(
            Remarked(image=named(split, item.place), reason=reason)
            for split, items in seen.items()
            for item, reason in oddities(items)
        ),
        alike=_alike([(named(split, item.place), item) for split, item in everything if not item.reason]),
        advice=(),
    )


def _shown(files: ImageFiles, place: int, request: InspectionRequest) -> str:
    """Return a file as seen from the data's folder, or a table's, which `--ignore` takes; else its whole path."""
    where = Path(files.where(place))
    asked = None if request.reading is None else request.reading.images_root
    bases = [request.data, *([Path(asked)] if asked else [])]
    bases += [request.data.parent] if request.data.is_file() else []
    return next((where.relative_to(base).as_posix() for base in bases if where.is_relative_to(base)), str(where))


def _alike(images: Sequence[tuple[ImageName, Seen]]) -> tuple[Alike, ...]:
    """Return groups of images that are the same file, and of those that look nearly the same; leaks come first."""
    first_of: dict[bytes, int] = {}
    pairs = ((first_of.setdefault(item.digest, place), place) for place, (_, item) in enumerate(images))
    exact = joined((first, place) for first, place in pairs if first != place)
    rest = sorted(first_of.values())
    lengths = {len(item.mark) for _, item in images}  # of a large split only the digest is kept
    marks = b"".join(images[place][1].mark for place in rest) if lengths == {PRINT_BYTES} else b""
    prints = Prints(np.frombuffer(marks, np.uint8).reshape(-1, PRINT_BYTES))
    near = joined((rest[one], rest[other]) for one, other in near_pairs(prints))
    kinds: list[tuple[Likeness, list[tuple[int, ...]]]] = [("same file", exact), ("nearly the same", near)]
    found = []
    for likeness, members in kinds:
        for group in members:
            names = tuple(images[place][0] for place in group)
            leak, conflict = (len({getattr(name, key) for name in names}) > 1 for key in ("split", "label"))
            found.append(Alike(likeness=likeness, images=names, leak=leak, conflict=conflict))
    return tuple(sorted(found, key=lambda item: (not item.leak, not item.conflict)))


def _channels(seen: Sequence[Seen], count: int) -> tuple[Channel, ...]:
    if not seen:
        return ()
    counts = np.sum([item.counts for item in seen if item.counts is not None], axis=0)
    sums = np.sum([item.sums for item in seen if item.sums is not None], axis=0)
    ends = np.stack([item.ends for item in seen if item.ends is not None])
    pixels = counts.sum(axis=1)
    mean = sums[0] / pixels / 255
    std = np.sqrt(np.maximum(sums[1] / pixels / 255**2 - mean**2, 0))
    names = ("gray",) if count == 1 else ("red", "green", "blue")
    return tuple(
        Channel(
            name=name, mean=mean[place], std=std[place], low=ends[:, 0, place].min() / 255,
            high=ends[:, 1, place].max() / 255, histogram=tuple((counts[place] / pixels[place]).tolist()),
        )
        for place, name in enumerate(names)
    )  # fmt: skip


def _side_bins(sides: Sequence[int]) -> tuple[Bin, ...]:
    """Count sides in up to 20 bars of the same width, in whole pixels."""
    if not sides:
        return ()
    low, high = min(sides), max(sides)
    step = max(1, -(-(high - low + 1) // 20))
    return _bins(sides, [float(low + step * place) for place in range((high - low) // step + 2)])


def _bins(values: Sequence[float], edges: Sequence[float]) -> tuple[Bin, ...]:
    if not values:
        return ()
    inside = [*edges[:-1], np.nextafter(edges[-1], np.inf)]
    counts, _ = np.histogram(np.minimum(values, edges[-1]), inside)
    return tuple(
        Bin(low=low, high=min(high, 1e9), count=int(count))
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    )


def _pictures(
    record: DataInspection,
    folder: DataSet,
    present: Mapping[str, ImageFiles],
    view: InputView,
    request: InspectionRequest,
) -> Pictures:
    """Decode what is shown: it was not kept, since of a large data set it would not fit."""
    bad = {remark.image.file for remark in record.bad}
    classes = {}
    generator = torch.Generator().manual_seed(request.seed)
    pictured = Pictured(view.height, view.width, len(folder.train), view.channels == 3, folder.classes)
    settled, _ = settle(request.recipe, trained=False, side=min(view.height, view.width))
    recipe = settle_augmentation(settled, pictured, Silent(), told=request.recipe.augment.model_fields_set)
    for label, name in enumerate(folder.classes[:SHOWN_CLASSES]):
        own = [place for place, found in enumerate(folder.train.labels) if found == label]
        chosen = [own[place] for place in torch.randperm(len(own), generator=generator).tolist()]
        readable = [p for p in chosen if _shown(folder.train, p, request) not in bad][:SHOWN_IMAGES]
        images = [_decoded(folder.train, place, view) for place in readable]
        classes[name] = (images, _augmented(images, recipe, request.seed + label))
    places = {
        split: {_shown(files, place, request): place for place in range(len(files))} for split, files in present.items()
    }

    def picture(name: ImageName) -> NDArray[np.uint8]:
        return _decoded(present[name.split], places[name.split][name.file], view)

    alike = [[picture(name) for name in group.images[:4]] for group in record.alike[:SHOWN_PAIRS]]
    return Pictures(classes, alike, [picture(remark.image) for remark in record.odd[:SHOWN_PAIRS]])


def _decoded(files: ImageFiles, place: int, view: InputView) -> NDArray[np.uint8]:
    try:
        return decode_image(files.open(place), **_input(view))
    except (BadImage, OSError):  # it was read a moment ago
        return np.zeros((view.height, view.width, view.channels), np.uint8)


def _augmented(images: Sequence[NDArray[np.uint8]], recipe: Recipe, seed: int) -> list[NDArray[np.uint8]]:
    if not images:
        return []
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for augment in augmentations_of(recipe.augment.on()):
            batch = augment(batch)
    return list((batch * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())
