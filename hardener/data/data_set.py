"""A path -> the splits of a data set, by whichever source knows the path."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from hardener.config.data_path import is_there
from hardener.config.reading import AS_FOUND, Reading, ignoring
from hardener.data import together
from hardener.data.ambiguity import NoImages, some
from hardener.data.brought import Brought, Group, SplitName
from hardener.data.class_names import refuse_alike, refuse_others
from hardener.data.conversions import CONVERSIONS
from hardener.data.conversions._made import just_below
from hardener.data.conversions.run import conversion_of
from hardener.data.drawing import draw_split
from hardener.data.file_kind import EXTENSIONS
from hardener.data.image_files import ImageFiles
from hardener.data.layout import UNLABELLED
from hardener.data.names import digest_of
from hardener.data.sources import SOURCES
from hardener.data.sources.archive import really
from hardener.data.tables.finding import root_of_split
from hardener.data.tree import telling
from hardener.errors import HardenerError
from hardener.progress import SILENT, Reporter
from hardener.words import listed, plain


class Source(Protocol):
    """One way in which people keep labelled images. It decodes no image; `data_set` draws the splits that it lacks."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path is of this kind."""
        ...

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images of each split, or all of data that is not divided, with the names of their classes.

        Raises:
            HardenerError: no images, or no way to tell their classes or splits.
        """
        ...


@dataclass(frozen=True)
class DataSet:
    """The splits of a data set; `test` is None where the data brings a train split and no test split.

    Attributes:
        brought: what the source gave.
        drawn: the splits that were drawn by the seed.
        sources: for each split, where it comes from.
    """

    classes: tuple[str, ...]
    train: ImageFiles
    validation: ImageFiles
    test: ImageFiles | None
    brought: Brought
    drawn: tuple[SplitName, ...] = ()
    sources: Mapping[SplitName, str] = field(default_factory=dict)

    @property
    def splits(self) -> dict[SplitName, ImageFiles]:
        """Those that there are."""
        found: dict[SplitName, ImageFiles] = {"train": self.train, "validation": self.validation}
        return found if self.test is None else {**found, "test": self.test}

    def listings(self) -> dict[str, str]:
        """Return, for each split that there is, the sha256 over the names of its images."""
        return {name: digest_of(files.paths) for name, files in self.splits.items()}


def read_data_set(
    root: Path,
    *,
    reading: Reading = AS_FOUND,
    validation_root: Path | None = None,
    test_root: Path | None = None,
    seed: int = 0,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    reporter: Reporter = SILENT,
) -> DataSet:
    """Find classes and splits; no image is opened.

    Splits that the data brings are taken as they stand. Where it brings train and no validation, that is drawn from
    train. Where it is not divided, validation and test are both drawn. Draws take the same share of each class and
    depend on seed and names alone, so a later call with the same images finds the same splits.

    Args:
        root: what one of `SOURCES` knows.
        reading: how the user asks for it to be read.
        validation_root, test_root: others, not divided, to use as the validation and the test split.
        val_fraction, test_fraction: the share of each class that is drawn, in (0, 0.5).
        reporter: told how many files were listed.
    Raises:
        HardenerError: no such path, no source knows it, no images, one class, a class without images or with too few
            to split, or classes that differ between splits.
    """
    with reporter.track("listing", 0, "files") as advance, telling(advance):
        brought = read_source(root, reading.beside(validation_root, test_root))
    splits = brought.splits
    divided = "train" in splits
    if not divided and None not in splits:
        raise HardenerError(_no_training(root, splits))
    training = splits["train" if divided else None]
    classes = _classes(root, brought, training)
    others = {split: group for split, group in splits.items() if split not in (None, "train")}
    elsewhere: dict[SplitName, Path | None] = {"validation": validation_root, "test": test_root}
    others |= {
        name: _only_group(place, name, _counted_from(place, name, root, reading.of_one_split()))
        for name, place in elsewhere.items()
        if place is not None
    }
    refuse_alike({str(training.root): training.classes, **{str(g.root): g.classes for g in others.values()}})
    train, groups = training.labelled(classes), together.groups_of(training, reading)
    test = _like(others["test"], classes) if "test" in others else None
    validation = _like(others["validation"], classes) if "validation" in others else None
    if not divided and test is None:
        train, test, groups = draw_split(train, classes, test_fraction, f"{seed}/test", groups)
    if validation is None:
        train, validation, _ = draw_split(train, classes, val_fraction, f"{seed}/validation", groups)
    by_seed: tuple[SplitName, ...] = () if divided or "test" in others else ("test",)
    if "validation" not in others:
        by_seed = ("validation", *by_seed)
    sources: dict[SplitName, str] = {"train": training.source or "what was not drawn"}
    sources |= {split: group.source for split, group in others.items() if split}
    shares = {"validation": val_fraction, "test": test_fraction}
    sources |= {split: together.drawn_as(shares[split], reading) for split in by_seed}
    sources |= {name: str(place) for name, place in elsewhere.items() if place is not None}
    doubts = (*_still_open(brought.doubts, elsewhere), *_unused(brought, classes), *together.shared(brought, reading))
    return DataSet(classes, train, validation, test, replace(brought, doubts=doubts), by_seed, sources)


@dataclass(frozen=True)
class HeldOut:
    """Images to evaluate a model on.

    Attributes:
        split: `test` or `validation` where the data brings one, else `all`, every image there is.
        brought: what the source gave.
    """

    classes: tuple[str, ...]
    files: ImageFiles
    split: Literal["test", "validation", "all"]
    brought: Brought
    source: str


def read_held_out(
    root: Path, reading: Reading = AS_FOUND, *, known: tuple[str, ...] = (), reporter: Reporter = SILENT
) -> HeldOut:
    """Find images to evaluate a model on.

    Args:
        known: the classes of the model, where they are known; the images may lack some of them.
        reporter: told how many files were listed.
    Raises:
        HardenerError: as `read_data_set`; or an image of a class that the model does not know.
    """
    with reporter.track("listing", 0, "files") as advance, telling(advance):
        brought = read_source(root, reading)
    order: tuple[SplitName | None, ...] = ("test", "validation", None)
    split = next((split for split in order if split in brought.splits), None)
    splits = brought.splits
    inner = root if split in splits else splits["train"].root
    if split not in splits and not (splits["train"].source.endswith("/") and inner.is_dir()):  # no folder to name
        splits = {None: splits["train"]}
    if split not in splits:
        raise HardenerError(
            f"{root} has a train split and no other. To evaluate on its images, pass --data {shlex.quote(str(inner))}."
        )
    assert split != "train", "it is none of those asked for"
    group = splits[split]
    training = brought.splits.get("train", group)  # a test may lack classes that a model knows
    learned = known or training.classes
    refuse_alike({("the model's" if known else str(training.root)): learned, str(group.root): group.classes})
    empty = tuple(name for name in group.empty if training is group or name not in training.classes)
    whole = replace(group, names=tuple(training.classes | group.classes), empty=empty)
    classes = known or _classes(root, brought, whole, training=False)
    files = _like(group, known, "the model was trained on") if known else group.labelled(classes)
    return HeldOut(classes, files, split or "all", brought, group.source or "every image there is")


def read_source(root: Path, reading: Reading) -> Brought:
    """Return what a path holds, by whichever source knows it.

    Raises:
        HardenerError: no such path, no source knows it, or the source cannot read it.
    """
    name, source = source_of(root)
    try:
        brought = source.read(root, reading)
    except NoImages as error:
        raise HardenerError(f"{error}{_held(root)}") from None
    return replace(
        brought,
        splits={split: group.in_text() for split, group in brought.splits.items()},
        classes=None if brought.classes is None else tuple(map(plain, brought.classes)),
        kind=brought.kind or name,
    )


def _still_open(doubts: Sequence[str], elsewhere: Mapping[SplitName, Path | None]) -> tuple[str, ...]:
    """Return the doubts whose advice, to pass a split, was not followed."""
    options: dict[SplitName, str] = {"validation": "--val", "test": "--test"}
    asked = [options[split] for split, place in elsewhere.items() if place is not None]
    return tuple(doubt for doubt in doubts if not any(f": pass {option} " in doubt for option in asked))


def say_how(folder: DataSet, reporter: Reporter) -> None:
    """Say how data was read, where that is not plain, and warn of what the user must look at."""
    for note in folder.brought.notes:
        reporter.say(note)
    for doubt in folder.brought.doubts:
        reporter.warn(doubt)


def source_of(root: Path) -> tuple[str, Source]:
    """Return the name of the first of `SOURCES` that knows a path, and the source.

    Raises:
        HardenerError: no such path, or none does.
    """
    if not is_there(root):
        raise HardenerError(f"no such {'file' if root.suffix else 'folder'}: {root}.")
    if root.exists() and root.resolve() == Path(root.anchor or "/").resolve():
        raise HardenerError(f"{root} is the whole file system. Name the folder that holds the images.")
    for name, entry in sorted(SOURCES.items(), key=lambda item: item[0] == "image-folder"):
        source: Source = entry.load()()
        if source.recognises(root):
            return name, source
    if root.suffix.lower() in EXTENSIONS:
        raise HardenerError(f"{root} is one image. Pass the folder that holds its class's folder and the others'.")
    known = "; ".join(entry.line for name, entry in SOURCES.items() if name != "foreign")
    raise HardenerError(f"{root} is a file that no source of images knows.{really(root)} Pass {known}.")


def _held(root: Path) -> str:
    """Name what another source would read, one or two folders below: cifar-10-batches-bin/, MNIST/raw/, data.npz."""
    for path in just_below(root):
        for name, entry in SOURCES.items():
            source: Source = entry.load()()
            if name in {"image-folder", "archive", "foreign", "manifest"}:
                continue
            if source.recognises(path):
                return f" It holds {entry.line}: pass --data {shlex.quote(str(path))}."
        if (found := conversion_of(path)) is not None:
            return (
                f" {path} holds {CONVERSIONS[found[0]].line}: pass --data {shlex.quote(str(path))} to be told the way."
            )
    return ""


def _classes(root: Path, brought: Brought, group: Group, *, training: bool = True) -> tuple[str, ...]:
    """Return the classes that a model is to know.

    Raises:
        HardenerError: fewer than two, or one without images.
    """
    if group.empty:
        shown = listed(group.empty, 5)
        raise HardenerError(
            f"{group.root} has class folders without images: {shown}.{_left_in(brought, group.empty)} Fill them or "
            f"remove them, or pass {ignoring(group.empty)}."
        )
    classes = tuple(sorted(group.classes)) if brought.classes is None else brought.classes
    missing = sorted(set(classes) - group.classes)
    if missing and len(missing) == len(classes):
        raise HardenerError(f"{root} names classes without an image: {listed(missing, 5)}.")
    if training:
        classes = tuple(name for name in classes if name not in missing)
    if len(classes) == 1:
        raise HardenerError(
            f"{group.root} has one class, {classes[0]!r}; a classifier needs two or more."
            + _beside(root, brought, classes)
        )
    return classes


def _unused(brought: Brought, classes: tuple[str, ...]) -> list[str]:
    """Say which classes the data names that no training image has."""
    unused = [name for name in brought.classes or () if name not in classes]
    return [f"no training image has the class {listed(unused, 5)}, so the model does not learn it"] if unused else []


def _left_in(brought: Brought, folders: Sequence[str]) -> str:
    """Say what lies in folders and is not read."""
    found = [
        str(fact)
        for fact in brought.left_out
        if any(name.split("/")[-2:-1] == [folder] for folder in folders for name in fact.first)
    ]
    return f" Left out: {'; '.join(found)}." if found else ""


def _beside(root: Path, brought: Brought, classes: tuple[str, ...]) -> str:
    """Say where other classes may be, where the data has one."""
    loose = next((fact for fact in brought.left_out if fact.reason == UNLABELLED), None)
    if loose is not None:
        return f" {loose}: put them into a folder, if they are another class."
    for group in brought.splits.values():
        if (more := group.classes - set(classes)) and group.root.is_dir() and group.root != root:
            return f" {group.root} has {some(more)} besides: --data {shlex.quote(str(group.root))} divides that anew."
    return ""


def _no_training(root: Path, splits: Mapping[SplitName | None, Group]) -> str:
    """Say that there are splits and none to train on."""
    start = f"{root} has a {' and a '.join(sorted(map(str, splits)))} split but no train"
    if all(group.source.endswith("/") for group in splits.values()):
        return (
            f"{start}/. Put training images in {root}/train/CLASS/, or, if these are class names, rename the class "
            "folders: no class may be called so."
        )
    told = ", ".join(dict.fromkeys(group.source for group in splits.values() if group.source))
    return f"{start} split{f', by {told}' if told else ''}. Name images to train on, or pass these by --val or --test."


def _counted_from(place: Path, split: SplitName, root: Path, reading: Reading) -> Reading:
    """Return how a table of another split is read: its own folder comes first, then that of its split beside the
    training images' `--images-root`, and then that one."""
    if reading.images_root is None or not place.is_file():
        return reading
    ways = [reading.elsewhere()] if place.parent.absolute() != root.parent.absolute() else []
    if (beside := root_of_split(reading.images_root, split)) is not None:
        ways.append(reading.model_copy(update={"images_root": beside}))
    for way in ways:
        with contextlib.suppress(HardenerError):
            read_source(place, way)
            return way
    return reading


def _only_group(root: Path, name: SplitName, reading: Reading) -> Group:
    """Return the images of a path that is to be one split."""
    splits = read_source(root, reading).splits
    group = splits.get(None) or splits.get(name) or (next(iter(splits.values())) if len(splits) == 1 else None)
    if group is None:
        first = next(iter(splits.values()))
        names = ", ".join(sorted(str(split) for split in splits))
        advice = (
            f"Pass one of them, such as {shlex.quote(str(first.root))}."
            if first.root.is_dir()
            else "Pass images of one split."
        )
        raise HardenerError(f"{root} holds several splits ({names}), and none is called {name}. {advice}")
    return group


def _like(group: Group, classes: tuple[str, ...], known_as: str = "the training images") -> ImageFiles:
    """Return a split's images; it may lack classes, but not bring new ones."""
    refuse_others(str(group.root), group.classes, classes, known_as)
    return group.labelled(classes)
