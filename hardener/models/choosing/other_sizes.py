"""Images of other sizes than the user's, shown to networks that do not take those."""

from __future__ import annotations

import ast
import collections
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from hardener.models.choosing.candidates import Tried, known_ways
from hardener.models.choosing.probing import Trial, Trials
from hardener.models.choosing.repository import repository_of
from hardener.models.code.arguments import (
    IMAGE_SIZE,
    Facts,
    Takes,
    built_with,
    known_arguments,
    size_names,
)
from hardener.models.code.model_file import ModelFile
from hardener.models.code.source_code import called_name, literal

_SMALLEST, _LARGEST = 16, 640
_MOST_SIZES, _MOST_SCRIPTED = 8, 4
_RESIZING = {"Resize", "CenterCrop", "RandomCrop", "RandomResizedCrop", "resize"}
_SHOWING = {"randn", "rand", "zeros", "ones", "summary", "FloatTensor"}


def at_other_sizes(one: Tried, trials: Trials) -> Tried:
    """Show what was built, and does not take the images, others of the sizes that are in use, in each of the ways to
    build it; what is built for a size is built for these. One that gives features is better than none."""
    giving = one
    if one.missing or not one.trial.built or not one.trial.parameters or one.trial.outputs is not None:
        return one
    for way, side in _ways(one, trials):
        build = functools.partial(_build, one.candidate.value, way)
        trial = trials.run(build, other_sizes=side is None, size=None if side is None else (side, side))
        if trial.outputs is not None:
            return dataclasses.replace(one, trial=trial, arguments=way)
        if trial.features and not giving.trial.features:
            giving = dataclasses.replace(one, trial=trial, arguments=way)
    return giving


def trials_of_a_call(
    call: Callable[[Mapping[str, Any]], Any], taken: Takes, given: Mapping[str, Any], trials: Trials
) -> Iterator[Trial]:
    """Yield trials of a call that was completed with images of other sizes than the user's, of which a network that
    asks for it is told.

    Args:
        call: builds the network with what is known besides what completes it.
    """
    names = [name for name in size_names(taken) if name not in given]
    known = known_arguments(taken, trials.facts, given)
    if not names and known == known_arguments(taken, _at(trials.facts, 1), given):
        yield trials.run(functools.partial(call, known), other_sizes=True)
        return
    for side in trials.sides[:_MOST_SIZES]:
        told = {**known_arguments(taken, _at(trials.facts, side), given), **dict.fromkeys(names, side)}
        yield trials.run(functools.partial(call, told), size=(side, side))


def sides_for(file: ModelFile) -> list[int]:
    """Return the sides of square images that the scripts around a model file make or show, the commonest first."""
    repository = repository_of(file)
    found = collections.Counter(side for tree in repository.trees for side in _sides_in(tree))
    for names, values in repository.settings.items():
        if names[-1] in IMAGE_SIZE:
            found.update(value for value in values if type(value) is int)
    return [side for side, _ in found.most_common() if _SMALLEST <= side <= _LARGEST][:_MOST_SCRIPTED]


def _ways(one: Tried, trials: Trials) -> Iterator[tuple[Mapping[str, Any], int | None]]:
    """Yield what to build with, and the side of the images to show; None for all of them to one network."""
    candidate, facts = one.candidate, trials.facts
    if candidate.takes is None or isinstance(candidate.value, nn.Module):
        yield one.arguments, None
        return
    here, there = (known_ways(candidate, at, one.given)[0] for at in (facts, _at(facts, 1)))
    fixed = [way for way in here if way in there]
    yield from ((way, None) for way in ([one.arguments, *fixed] if one.arguments not in fixed else fixed))
    for side in trials.sides if len(here) > len(fixed) else ():
        ways = known_ways(candidate, _at(facts, side), one.given)[0]
        yield from ((way, side) for way in itertools.islice((way for way in ways if way not in fixed), 2))


def _build(value: Any, way: Mapping[str, Any]) -> Any:
    return value if isinstance(value, nn.Module) else built_with(value, way)


def _at(facts: Facts, side: int) -> Facts:
    return dataclasses.replace(facts, size=(side, side))


def _sides_in(tree: ast.Module) -> Iterator[int]:
    """Yield the sides that calls give images: `Resize((48, 48))`, `summary(net, (3, 48, 48))`."""
    for node in ast.walk(tree):
        name = called_name(node) if isinstance(node, ast.Call) else ""
        if not isinstance(node, ast.Call) or name not in (_RESIZING | _SHOWING):
            continue
        values = [literal(one, None) for one in [*node.args, *(keyword.value for keyword in node.keywords)]]
        shapes = [*values, values] if name in _SHOWING else values
        sides = [one[-1] for one in shapes if isinstance(one, list | tuple) and len(one) > 1 and one[-1] == one[-2]]
        sides += [one for one in values[:1] if name in _RESIZING]
        yield from (side for side in sides if type(side) is int)
