"""The names that model files give to what hardener knows: the number of classes, the channels, the size of images."""

from __future__ import annotations

import copy
import enum
import functools
import inspect
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from hardener.errors import HardenerError, did_you_mean

CLASS_COUNT = (
    "numclasses", "nclasses", "numclass", "nclass", "nbclasses", "nbclass", "classnum", "classcount", "classesnum",
    "numofclasses", "numofclass", "numberofclasses", "numcls", "ncls", "clsnum", "numlabels", "nlabels", "labelnum",
    "numcategories", "ncategories", "classes", "numtargets", "numoutputs", "noutputs", "numoutput", "nboutputs",
    "outfeatures", "outputdim", "outdim", "outputsize", "outsize", "nout", "cout", "outputs", "outputclasses",
    "targetsize", "outputfeatures", "numout", "dimout", "outputnum", "nbclasse", "categories", "klasses", "kclasses",
    "label", "nlabel", "numlabel", "nblabels", "nblabel", "numtypes", "nway", "nways", "numways",
    "classescount", "classescnt", "classcnt", "outclasses", "outclass", "numoutclasses", "outputclass",
    "outputshape", "outshape", "nc",
)  # fmt: skip
"""Spellings of the number of classes, without `_` and in lower case, the clearest first; `nc` is YOLO's, unless another
is there, or it is 1 or 3 by default, as channels are."""
CHANNELS = (
    "inchannels", "inchans", "inch", "inputchannels", "inputchannel", "inputchans", "inputch", "inchannel", "inchan",
    "numinputchannels", "ninputchannels", "imagechannels", "imgchannels", "imagechannel", "imgchannel", "imgch",
    "numinchannels", "ninchannels", "channelsin", "channelin", "inputnc", "inchs", "colorchannels", "numinchans",
    "inputdepth", "imgchans", "imagech", "imchannels",
)  # fmt: skip
MAYBE_CHANNELS = ("numchannels", "nchannels", "channels", "channel", "cin", "nc", "inc", "nchans", "chans", "colors")
IMAGE_SIZE = (
    "imagesize", "imgsize", "inputsize", "inputresolution", "resolution", "imgdim", "imagedim", "imgres", "imageres",
    "imsize", "size", "inputres", "inputimagesize", "inputimgsize", "imgwidth", "spatialsize", "imagewidth",
    "imgsz", "imsz", "imagesz", "inputsz", "imgside", "imageside", "inputside", "imres", "imdim", "picsize", "inpsize",
    "crop", "cropsize", "resize", "resizeto",
)  # fmt: skip
SIDES = {"imgh": 0, "imgheight": 0, "imageheight": 0, "inputheight": 0, "imgw": 1, "imgwidth": 1, "imagewidth": 1,
         "inputwidth": 1, "height": 0}  # fmt: skip
SHAPES = ("inputshape", "inshape", "imageshape", "imgshape", "inputdims", "imgdims", "imagedims", "shape", "chw",
          "datashape", "xshape")  # fmt: skip
FEATURES = (
    "infeatures", "inputdim", "indim", "inputsize", "inputfeatures", "ninputs", "numinputs", "nfeatures", "dimin",
    "ninput", "numfeatures", "insize", "inputs", "dinput", "din", "xdim", "xsize", "inpdim", "inpfeatures", "infeature",
    "numinputfeatures", "ninputfeatures", "inputfeaturesize", "infeats", "inputfeats", "datadim", "indims",
    "inputdimension", "inputdimensions", "inputunits", "ninputunits", "numinputunits", "inunits", "inputnodes",
    "ninputnodes", "inputneurons", "inputlayersize", "inputlen", "inputlength", "nvisible", "numpixels", "npixels",
    "pixels", "imgdim", "imagedim", "imgsize", "imagesize", "imsize", "imdim", "imgsz", "imsz", "imagesz", "inputsz",
    "inpsize",
)  # fmt: skip
"""Spellings of how many numbers an image holds; some of them may also be its side."""
_OF_WEIGHTS = (
    "pretrained", "weights", "pretrain", "usepretrained", "imagenetpretrained", "pretrainedweights", "usepretrain",
    "ispretrained", "loadpretrained", "withpretrained", "useweights", "loadweights", "imagenetweights",
)  # fmt: skip
OFF = (*_OF_WEIGHTS, "progress")
ON_GPU = ("usecuda", "cuda", "usegpu", "gpu", "cudaenabled", "withcuda", "ongpu", "enablecuda", "iscuda")
"""Switches by which code takes its own tensors to a GPU."""
HEADS = ("usefc", "withfc", "includetop", "usehead", "withhead", "useclassifier", "withclassifier", "classify")
"""Switches without which a network gives features and no classes."""
OF_IMAGES = (*IMAGE_SIZE, *SHAPES, *FEATURES, *SIDES, *OFF, "device")
"""What hangs on the images, the weights or the machine, and is not taken from elsewhere."""
_LARGEST_SIDE, _FEW_NUMBERS = 512, 1024
NO_DEFAULT = inspect.Parameter.empty


class Count(int):
    """A number of classes for code that takes a tensor's: `num_classes.item()`."""

    def item(self) -> int:
        """Return it as a plain number."""
        return int(self)


@dataclass(frozen=True)
class Making:
    """What is made afresh for each network that is built with it: a network changes the backbone that it is given."""

    make: Callable[[], Any]


def made(value: Any) -> Any:
    """Return what an argument stands for: what is made afresh, a copy of a list, which code may change, or itself."""
    return value.make() if isinstance(value, Making) else copy.deepcopy(value) if isinstance(value, list) else value


def built_with(builder: Callable[..., Any], way: Mapping[str, Any]) -> Any:
    """Call a class or a function with arguments by name."""
    return builder(**{name: made(value) for name, value in way.items()})


@dataclass(frozen=True)
class Facts:
    """What is known of the images and classes; `size` is height and width."""

    num_classes: int
    channels: int
    size: tuple[int, int] | None = None

    @property
    def numbers(self) -> int:
        """How many numbers an image holds."""
        return 0 if self.size is None else self.channels * self.size[0] * self.size[1]


@dataclass
class Takes:
    """What can be given to a class or a function by name, with defaults, `NO_DEFAULT` where there is none.

    `anything`: it has `**kwargs`; `positional`: names that are given by place only.
    """

    names: dict[str, Any]
    anything: bool = False
    positional: list[str] = field(default_factory=list)
    annotations: dict[str, Any] = field(default_factory=dict)

    def required(self) -> list[str]:
        """Return the names without a default."""
        return [name for name, default in self.names.items() if default is NO_DEFAULT]


def plain(name: str) -> str:
    """Return a name as the lists above have it."""
    return name.replace("_", "").lower()


def takes(value: Any) -> Takes | None:
    """Read a signature; None where there is none to read."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    found = Takes({})
    for p in parameters:
        if p.kind is inspect.Parameter.VAR_KEYWORD:
            found.anything = True
        elif p.kind is not inspect.Parameter.VAR_POSITIONAL:
            bound = isinstance(value, functools.partial) and p.name in value.keywords
            found.names[p.name] = p.default if not bound else value.keywords[p.name]
            found.annotations[p.name] = p.annotation
            if p.kind is inspect.Parameter.POSITIONAL_ONLY:
                found.positional.append(p.name)
    return found


def size_names(taken: Takes) -> list[str]:
    """Return the arguments that are the size of the images."""
    return [name for name in taken.names if plain(name) in IMAGE_SIZE]


def class_count_name(taken: Takes) -> str | None:
    """Return the argument that is the number of classes."""
    spelled = {
        plain(name): name
        for name, default in reversed(taken.names.items())
        if _may_be_number(default) and not (plain(name) in MAYBE_CHANNELS and default in (1, 3))
    }
    return next((spelled[known] for known in CLASS_COUNT if known in spelled), None)


def known_arguments(taken: Takes, facts: Facts, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what can be given without guessing: what the user gives, and what the images and classes say."""
    found: dict[str, Any] = {}
    count = class_count_name(taken)
    for name, default in taken.names.items():
        if name in given:
            continue
        needed, word = default is NO_DEFAULT, plain(name)
        if name == count or (needed and word in CLASS_COUNT and word not in MAYBE_CHANNELS):
            found[name] = facts.num_classes
        elif word in CHANNELS or (word in MAYBE_CHANNELS and (needed or default in (1, 3))):
            if needed or default is None or (isinstance(default, int) and default in range(1, 5)):
                found[name] = facts.channels
        elif needed and word in SHAPES and taken.annotations.get(name) in (int, "int"):
            found[name] = facts.channels  # a shape that is one number
        elif needed:
            found |= _needed(name, word, facts)
        elif facts.size is not None and word in (*IMAGE_SIZE, *SHAPES) and _is_shape(default):
            found[name] = type(default)(_shape_like(default, facts))
        elif word == "device" and "cuda" in str(default) and not torch.cuda.is_available():
            found[name] = "cpu"
        elif word in ON_GPU and default is True:
            found[name] = torch.cuda.is_available()
        elif word in HEADS and default is False and count is not None:
            found[name] = True
        elif word in _OF_WEIGHTS and (default is True or isinstance(default, str | enum.Enum)):
            found[name] = False if isinstance(default, bool) else None
    return {**found, **given}


def switched_off(taken: Takes | None, way: object, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return, as `pretrained=False`, what keeps a builder from fetching weights that it would have by default."""
    if taken is None or not isinstance(way, Mapping):
        return ()
    named = [name for name, value in way.items() if plain(name) in _OF_WEIGHTS and not value and name not in given]
    return tuple(f"{name}={way[name]}" for name in named if taken.names.get(name, NO_DEFAULT) is not NO_DEFAULT)


def replaced_defaults(taken: Takes | None, way: object, given: Container[str]) -> tuple[str, ...]:
    """Return, as `num_classes=3 in place of 10`, what is given to a builder in place of its own defaults.

    Args:
        given: names that the user has given a value.
    """
    if taken is None or not isinstance(way, Mapping):
        return ()
    both = [(name, value, taken.names.get(name, NO_DEFAULT)) for name, value in way.items() if name not in given]
    plainly = (bool, int, float, str, tuple, list, type(None))
    return tuple(
        f"{name}={value!r} in place of {default!r}"
        for name, value, default in both
        if plain(name) not in OFF and isinstance(value, plainly) and isinstance(default, plainly) and value != default
    )


def ways_to_build(taken: Takes, facts: Facts, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the arguments to try, the plainest first; later ones tell the size of the images, which have a default,
    or count their pixels.

    None of them holds an argument that nothing is known of.
    """
    base = known_arguments(taken, facts, given)
    ways = [base]
    if facts.size is None:
        return ways
    height, width = facts.size
    asked = [n for n in taken.names if n not in base]
    flat = [n for n in asked if plain(n) in FEATURES and plain(n) not in IMAGE_SIZE]
    sized = [n for n in size_names(taken) if n in asked]
    if flat:
        ways.append({**base, **dict.fromkeys(flat, facts.numbers)})
    if sized:
        ways.append({**base, **dict.fromkeys(sized, height if height == width else facts.size)})
        ways.append({**base, **dict.fromkeys(sized, facts.size)})
    open_ones = [n for n in base if n not in given and taken.names.get(n) is NO_DEFAULT]
    needed = {n: meanings(n, facts, taken.annotations.get(n)) for n in open_ones}
    for place in range(1, max(map(len, needed.values()), default=0)):
        ways.append({**base, **{n: values[place] for n, values in needed.items() if place < len(values)}})
    few = facts.numbers <= _FEW_NUMBERS  # networks loop over pairs of pixels of a side that they are given
    both = [n for n in sized if plain(n) in FEATURES and (few or not _is_side(taken.names[n]))]
    if both:
        ways.append({**base, **dict.fromkeys(both, facts.numbers)})
    return ways


def _is_side(default: Any) -> bool:
    """Is a default one side of images, rather than how many pixels these have?"""
    return isinstance(default, int) and 0 < default <= _LARGEST_SIDE


def meanings(name: str, facts: Facts, kind: Any = None) -> list[Any]:
    """Return what an argument may be by its name, the likeliest first; nothing where nothing is known of it.

    Args:
        kind: its annotation.
    """
    known, word = known_arguments(Takes({name: NO_DEFAULT}, annotations={name: kind}), facts, {}), plain(name)
    if name not in known or facts.size is None:
        return list(known.values())
    others: list[Any] = [*shapes_of(facts), facts.channels, facts.numbers] if word in SHAPES else []
    if word in IMAGE_SIZE:
        others = [facts.size, *([facts.numbers] if word in FEATURES else [])]
    elif word in FEATURES and word.startswith(("input", "x")):
        others = [facts.channels]
    return [known[name], *(one for one in others if one != known[name])]


def shapes_of(facts: Facts) -> list[tuple[int, ...]]:
    """Return what the shape of an image may be besides (channels, height, width)."""
    if facts.size is None:
        return []
    return [facts.size, (*facts.size, facts.channels), (1, facts.channels, *facts.size)]


def check_given(taken: Takes, given: Mapping[str, Any], who: str) -> None:
    """See that what the user gives is taken.

    Raises:
        HardenerError: it is not.
    """
    for name in given:
        if name not in taken.names and not taken.anything:
            known = ", ".join(taken.names) or "no arguments"
            raise HardenerError(
                f"--model-arg {name}: {who} does not take it. It takes {known}.{did_you_mean(name, taken.names)}"
            )


def _needed(name: str, word: str, facts: Facts) -> dict[str, Any]:
    if word in OFF:
        return {name: None if word in {"weights", "imagenetweights", "pretrainedweights"} else False}
    if word == "device":
        return {name: "cpu"}
    if word in ON_GPU:
        return {name: torch.cuda.is_available()}
    if facts.size is None:
        return {}
    height, width = facts.size
    if word in IMAGE_SIZE:
        return {name: height if height == width else facts.size}
    if word in SIDES:
        return {name: facts.size[SIDES[word]]}
    if word in SHAPES:
        return {name: (facts.channels, height, width)}
    if word in FEATURES:
        return {name: facts.numbers}
    return {}


def _is_shape(default: Any) -> bool:
    """Is a default the shape of an image, with its channels?"""
    return isinstance(default, tuple | list) and len(default) == 3 and all(type(one) is int for one in default)


def _shape_like(default: Any, facts: Facts) -> tuple[int, ...]:
    """Return the shape of the images with the channels where a default has them."""
    assert facts.size is not None, "asked for only then"
    last = default[2] in (1, 3) and default[0] not in (1, 3)
    return (*facts.size, facts.channels) if last else (facts.channels, *facts.size)


def _may_be_number(default: Any) -> bool:
    return default is NO_DEFAULT or default is None or (isinstance(default, int) and not isinstance(default, bool))
