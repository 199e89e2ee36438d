"""Classes, functions, networks and objects that an argument may be, by names that `--model-arg` finds."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from hardener.errors import HardenerError
from hardener.models.choosing.by_name import named_by
from hardener.models.choosing.candidates import Candidate, candidates_of
from hardener.models.choosing.guesses import Guess
from hardener.models.choosing.wanted import methods_of, takes_network
from hardener.models.code.argument_use import is_called_with, words_of
from hardener.models.code.arguments import Making, plain
from hardener.models.code.model_file import Imported
from hardener.models.code.source_code import is_network_class

_LAYERS = (
    ("norm", ("nn.BatchNorm2d", "nn.LayerNorm")),
    ("bn", ("nn.BatchNorm2d",)),
    ("batchnorm", ("nn.BatchNorm2d",)),
    ("act", ("nn.ReLU",)),
    ("nonlin", ("nn.ReLU",)),
    ("relu", ("nn.ReLU",)),
    ("conv", ("nn.Conv2d",)),
    ("linear", ("nn.Linear",)),
    ("fc", ("nn.Linear",)),
    ("pool", ("nn.MaxPool2d",)),
    ("drop", ("nn.Dropout",)),
)
"""How arguments begin or end that layers are given to, and these, which torch has."""
_BACKBONE = ("backbone", "encoder", "model", "net", "network", "trunk", "extractor", "features", "base", "arch", "cnn")
_RESNET = "torchvision.models.resnet18"
_BLOCKS = ("block", "unit", "cell", "bottleneck", "blocks", "blocktype")
_ENDS = re.compile(r"_?(layer|class|cls|type|fn|func|function|module|builder)$")
_MOST = 6


def named_guesses(name: str, candidate: Candidate, found: Imported) -> list[Guess]:
    """Return what an argument may be that is for a class, a function, a network or an object with methods, the
    likeliest first; nothing where it is for a value."""
    value, taken = candidate.value, candidate.takes
    if words_of(name, value):
        return []
    if is_called_with(name, value):
        if _is_backbone(name):
            return [*_makers(candidate, found), *_resolved([_RESNET], found)]
        alike = [] if candidate.takes is None else _alike(name, candidate, found)
        return [*alike, *_resolved(_layers(name), found)]
    if takes_network(name, value, taken):
        rest = [_RESNET] if _is_backbone(name) else [_RESNET, "nn.Identity"]  # without a backbone it is another network
        texts = [f"{text}()" for text in _layers(name) or rest]
        return [*_made_by(_makers(candidate, found)), *_resolved(texts, found)]
    methods = methods_of(name, value)
    return list(_objects(methods, found))[:_MOST] if methods else []


def resolved(text: str, found: Imported) -> Guess | None:
    """Return what a text names, or calls, as a guess: by the name alone, where the file has it under that."""
    name, bracket, given = text.partition("(")
    module, _, bare = name.rpartition(".")
    own = vars(found.module).get(bare)
    lies_in = (getattr(own, "__module__", None) or "").removeprefix("hardener_user_model_")
    if callable(own) and not isinstance(own, nn.Module) and lies_in.rpartition(".")[2] == module.rpartition(".")[2]:
        text = f"{bare}{bracket}{given}"
        if not bracket:
            return Guess(own, text, named=True)
    with contextlib.suppress(HardenerError):
        value = named_by(text, found)
        if value is not None and not type(value).__module__.startswith("_pytest"):  # a fixture
            return Guess(value, text.removeprefix("torch.") if text.startswith("torch.nn.") else text, named=True)
    return None


def _resolved(texts: list[str], found: Imported) -> list[Guess]:
    return [guess for text in dict.fromkeys(texts) if (guess := resolved(text, found)) is not None]


def _layers(name: str) -> list[str]:
    """Return the layers of torch that an argument may be for, by its name."""
    parts, word = name.lower().split("_"), plain(name)
    if word.endswith(_BLOCKS):
        return []
    return [one for part, layers in _LAYERS if word.startswith(part) or part in parts for one in layers]


def _alike(name: str, candidate: Candidate, found: Imported) -> list[Guess]:
    """Return the file's own functions and classes that are called like an argument: `conv3x3` for `conv_layer`."""
    word = _ENDS.sub("", name.lower())
    own = [
        (key, one) for key, one in vars(found.module).items() if getattr(one, "__module__", "") == found.module.__name__
    ]
    made = [
        (key, one) for key, one in own if inspect.isfunction(one) or (is_network_class(one) and "block" not in word)
    ]
    alike = [(key, one) for key, one in made if word and word in plain(key) and one is not candidate.value]
    return [Guess(one, key, named=True) for key, one in alike][:_MOST]


def _is_backbone(name: str) -> bool:
    return plain(name).endswith(_BACKBONE) or plain(name).startswith(_BACKBONE[:2])


def _makers(candidate: Candidate, found: Imported) -> list[Guess]:
    """Return the file's own networks that build without arguments, and that are no part of this one's users."""
    others = [one for one in candidates_of(found) if one.name != candidate.name and one.takes is not None]
    free = [one for one in others if one.takes is not None and not one.takes.required()]
    usable = [one for one in free if id(candidate.value) not in one.uses and not isinstance(one.value, nn.Module)]
    return [Guess(one.value, one.name, named=True) for one in usable][:_MOST]


def _made_by(makers: list[Guess]) -> list[Guess]:
    return [Guess(Making(one.value), f"{one.text}()", named=True) for one in makers]


def _objects(methods: set[str], found: Imported) -> Iterator[Guess]:
    """Yield objects of the user's own classes that have these methods, and are made without arguments."""
    seen = set[int]()
    for name, owner in _classes(found):
        if id(owner) in seen or not methods <= set(dir(owner)) or is_network_class(owner):
            continue
        seen.add(id(owner))
        try:
            inspect.signature(owner).bind()
        except (TypeError, ValueError):
            continue
        yield Guess(Making(owner), f"{name}()", named=True)


def _classes(found: Imported) -> Iterator[tuple[str, type]]:
    """Yield the classes of the model file and of the user's own modules, by the names that lead to them."""
    for module in found.modules():
        prefix = "" if module is found.module else f"{module.__name__}."
        space: Mapping[str, Any] = vars(module)
        for name, one in list(space.items()):
            if inspect.isclass(one) and not name.startswith("_") and (not prefix or one.__module__ == module.__name__):
                yield f"{prefix}{name}", one
