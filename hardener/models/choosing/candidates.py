"""What in a model file may be the network: found by looking, and tried."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from hardener.errors import HardenerError
from hardener.models.choosing.mismatch import fitting_value
from hardener.models.choosing.probing import NothingReturned, Trial, Trials
from hardener.models.choosing.wanted import takes_network
from hardener.models.code.argument_use import asks_item, words_of
from hardener.models.code.arguments import Count, Facts, Takes, built_with, class_count_name, ways_to_build
from hardener.models.code.model_file import Imported
from hardener.models.code.source_code import (
    factories_of,
    is_network_class,
    makes_network,
    names_passed,
    reached,
    used_by,
)
from hardener.models.code.user_code import is_users, place_of

EQUAL, NEAR = 3, 2
_SHORTEST = 3
_COMMON = {
    "model", "models", "net", "nets", "network", "networks", "module", "modules", "cnn", "classifier", "backbone",
    "backbones", "main", "train", "utils", "init", "layers", "arch",
}  # fmt: skip
_REFUSED = "keyword argument 'num_classes'"
"""How Python ends to say that what takes any keyword does not take this one: the next way tells why it fails itself."""
_NONE = "'NoneType' object"
"""How Python begins to say that a part of None is asked for."""


@dataclass(frozen=True)
class Wish:
    """What the user says of a model file's network.

    Attributes:
        given: its arguments.
        attributes: what is set on it once it is built.
        offers_head: a fresh final layer may be offered.
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    offers_head: bool = False


@dataclass(frozen=True)
class Candidate:
    """A name of a model file whose value is a network, or makes one. `here`: the file defines it itself."""

    name: str
    value: Any
    place: int
    here: bool

    @functools.cached_property
    def takes(self) -> Takes | None:
        """What it can be built with."""
        return None if isinstance(self.value, nn.Module) else reached(self.value)

    @property
    def called(self) -> str:
        """What it is called by in code: `from_name` of `Net.from_name`."""
        return self.name.rpartition(".")[2]

    @functools.cached_property
    def given(self) -> set[str]:
        """Names that the file's own code passes to it."""
        module = sys.modules.get(getattr(self.value, "__module__", "") or "")
        return set() if module is None else names_passed(module, self.called)

    @functools.cached_property
    def uses(self) -> set[int]:
        """The identities of all that its code names, there and further on."""
        found: set[int] = set()
        pending = [self.value]
        while pending and len(found) < 3000:
            for one in used_by(pending.pop()):
                if id(one) not in found and (inspect.isclass(one) or inspect.isfunction(one) or _is_partial(one)):
                    found.add(id(one))
                    module = sys.modules.get(getattr(one, "__module__", "") or "")
                    if is_users(Path(getattr(module, "__file__", None) or "<none>")):  # no library names it back
                        pending.append(one)
        return found


@dataclass(frozen=True)
class Tried:
    """A candidate, and what came of building it.

    Attributes:
        arguments: what it was built with.
        missing: arguments that nothing is known of, or whose defaults it does not accept; it was not built then.
        counts: it takes the number of classes.
        fault: why a step of training fails with it, where one was tried.
        given: its arguments that the user gives.
    """

    candidate: Candidate
    trial: Trial
    arguments: Mapping[str, Any]
    missing: tuple[str, ...] = ()
    counts: bool = False
    fault: HardenerError | None = None
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_untried(self) -> bool:
        """Was no time left to build it?"""
        return not self.missing and isinstance(self.trial.error, TimeoutError)

    def rank(self, facts: Facts) -> int:
        """Return how well it fits: 0 best. From 3 on it takes no such images."""
        if self.missing:
            return 4
        if facts.size is None:
            return 5 if not self.trial.built else 0 if self.counts else 1
        if self.trial.outputs is None or not self.trial.parameters:
            return 5
        if facts.size is not None and self.trial.size != facts.size:
            return 3
        if self.trial.outputs != facts.num_classes:
            return 2
        return 0 if self.counts else 1


def candidates_of(found: Imported) -> list[Candidate]:
    """Return what may be the network, in the file's order; nothing is called."""
    result: list[Candidate] = []
    seen: set[int] = set()
    for place, (name, value) in enumerate(vars(found.module).items()):
        if name.startswith("_") or id(value) in seen or not _may_be_network(value):
            continue
        module = sys.modules.get(getattr(value, "__module__", "") or "")
        here = module is found.module or isinstance(value, nn.Module) or _is_partial(value)
        if here or found.owns(module):
            seen.add(id(value))
            result.append(Candidate(name, value, place, here))
    return [one for one in result if _answers(one.value)] or result


def factories(candidate: Candidate) -> list[Candidate]:
    """Return a class's own class methods that build it, where there are some."""
    value = candidate.value
    names = factories_of(value) if inspect.isclass(value) else []
    return [dataclasses.replace(candidate, name=f"{candidate.name}.{n}", value=getattr(value, n)) for n in names]


def tried(candidate: Candidate, facts: Facts, given: Mapping[str, Any], trials: Trials) -> Tried:
    """Build a candidate in the ways that are known, and see whether it takes the images."""
    value, taken = candidate.value, candidate.takes
    if isinstance(value, nn.Module):
        return Tried(candidate, trials.run(lambda: value), {})
    if taken is None or not (taken.anything or set(given) <= set(taken.names)):
        return Tried(candidate, Trial(False), {}, missing=() if taken is None else ("",))
    ways, counted = known_ways(candidate, facts, given)
    missing = tuple(name for name in taken.required() if name not in ways[-1])
    if missing:
        return Tried(candidate, Trial(False), ways[-1], missing, counted)
    best: Tried | None = None
    for way in ways:
        trial = trials.run(functools.partial(built_with, value, way))
        counts = counted and bool(facts.num_classes in way.values())
        this = Tried(candidate, trial, way, counts=counts, given=given)
        if trial.outputs is not None and trial.parameters:
            return this
        refused = best is not None and _REFUSED in str(best.trial.error)
        best = this if best is None or refused or (trial.built and not best.trial.built) else best
    assert best is not None, "there is one way at least"
    return dataclasses.replace(best, missing=_asserted(best, taken, given) or _chosen_by(best, taken, given))


def _chosen_by(one: Tried, taken: Takes, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the arguments that a function chooses by, where it chooses nothing by their defaults."""
    if not isinstance(one.trial.error, NothingReturned):
        return ()
    free = [name for name, default in taken.names.items() if default is None and name not in {*one.arguments, *given}]
    return tuple(name for name in free if words_of(name, one.candidate.value))


def _asserted(one: Tried, taken: Takes, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the arguments whose defaults the code itself does not accept: it asserts something of them, reads a list,
    or a part, of None, or names the word that they are as one that it does not know."""
    error, free = one.trial.error, [name for name in taken.names if name not in {*one.arguments, *given}]
    if error is None or one.trial.built:
        return ()
    if isinstance(error, ValueError | KeyError | NotImplementedError):
        told = set(re.findall(r"[\w.-]+", str(error)))
        return tuple(n for n in free if isinstance(taken.names[n], str) and taken.names[n] in told)
    refused = isinstance(error, AssertionError) or (
        isinstance(error, TypeError | AttributeError) and _NONE in str(error)
    )
    place = place_of(error) if refused else None
    words = set() if place is None else set(re.findall(r"\w+", place.whole_code))
    left = [name for name in free if name in words]
    return tuple(name for name in left if isinstance(error, AssertionError) or taken.names[name] is None)


def stepped(one: Tried, trials: Trials) -> Tried:
    """Take a step of training with what answers the images."""
    return dataclasses.replace(one, fault=trials.step(functools.partial(_build, one), one.trial))


def _build(one: Tried) -> Any:
    value = one.candidate.value
    return value if isinstance(value, nn.Module) else built_with(value, one.arguments)


def of_another_length(one: Tried, given: Mapping[str, Any], trials: Trials) -> Tried:
    """Ask for a number that is right by default for images of another size, such as how many patches they have."""
    taken = one.candidate.takes
    if taken is None or one.missing or not one.trial.built or one.trial.outputs is not None:
        return one
    for name, default in taken.names.items():
        value = None if name in {*one.arguments, *given} else fitting_value(one.trial.error, default)
        if value is not None:
            way = {**one.arguments, name: value}
            if trials.run(functools.partial(built_with, one.candidate.value, way)).outputs is not None:
                return dataclasses.replace(one, missing=(name,))
    return one


def own_count(candidate: Candidate, way: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how to build with the file's own number of classes, where it has one: a width of the network may hang on
    that without a word."""
    taken = candidate.takes
    name = None if taken is None else class_count_name(taken)
    if taken is None or name is None or name in given or not isinstance(taken.names[name], int):
        return None
    return {key: value for key, value in way.items() if key != name}


def with_own_count(one: Tried, given: Mapping[str, Any], trials: Trials) -> Tried:
    """Build what takes no images with another number of classes with the file's own."""
    way = None if one.missing or not one.trial.built else own_count(one.candidate, one.arguments, given)
    if way is None:
        return one
    trial = trials.run(functools.partial(built_with, one.candidate.value, way))
    return one if trial.outputs is None else dataclasses.replace(one, trial=trial, arguments=way, counts=False)


def known_ways(candidate: Candidate, facts: Facts, given: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """Return the arguments to try with a candidate that has some, and whether they tell the number of classes."""
    taken = candidate.takes
    assert taken is not None, "what has no signature is called with nothing"
    count = class_count_name(taken)
    if count is not None and asks_item(candidate.value, count):
        facts = dataclasses.replace(facts, num_classes=Count(facts.num_classes))
    ways = ways_to_build(taken, facts, given)
    if count is None and taken.anything and "num_classes" not in given:
        return [*({**way, "num_classes": facts.num_classes} for way in ways), *ways], True
    return ways, count is not None


def standing_out(all_tried: list[Tried], facts: Facts, found: Imported) -> list[Tried]:
    """Return those that fit best and are no part of another, the likeliest first: one where one stands out."""
    best = min(one.rank(facts) for one in all_tried)
    group = [one for one in all_tried if one.rank(facts) == best or best >= 4]
    if best == 2:
        unknown = [one for one in all_tried if one.missing and is_network_class(one.candidate.value)]
        group = [one for one in group if not is_part(one, unknown)] or unknown
    if not any(one.candidate.here for one in group):  # what the file only imports is a part of what it defines
        group = [one for one in all_tried if one.candidate.here and one.missing and one.counts] or group
    tops = [one for one in group if not is_part(one, group)] or group
    listed = getattr(found.module, "__all__", None)
    for wanted in (
        lambda one: isinstance(listed, list | tuple) and one.candidate.name in listed,
        lambda one: one.candidate.here,
    ):
        tops = [one for one in tops if wanted(one)] or tops
    if len(tops) > 1:
        near = {id(one): closeness(one.candidate.name, found.file.name) for one in tops}
        for wanted in (
            lambda one: isinstance(one.candidate.value, nn.Module),
            lambda one: near[id(one)] == EQUAL,
            lambda one: near[id(one)] == NEAR and sum(near.values()) == NEAR,
        ):
            chosen = [one for one in tops if wanted(one)]
            if len(chosen) == 1:
                return chosen
    return sorted(tops, key=lambda one: one.candidate.place)


def closeness(name: str, stem: str) -> int:
    """Say how near a name of a file is to the file's own: 3 equal, 2 one begins with the other, 1 one holds the other.

    Of the names that many files and networks bear, only equal ones count.
    """
    one, other = _letters(name.rpartition(".")[2]), _letters(stem)
    if one == other:
        return EQUAL
    if {one, other} & _COMMON or min(len(one), len(other)) < _SHORTEST:
        return 0
    if one.startswith(other) or other.startswith(one):
        return NEAR
    return 1 if one in other or other in one else 0


def is_part(one: Tried, of: list[Tried]) -> bool:
    """Is a candidate used by another of these, or given to it, and does not use it itself?"""
    value = one.candidate.value
    if isinstance(value, nn.Module):
        return False
    return any(
        (id(value) in other.candidate.uses or one.candidate.name in other.candidate.given or _is_given_networks(other))
        and id(other.candidate.value) not in one.candidate.uses
        for other in of
        if other is not one
    )


def _is_given_networks(one: Tried) -> bool:
    """Does a classifier need another network as an argument?"""
    candidate = one.candidate
    return one.counts and any(takes_network(name, candidate.value, candidate.takes) for name in one.missing if name)


def _answers(value: Any) -> bool:
    """Has a class a way to answer images? A trainer that holds a network may have none."""
    if not is_network_class(value):
        return True
    return value.forward is not nn.Module.forward or value.__call__ is not nn.Module.__call__


def _may_be_network(value: Any) -> bool:
    return isinstance(value, nn.Module) or is_network_class(value) or makes_network(value)


def _is_partial(value: Any) -> bool:
    return isinstance(value, functools.partial)


def _letters(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
