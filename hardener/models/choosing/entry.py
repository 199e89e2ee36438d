"""A model file -> the name in it that builds the network, and what it is built with."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from hardener.errors import HardenerError, did_you_mean
from hardener.models.choosing.candidates import (
    Candidate,
    Tried,
    Wish,
    candidates_of,
    factories,
    is_part,
    known_ways,
    of_another_length,
    own_count,
    standing_out,
    stepped,
    tried,
    with_own_count,
)
from hardener.models.choosing.choices import (
    MOST_SHOWN,
    called_elsewhere,
    chosen_by_scripts,
    computed_by_scripts,
    extra_options,
    figures,
    for_other_sizes,
    likeliest_first,
    meant_by_scripts,
    none_fits,
    nothing_there,
    options_of,
    passed_over,
    rivals,
    row,
    rows_as_called,
    table,
    trainable_first,
)
from hardener.models.choosing.other_sizes import at_other_sizes, sides_for
from hardener.models.choosing.probing import Trials
from hardener.models.choosing.wrapper import Wrapping, as_called, completed, otherwise_called
from hardener.models.code.arguments import (
    Facts,
    built_with,
    check_given,
    class_count_name,
    made,
    replaced_defaults,
    switched_off,
)
from hardener.models.code.model_file import Imported
from hardener.models.code.settings_read import is_config
from hardener.models.code.source_code import is_network_class, makes_network, tree_of
from hardener.models.code.user_code import describe, named_error, user_code
from hardener.models.tame import unwrapped

_MOST_COMPLETED, _MOST_OPEN, _LONGEST = 6, 3, 160
_PARTS = ("block", "layer", "unit", "cell", "bottleneck", "conv2d")
_OF_IMAGES = re.compile("conv|patch", re.IGNORECASE)
"""Where these stand, what takes rows of numbers is a part of a network of images."""


class EntryNeeded(HardenerError):
    """The user has to choose: other numbers of channels would change nothing."""


@dataclass(frozen=True)
class Entry:
    """The name that builds the network, how many numbers it learns, where that is known, and what else to say.

    `scripts`: the options by which it is built as the repository's scripts build it, where they make another of it.
    """

    name: str
    parameters: int = 0
    also: tuple[str, ...] = ()
    scripts: str = ""


@dataclass(frozen=True)
class BuiltEntry:
    """A network, and what it was built with that differs from the file's own defaults, as `NAME=VALUE`.

    `replaced`: what hardener gave in place of a default, as `NAME=VALUE in place of DEFAULT`.
    """

    network: nn.Module
    switched_off: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()


def conventional_entry(found: Imported, facts: Facts, wish: Wish) -> str | None:
    """Return `build_model` or `model` where the file has it and it is what it should be."""
    return next((name for name in ("build_model", "model") if _by_convention(name, found, facts, wish)), None)


def find_entry(found: Imported, facts: Facts, wish: Wish) -> Entry:
    """Find what in a model file is the network.

    Raises:
        EntryNeeded: several are as likely, or one needs what hardener cannot know: with the line to type.
        HardenerError: there is none.
    """
    candidates = candidates_of(found)
    if not candidates:
        raise HardenerError(nothing_there(found)) if found.stand_ins is None else found.stand_ins.error
    rows = not _OF_IMAGES.search(ast.unparse(tree_of(found.module)))
    trials = Trials(facts, rows=rows, likely=functools.partial(sides_for, found.file))
    everything = [tried(candidate, facts, wish.given, trials) for candidate in candidates]
    if min(one.rank(facts) for one in everything) >= 3:
        everything = [at_other_sizes(one, trials) for one in everything]
    if min(one.rank(facts) for one in everything) >= 4:
        everything = [with_own_count(one, wish.given, trials) for one in everything]
        everything = [of_another_length(one, wish.given, trials) for one in everything]
    tops = standing_out(everything, facts, found)
    if tops[0].rank(facts) >= 4:
        made = [tried(one, facts, wish.given, trials) for top in tops for one in factories(top.candidate)]
        tops = [one for one in made if one.rank(facts) < 3] or [*made, *tops]
    if tops[0].rank(facts) >= 4:
        parts = [one for one in everything if one not in tops and one.missing and _names_a_count(one)]
        return _unfit(tops, parts, found, facts, wish, trials)
    return _chosen(tops, everything, found, facts, wish, trials)


def _chosen(
    tops: list[Tried], everything: list[Tried], found: Imported, facts: Facts, wish: Wish, trials: Trials
) -> Entry:
    """Take the one network that stands out, unless it cannot be trained and another can; or let the user choose."""
    lesser = [one for one in everything if one not in tops and one.rank(facts) < 3 and not is_part(one, everything)]
    named = rivals(tops, everything, found, facts, wish, trials)
    meant = meant_by_scripts(tops, lesser, found, facts)
    ordered = [*meant, *(one for one in [*likeliest_first(tops, found), *lesser] if one not in meant)]
    is_clear = len(tops) == 1 and not named and not meant
    is_clear = is_clear and (not lesser or stepped(tops[0], trials).fault is None)
    ordered = ordered if is_clear else trainable_first(ordered, trials)
    failing = not named and ordered[0].fault is not None
    if len(tops) == 1 and (is_clear or failing):
        sized = for_other_sizes(everything, tops[0], found, facts, trials)
        also = (*sized.values(), *passed_over(everything, tops[0], found, facts, sized))
        theirs = otherwise_called(tops[0].candidate, tops[0].trial, found, facts, wish.given, trials)
        if theirs is None or theirs.trial is None:
            return dataclasses.replace(_taken(tops[0]), also=also)
        told = (
            f"{tops[0].candidate.name} is built by its own defaults. The repository's scripts give it others "
            f"({theirs.trial.parameters:,} parameters): {theirs.words()}"
        )
        return dataclasses.replace(_taken(tops[0]), also=(*also, told), scripts=theirs.words())
    if failing:
        raise HardenerError(none_fits(ordered, found, facts))
    rows = list(dict([*named, *rows_as_called(ordered, found, facts, wish, trials)]).items())
    untried = [one.candidate.name for one in everything if one.is_untried and not is_part(one, everything)]
    more = f"\n  not tried for want of time: {', '.join(untried[:MOST_SHOWN])}" if untried else ""
    raise _choice("that fit", rows, found, more)


def build_entry(name: str, found: Imported, facts: Facts, wish: Wish) -> BuiltEntry:
    """Build the network that a name of a model file stands for.

    Raises:
        HardenerError: no such name, it raises, it is no network, or needs what hardener cannot know.
    """
    path = found.file.path
    value = _value_of(name, found)
    if isinstance(value, nn.Module):
        return BuiltEntry(unwrapped(value))
    if not callable(value):
        raise HardenerError(f"{name} in {path} is a {type(value).__name__}; it must be a function or an nn.Module.")
    candidate = Candidate(name, value, 0, True)
    way = _way(candidate, found, facts, wish)
    with user_code(f"{name} in {path}"):
        network = value(*way) if isinstance(way, tuple) else built_with(value, way)
    if isinstance(network, tuple) and network and isinstance(network[0], nn.Module):
        network = network[0]
    if not isinstance(network, nn.Module):
        raise HardenerError(f"{name} in {path} returned a {type(network).__name__}, not an nn.Module.")
    for attribute, one in wish.attributes.items():
        setattr(network, attribute, made(one))
    taken, given = candidate.takes, {*wish.given}
    return BuiltEntry(unwrapped(network), switched_off(taken, way, wish.given), replaced_defaults(taken, way, given))


def _way(candidate: Candidate, found: Imported, facts: Facts, wish: Wish) -> Mapping[str, Any] | tuple[Any, ...]:
    """Return what to call a candidate with: by name, or by place where its one argument has a name of its own."""
    taken = candidate.takes
    if taken is None:
        return {}
    check_given(taken, wish.given, f"{candidate.name} in {found.file.path}")
    ways, _ = known_ways(candidate, facts, wish.given)
    missing = [name for name in taken.required() if name not in ways[-1]]
    if candidate.name == "build_model" and _is_count(missing, candidate):
        return (facts.num_classes,)
    trials = Trials(facts, rows=True, likely=functools.partial(sides_for, found.file))
    if missing:
        raise _needs(completed(candidate, found, facts, wish.given, trials), found, facts, wish)
    own = own_count(candidate, ways[0], wish.given)
    if len(ways) == 1 and own is None:
        return ways[0]
    runs = []
    for way in ways if own is None else [*ways, own]:
        trial = trials.run(functools.partial(built_with, candidate.value, way))
        if trial.outputs is not None:
            return way
        runs.append(trial)
    built = next(((way, trial) for way, trial in zip(ways, runs[: len(ways)], strict=True) if trial.built), None)
    if built is None:
        return ways[0]
    elsewhere = at_other_sizes(Tried(candidate, built[1], built[0], given=wish.given), trials)
    return elsewhere.arguments if elsewhere.trial.outputs is not None and elsewhere.arguments in ways else built[0]


def _by_convention(name: str, found: Imported, facts: Facts, wish: Wish) -> bool:
    """Is `build_model` or `model` in the file, and what it should be?"""
    value = vars(found.module).get(name)
    if isinstance(value, nn.Module):
        return True
    if value is None or not callable(value) or inspect.ismodule(value):
        return False
    candidate = Candidate(name, value, 0, True)
    taken = candidate.takes
    if taken is None:
        return False
    ways, _ = known_ways(candidate, facts, wish.given)
    missing = [argument for argument in taken.required() if argument not in ways[-1]]
    if name == "build_model":
        return not missing or _is_count(missing, candidate)
    return not missing and (is_network_class(value) or makes_network(value) or class_count_name(taken) is not None)


def _is_count(missing: list[str], candidate: Candidate) -> bool:
    """Is one argument, of whatever name, all that is needed, and may it be the number of classes?"""
    taken = candidate.takes
    if taken is None or len(missing) != 1 or class_count_name(taken) not in (None, missing[0]):
        return False
    kind = taken.annotations.get(missing[0])
    worded = any(part in missing[0].lower() for part in ("name", "arch", "type", "kind", "path"))
    return not (worded or kind in (str, "str") or is_config(missing[0], candidate.value))


def _value_of(name: str, found: Imported) -> Any:
    value: Any = found.module
    for part in name.split("."):
        if not hasattr(value, part):
            known = [one.name for one in candidates_of(found)]
            listed = ", ".join(known) or "nothing"
            raise HardenerError(f"{found.file.path} has no {name!r}; found {listed}.{did_you_mean(name, known)}")
        value = getattr(value, part)
    return value


def _unfit(tops: list[Tried], parts: list[Tried], found: Imported, facts: Facts, wish: Wish, trials: Trials) -> Entry:
    """Where nothing can be taken as it is: complete what needs more, or let the one that fails say why.

    Args:
        parts: of others, to be completed where none of `tops` can be.
    """

    def complete(needy: list[Tried]) -> list[Wrapping]:
        chosen, called = chosen_by_scripts(needy, found)[:1], called_elsewhere(found)

        def order(one: Tried) -> tuple[bool | int, ...]:
            name, is_class = one.candidate.name, inspect.isclass(one.candidate.value)
            unused = name.lower().endswith(_PARTS), one.candidate.called not in called
            return name not in chosen, not one.counts, *unused, is_class, one.candidate.place

        asked = sorted(needy, key=order)[:_MOST_COMPLETED]
        return [
            completed(one.candidate, found, facts, wish.given, trials, one.missing) for one in asked if not trials.spent
        ]

    wrappings = complete([one for one in tops if one.missing and one.missing != ("",)])
    fitting = [wrapping for wrapping in wrappings if wrapping.trial is not None]
    beside = [] if fitting else complete(parts)
    fitting = fitting or [wrapping for wrapping in beside if wrapping.trial is not None]
    failing = [one for one in tops if not one.missing and one.trial.outputs is None and not fitting]
    called = (as_called(one.candidate, found, facts, wish.given, trials) for one in failing)
    fitting = fitting or [wrapping for wrapping in called if wrapping is not None]
    fitting = [one for one in fitting if one.trial is not None and one.trial.outputs is not None] or fitting
    if len(fitting) > 1:
        fitting.sort(key=lambda one: one.trial is not None and trials.step(one.build, one.trial) is not None)
    if len(fitting) > 1 and all(wrapping.is_said for wrapping in fitting):
        rows = [(options_of(w, facts, wish), figures(w)) for w in fitting]
        raise _choice("that need arguments", rows, found)
    if fitting:
        raise _needs(fitting[0], found, facts, wish, _open_beside(fitting[0], tops, wrappings, found))
    built = [one for one in tops if not one.missing]
    networks = [one for one in built if one.trial.parameters or not one.trial.built] or built
    counted = [one for one in networks if one.counts] or networks
    if found.left_out and counted and all(one.trial.built and not one.trial.parameters for one in counted):
        raise HardenerError(_only_parts(counted, found))
    giving = [one for one in counted if one.trial.features]
    needy = [one for one in tops if one.counts or any(is_config(n, one.candidate.value) for n in one.missing if n)]
    if giving and wrappings and any(one.missing for one in needy):
        raise _needs(wrappings[0], found, facts, wish)
    if beside and counted and all(_leaves_out(one.trial.error) for one in counted):
        raise _needs(beside[0], found, facts, wish)
    if len(counted) == 1 or len(giving) == 1:
        return _taken((giving or counted)[0])
    if giving:
        rows = [row(one, facts, wish) for one in likeliest_first(giving, found)]
        raise _choice("that give features", rows, found)
    if found.stand_ins is not None and counted and all(isinstance(one.trial.error, NameError) for one in counted):
        raise found.stand_ins.error  # its star would have brought the name
    if counted:
        raise HardenerError(none_fits(counted, found, facts))
    if wrappings:
        raise _needs(wrappings[0], found, facts, wish)
    raise HardenerError(
        f"--model-arg {next(iter(wish.given), '')}: nothing in {found.file.path} takes it. Name what does by --entry."
    )


def _open_beside(fits: Wrapping, tops: list[Tried], wrappings: list[Wrapping], found: Imported) -> str:
    """Name the networks that stand out as much as one that could be completed, and that nothing was found for."""
    others = [one for one in tops if one.counts and one.missing and one.candidate.name != fits.candidate.name]
    if not others:
        return ""
    failed = {
        one.candidate.name: f", and raises {named_error(one.fault)}"
        for one in wrappings
        if one.trial is None and isinstance(one.fault, OSError)  # a file that the repository does not bring
    }
    named = [
        f"{one.candidate.name}, which needs {', '.join(one.missing)}{failed.get(one.candidate.name, '')}"
        for one in others[:_MOST_OPEN]
    ]
    more = f" and {len(others) - _MOST_OPEN} more" if len(others) > _MOST_OPEN else ""
    return f"{found.file.path.name} also holds {'; '.join(named)}{more}: --entry {others[0].candidate.name}. "


def _leaves_out(error: BaseException | None) -> bool:
    """Did a builder call a network without what that needs?"""
    return isinstance(error, TypeError) and "__init__() missing" in str(error)


def _names_a_count(one: Tried) -> bool:
    """Has a candidate an argument for the number of classes? What takes `**kwargs` may be any layer."""
    return one.candidate.takes is not None and class_count_name(one.candidate.takes) is not None


def _choice(which: str, rows: list[tuple[str, str]], found: Imported, more: str = "") -> EntryNeeded:
    head = f"{found.file.path} holds {len(rows)} networks {which}. Choose one"
    return EntryNeeded(table(head, rows) + more, options=rows[0][0])


def _only_parts(tops: list[Tried], found: Imported) -> str:
    path, names = found.file.path, ", ".join(one.candidate.name for one in tops[:MOST_SHOWN])
    return (
        f"{path} is a script: when it is imported, {found.left_out}. None of its classes ({names}) learns. Put what "
        f"it puts together outside of them into a function at the end of {path.name}, build_model(num_classes), that "
        "returns it."
    )


def _taken(one: Tried) -> Entry:
    return Entry(one.candidate.name, one.trial.parameters)


def _needs(wrapping: Wrapping, found: Imported, facts: Facts, wish: Wish, beside: str = "") -> EntryNeeded:
    """Say what a network needs, `beside` which others there are, and what to type; to paste is what options cannot."""
    name, path = wrapping.candidate.name, found.file.path
    told = f"{name} in {path} needs {', '.join(wrapping.guesses)}, which hardener cannot know."
    if wrapping.replaces:
        told = f"{name} in {path} takes no such images with its own {', '.join(wrapping.guesses)}."
    if wrapping.trial is None:
        blanks = " ".join(f"--model-arg {argument}=..." for argument in wrapping.guesses)
        values = f" ({wrapping.tried})" if 0 < len(wrapping.tried) < _LONGEST else ""
        fault = "" if wrapping.fault is None else describe(wrapping.fault).rstrip(".")
        why = f" What was tried{values} raised {fault}." if fault else ""
        needed = EntryNeeded(f"{told} Pass what is right for you as --entry {name} {blanks}.{why}")
        needed.__cause__ = wrapping.fault
        return needed
    if wrapping.is_said:
        options = options_of(wrapping, facts, wish)
        told = f"{told} {beside}{wrapping.others()}{computed_by_scripts(wrapping, found)}"
        text = f"{told}Pass what is right for you, such as\n  {options}\n({figures(wrapping)})"
        return EntryNeeded(text, options=options)
    lines, made = wrapping.function()
    more = extra_options(wrapping, facts, wish)
    named = f" --entry {made}" if made != "build_model" else ""
    also = f"\nand pass{named}{more}." if named or more else ""
    return EntryNeeded(f"{told} Put this at the end of {path} ({figures(wrapping)}):\n\n{lines}\n{also}")
