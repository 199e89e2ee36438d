"""What to do about what was found in a data set: each piece with the command to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import numpy as np

from hardener.config.data_findings import are_uneven
from hardener.config.inspection_record import Advice, Alike, DataInspection
from hardener.config.reading import ignoring
from hardener.config.schema import Data
from hardener.data.input_rule import DEFAULT_SIZE, MANY
from hardener.data.levels import FLOAT, SHALLOW
from hardener.data.look import CLEAR
from hardener.words import percent

_FEW_IGNORED = 4
_FEW_TESTED = 100
_SMALL = 0.5  # of the input's side: images of less are mostly made up of what scaling invents
_LARGE = 512
_SQUEEZED = 4
_WAY = re.compile(r"((?:--(?:ignore|label-from) (?:'[^']*'|[^\s',;]+) ?)+)(?: leaves|,|$)")
"""The options that a doubt about names ends with."""


def advice_on(found: DataInspection, place: str, asked: Data) -> tuple[Advice, ...]:
    """Return what to do, the graver first; the last piece is how to go on.

    Args:
        place: where the images lie and how they are read, as words of a command line.
        asked: what the recipe says of them.
    """
    train = f"hardener train MODEL --data {place}"
    pieces = [
        *_wrong_images(found, train),
        *_doubtful_names(found, train),
        *_pixels(found, asked, train),
        *_amounts(found, asked, train),
    ]
    grave = [piece for piece in pieces if piece.grave]
    light = [piece for piece in pieces if not piece.grave]
    return (*grave, *light, Advice(text="Train on it; MODEL is your model file or torchvision:NAME.", command=train))


def _inspecting(train: str) -> str:
    """Return the command that looks at the data that `train` trains on."""
    return train.replace("train MODEL --data", "inspect", 1)


def _wrong_images(found: DataInspection, train: str) -> Iterator[Advice]:
    """What makes figures wrong: leaks, conflicts, and images that cannot be read."""
    leaks = [group for group in found.leaks if not group.conflict]
    if leaks:
        near = sum(group.likeness != "same file" for group in leaks)
        told = f", {near:,} of them nearly" if near else ""
        text = (
            f"{_lie(len(leaks))} in more than one split{told}: a model is judged by what it was trained on. "
            "--dedupe leaves them out there, for eval too."
        )
        yield Advice(text=text, command=f"{train} --dedupe", grave=True)
    exact = [group for group in found.conflicts if group.likeness == "same file"]
    near = len(found.conflicts) - len(exact)
    if exact:
        text = f"{_lie(len(exact))} in more than one class: one of them is wrong."
        yield Advice(text=text, command=_ignoring(exact, found, train), grave=True)
    if near:
        groups = f"{near:,} groups" if near > 1 else "A group"
        text = f"{groups} of nearly the same images in more than one class. Look: they may differ in what counts."
        yield Advice(text=text, command=f"{_inspecting(train)} --html found.html")
    if found.bad:
        bad = {bad.image.file for bad in found.bad if bad.image.split == "train"}
        some = len(bad) < found.found.splits["train"].images
        text = f"{len(found.bad):,} of {found.total:,} images cannot be read. "
        text += "Repair them, or leave them out." if some else "Repair or convert them: nothing is left to train on."
        way = f"{train} --skip-bad-images" if some else _inspecting(train)
        yield Advice(text=text, command=way, grave=True)


def _doubtful_names(found: DataInspection, train: str) -> Iterator[Advice]:
    """What names let doubt, where an option settles it; masks among images are graver than another reading."""
    for doubt in found.found.doubts:
        way = _WAY.search(doubt)
        if way is not None:
            text = f"{doubt[: way.start()].removesuffix('pass ').rstrip(' ,:;')}."
            yield Advice(text=text, command=f"{train} {way[1].strip()}", grave=" taken for images" in doubt)


def _lie(count: int) -> str:
    return f"{count:,} images lie" if count > 1 else "1 image lies"


def _ignoring(groups: list[Alike], found: DataInspection, train: str) -> str:
    """Leave out all images of some groups; where they are many, name them in a file."""
    names = [image.file for group in groups for image in group.images]
    if len(names) > _FEW_IGNORED:
        return f"{_inspecting(train)} --json found.json"
    return f"{train} {ignoring(dict.fromkeys(names))}"


def _pixels(found: DataInspection, asked: Data, train: str) -> Iterator[Advice]:
    view = found.input
    if view.fit == "crop" and view.cut_share > MANY:
        text = (
            f"The crop to {view.height}x{view.width} takes more than a fifth of the area from "
            f"{percent(view.cut_share)} of the images. A letterbox keeps all of each."
        )
        yield Advice(text=text, command=f"{train} --set data.fit=letterbox")
    if found.levels is not None and asked.range is None:
        yield _range_advice(found, train)
    flat = [remark for remark in found.odd if remark.reason == CLEAR]
    if flat:
        other = "black" if view.background == (255, 255, 255) else "white"
        text = (
            f"{len(flat):,} image{'s with alpha are' if len(flat) > 1 else ' with alpha is'} of one single colour over "
            "the background. Another one may show what is there."
        )
        yield Advice(text=text, command=f"{train} --set data.background={other}", grave=len(flat) > found.total / 100)
    yield from _size_advice(found, asked, train)
    if view.channels == 3 and _is_gray(found):
        text = "The images are stored in colour and show none: a model of one channel does with a third of the pixels."
        yield Advice(text=text, command=f"{train} --set data.channels=1")


def _range_advice(found: DataInspection, train: str) -> Advice:
    levels = found.levels
    assert levels is not None
    ends = f"{levels.low:.7g},{levels.high:.7g}"
    deep = {depth: count for depth, count in found.headers.depths.items() if depth not in SHALLOW}
    if FLOAT in deep and len(deep) > 1:
        kinds = " and ".join(f"{count:,} of {depth}" for depth, count in deep.items())
        text = (
            f"Levels are of several kinds ({kinds}), and one range serves all of them: convert one kind into the "
            "other, or leave it out."
        )
        told = found.headers.formats.get("TIFF") == deep[FLOAT]  # the ending tells them
        return Advice(text=text, command=f"{train} --ignore {shlex.quote('*.tif*') if told else 'PATTERN'}", grave=True)
    if found.headers.depths.get("float"):
        text = f"The images have float pixels. Say which values are black and white; they reach from {ends}."
        return Advice(text=text.replace(",", " to "), command=f"{train} --range {ends}", grave=True)
    low, high = levels.bulk
    if high > low and levels.high - levels.low > _SQUEEZED * (high - low):
        text = f"99 % of the levels lie between {low:.7g} and {high:.7g}, a small part of their range."
        return Advice(text=text, command=f"{train} --range {low:.7g},{high:.7g}", grave=True)
    text = f"Levels from {levels.low:.7g} to {levels.high:.7g} become 0 to 255, as measured. Fix them for later data."
    return Advice(text=text, command=f"{train} --range {ends}")


def _size_advice(found: DataInspection, asked: Data, train: str) -> Iterator[Advice]:
    sizes = found.headers.sizes
    if asked.image_size is not None or not sizes:
        return
    sides = np.repeat([min(size.height, size.width) for size in sizes], [size.images for size in sizes])
    usual, side = int(np.median(sides)), min(found.input.height, found.input.width)
    if usual < _SMALL * side:
        text = f"Half of the images have a short side of {usual} pixels or less, and {side} are made of it."
        yield Advice(text=text, command=f"{train} --image-size {max(8, usual)}")
    elif side > _LARGE:
        text = f"The images keep their size, {found.input.height}x{found.input.width}: a step takes long."
        yield Advice(text=text, command=f"{train} --image-size {DEFAULT_SIZE}")


def _is_gray(found: DataInspection) -> bool:
    histograms = {channel.histogram for channel in found.channels}
    return len(found.channels) == 3 and len(histograms) == 1


def _amounts(found: DataInspection, asked: Data, train: str) -> Iterator[Advice]:
    counts = found.found.splits["train"].classes
    most, least = max(counts, key=lambda name: counts[name]), min(counts, key=lambda name: counts[name])
    if are_uneven(counts.values()) and asked.balance == "none":
        text = (
            f"{most!r} has {counts[most]:,} training images and {least!r} {counts[least]:,}: accuracy is mostly that "
            "of the large classes. Show all equally often, and look at balanced accuracy."
        )
        yield Advice(text=text, command=f"{train} --set data.balance=sampler")
    tested = found.splits.get("test", found.splits["validation"])
    if tested < _FEW_TESTED:
        text = f"{tested} images to test on give wide intervals; a larger share makes them narrower."
        if "test" in found.drawn:
            yield Advice(text=text, command=f"{train} --set data.test_fraction=0.3")
