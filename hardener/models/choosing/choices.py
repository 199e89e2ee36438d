"""A file's networks as the user is told of them: a table to choose from, and a line for each that was passed over."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Container
from typing import TypeGuard

from hardener.errors import HardenerError
from hardener.models.choosing.candidates import NEAR, Tried, Wish, closeness, is_part, stepped
from hardener.models.choosing.other_sizes import at_other_sizes
from hardener.models.choosing.probing import Trial, Trials
from hardener.models.choosing.repository import called_in, repository_of
from hardener.models.choosing.wrapper import Wrapping, as_called, completed
from hardener.models.code.arguments import Facts, class_count_name
from hardener.models.code.model_file import Imported
from hardener.models.code.source_code import is_network_class, tree_of
from hardener.models.code.unfetched import can_be_fetched, is_unfetched
from hardener.models.code.user_code import advice_for, named_error, place_of

MOST_SHOWN = 12
_FEW_PARAMETERS, _MANY_TIMES = 100, 100
_MOST_RIVALS = 4
_KERAS = ("tensorflow", "keras", "tf_keras", "jax", "flax", "paddle", "mxnet", "mindspore")


def options_of(wrapping: Wrapping, facts: Facts, wish: Wish) -> str:
    """Return what to type for a network and its arguments."""
    return f"--entry {wrapping.candidate.name} {wrapping.words()}{extra_options(wrapping, facts, wish)}"


def extra_options(wrapping: Wrapping, facts: Facts, wish: Wish) -> str:
    """Return what to type besides its name and arguments."""
    trial = wrapping.trial
    return "" if trial is None else _more(trial, facts, wish)


def _more(trial: Trial, facts: Facts, wish: Wish) -> str:
    """Return the further options that a network needs to be trained on these images."""
    outputs, size = trial.outputs or trial.features, trial.size
    sized = size is not None and facts.size is not None and size != facts.size
    told = f" --image-size {size[0]}" if sized and size is not None else ""
    fresh = outputs is not None and outputs != facts.num_classes and wish.offers_head
    bare = wish.offers_head and not is_unfetched() and not can_be_fetched(trial.fetches)
    return " --no-pretrained" * bare + told + " --replace-head" * fresh


def computed_by_scripts(wrapping: Wrapping, found: Imported) -> str:
    """Name the numbers that every call of a network in scripts computes, and that stay what they are by default."""
    taken = wrapping.candidate.takes
    if taken is None:
        return ""
    calls = repository_of(found.file).calls(wrapping.candidate.called, taken, found.file.own.stem, whole=True)
    given = [{name for name, value in call.items() if value is ...} for call in calls]
    numbers = {name: one for name, one in taken.names.items() if type(one) in (int, float)}
    open_ones = set.intersection(*given) & numbers.keys() if given else set()
    left = sorted(open_ones - {*wrapping.guesses, class_count_name(taken)})
    told = [f"{name}, {numbers[name]} by default" for name in left]
    return f"Scripts compute {', and '.join(told)}, by what is not known here: --model-arg {left[0]}=. " if told else ""


def figures(wrapping: Wrapping) -> str:
    """Return how large a network is that was completed, and what it answers with."""
    assert wrapping.trial is not None, "only what fits has figures"
    return wrapping.trial.told


def row(one: Tried, facts: Facts, wish: Wish) -> tuple[str, str]:
    """Return what to type for a network, and how large it is."""
    fails = "" if one.fault is None else "; a step of training fails"
    return f"--entry {one.candidate.name}{_more(one.trial, facts, wish)}", f"{one.trial.told}{fails}"


def rows_as_called(
    ordered: list[Tried], found: Imported, facts: Facts, wish: Wish, trials: Trials
) -> list[tuple[str, str]]:
    """Return a row for each network, with what every script that calls it gives it in place of its defaults."""
    rows = []
    for place, one in enumerate(ordered):
        known = one.fault is not None or place >= MOST_SHOWN or trials.spent
        theirs = None if known else as_called(one.candidate, found, facts, wish.given, trials, always=True)
        if theirs is None or theirs.trial is None or not theirs.is_said:
            rows.append(row(one, facts, wish))
        else:
            rows.append((options_of(theirs, facts, wish), figures(theirs)))
    return rows


def table(head: str, rows: list[tuple[str, str]]) -> str:
    """Return lines with what to type for each network, the likeliest first."""
    shown = rows[:MOST_SHOWN]
    width = max(len(options) for options, _ in shown)
    lines = [f"  {options:<{width}}  {figures}" for options, figures in shown]
    more = [f"  … and {len(rows) - len(shown)} more"] if len(rows) > len(shown) else []
    return "\n".join([f"{head}, the likeliest first:", *lines, *more])


def likeliest_first(tops: list[Tried], found: Imported) -> list[Tried]:
    """Put first what scripts choose by the default of a setting, then what scripts call, then what the file itself
    tries out, in its main part or in a function such as test, then what it is named after, and last what is too small
    to be meant where others are not."""
    names = {one.candidate.name for one in tops}
    rest = [node for node in tree_of(found.module).body if getattr(node, "name", "") not in names]
    used = [
        getattr(call.func, "id", "")
        for node in rest
        if not isinstance(node, ast.ClassDef)
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
    ]
    called, chosen = frozenset[str](), list[str]()
    if len(tops) > 1:
        called = called_elsewhere(found)
        chosen = chosen_by_scripts(tops, found)
    few = max(_FEW_PARAMETERS, max(one.trial.parameters for one in tops) // _MANY_TIMES)

    def order(one: Tried) -> tuple[int, bool, bool, bool, int]:
        name = one.candidate.name
        unused = one.candidate.called not in called, name not in used
        place = chosen.index(name) if name in chosen else len(chosen)
        return (place, one.trial.parameters < few, *unused, -closeness(name, found.file.name))

    return sorted(tops, key=order)


def chosen_by_scripts(tops: list[Tried], found: Imported) -> list[str]:
    """Return which of some networks scripts choose by a setting, the likeliest first."""
    names = {one.candidate.name for one in tops}
    return [one.name for one in repository_of(found.file).chosen(found.file.name, names)]


def called_elsewhere(found: Imported) -> frozenset[str]:
    """Return the names that the repository's other files call."""
    return repository_of(found.file).called_besides(found.file.own.stem)


def meant_by_scripts(tops: list[Tried], lesser: list[Tried], found: Imported, facts: Facts) -> list[Tried]:
    """Return which of the networks that fit less, if any, scripts choose by the default of a setting; or call, and none
    that stands out, where they have as many outputs as there are classes."""
    chosen = chosen_by_scripts([*tops, *lesser], found)[:1]
    return [
        one
        for one in lesser
        if one.candidate.name in chosen
        or (not chosen and one.candidate.here and one.rank(facts) == 1 and _is_called(one, tops, found))
    ]


def rivals(
    tops: list[Tried], everything: list[Tried], found: Imported, facts: Facts, wish: Wish, trials: Trials
) -> list[tuple[str, str]]:
    """Return rows of networks that fit less than those that stand out, and are likelier to be meant: the file is named
    after them, or scripts choose or call them alone, or one that stands out is a small part of them, or they take the
    number of classes, and none that stands out does."""
    near = max(closeness(top.candidate.name, found.file.name) for top in tops)
    chosen = chosen_by_scripts(everything, found)[:1]
    rows: list[tuple[str, str]] = []
    for one in everything:
        name = one.candidate.name
        own = closeness(name, found.file.name)
        whole = len(tops) == 1 and is_part(tops[0], [one])
        named = own >= NEAR and own > near
        called = bool(one.missing) and (name in chosen or (one.candidate.here and _is_called(one, tops, found)))
        alone = one.counts and not one.missing and not any(top.counts for top in tops)
        if one in tops or not (one.candidate.here or name in chosen) or is_part(one, everything):
            continue
        if not (named or whole or alone or called) or len(rows) == _MOST_RIVALS:
            continue
        if not one.missing:
            fit = stepped(at_other_sizes(one, trials), trials)
            rows += [row(fit, facts, wish)] if fit.rank(facts) < 4 and fit.fault is None else []
        elif "" not in one.missing and not trials.running_out:
            done = completed(one.candidate, found, facts, wish.given, trials, one.missing)
            fits = done.trial is not None and done.is_said and trials.step(done.build, done.trial) is None
            large = done.trial is not None and done.trial.parameters > 2 * tops[0].trial.parameters
            rows += [(options_of(done, facts, wish), figures(done))] if fits and (large or called or not whole) else []
    return rows


def _is_called(one: Tried, tops: list[Tried], found: Imported) -> bool:
    """Do the file, or scripts beside it, call a network, and none of those that stand out but where it makes these?"""
    beside = called_elsewhere(found)
    here = called_in(tree_of(found.module))
    others = [top for top in tops if top.candidate.called in (beside if is_part(top, [one]) else beside | here)]
    return one.candidate.called in beside | here and not others


def trainable_first(ordered: list[Tried], trials: Trials) -> list[Tried]:
    """Take a step of training with each network that the table shows, as long as there is time, and put last those
    that fail in it."""
    found: list[Tried] = []
    for one in ordered[:MOST_SHOWN]:
        enough = trials.running_out and any(other.fault is None for other in found)
        found.append(one if enough else stepped(one, trials))
    return sorted([*found, *ordered[MOST_SHOWN:]], key=lambda one: one.fault is not None)


def for_other_sizes(
    everything: list[Tried], taken: Tried, found: Imported, facts: Facts, trials: Trials
) -> dict[str, str]:
    """Tell, by name, of the file's other networks that would classify images of another size, so that the one taken is
    a choice."""
    told, wholes = dict[str, str](), _wholes(taken, everything)
    for one in everything:
        here = one.candidate.here and inspect.isclass(one.candidate.value) and not is_part(one, wholes)
        if one is taken or not here or not one.counts or one.trial.outputs is not None or trials.running_out:
            continue
        trial = at_other_sizes(one, trials).trial
        if trial.outputs == facts.num_classes and trial.size is not None:
            side, name = trial.size[0], one.candidate.name
            told[name] = (
                f"{found.file.path.name} also holds {name}, for images of {side} x {side}: "
                f"--entry {name} --image-size {side}"
            )
    return told


def passed_over(
    everything: list[Tried], taken: Tried, found: Imported, facts: Facts, but: Container[str]
) -> tuple[str, ...]:
    """Name the file's networks that need arguments, where the one taken is a part of them or stands beside them, those
    that there was no time to try, those that scripts call for another number of classes, where they do not call the
    one taken, and those that fit as well, where the file is named after the one taken.

    Args:
        but: the names of those that were told of already.
    """
    told, wholes = [], _wholes(taken, everything)
    for one in everything:
        if one is taken or one.candidate.name in but or not one.candidate.here or is_part(one, wholes):
            continue
        needed = [name for name in one.missing if name and is_network_class(one.candidate.value)]
        name, whole = one.candidate.name, is_part(taken, [one])
        part = ", of which this is a part" * whole
        if needed and (whole or one.counts):
            why = f", which needs {', '.join(needed)}"
        elif one.is_untried:
            why = ", which there was no time to try"
        elif one.counts and one.trial.parameters and one.trial.outputs is None and _raises(one.trial.error):
            why = f", which takes no such images ({_told(one.trial.error)})"
        elif one.trial.outputs and one.rank(facts) == 2 > taken.rank(facts) and _is_called(one, [taken], found):
            why = f", which scripts call, and which has {one.trial.outputs} outputs"
        elif part or one.rank(facts) > min(taken.rank(facts), 2):
            continue
        else:
            why = ""
        told.append(f"{found.file.path.name} also holds {name}{part}{why}: --entry {name}")
    return tuple(told[:MOST_SHOWN])


def _wholes(taken: Tried, everything: list[Tried]) -> list[Tried]:
    """Return what others may be parts of: no function that makes one of several networks, the one taken among them."""
    return [one for one in everything if not (inspect.isfunction(one.candidate.value) and is_part(taken, [one]))]


def _raises(error: BaseException | None) -> TypeGuard[BaseException]:
    """Did a network's own code raise, rather than return what are no logits, as a part of a network does?"""
    return error is not None and not isinstance(error, HardenerError)


def none_fits(tops: list[Tried], found: Imported, facts: Facts) -> str:
    """Say why each of a file's networks takes no such images."""
    names_of: dict[str, list[str]] = {}
    for one in tops:
        error = one.fault or one.trial.error
        why = "returns no logits of shape (N, K)" if error is None else _told(error)
        names_of.setdefault(why, []).append(one.candidate.name)
    told = []
    for why, names in list(names_of.items())[:MOST_SHOWN]:
        shown = ", ".join(names[:MOST_SHOWN]) + (" …" if len(names) > MOST_SHOWN else "")
        told.append(f"  --entry {shown}: {why}" if len(names) == 1 else f"  {shown}, each: {why}")
    advice = {advice_for(error, place_of(error)) for one in tops if (error := one.trial.error) is not None}
    if len(names_of) == len(advice) == 1 and (text := advice.pop()):
        told.append(f"{text[0].upper()}{text[1:]}.")
    images = "" if facts.size is None else f" takes images of {facts.channels} x {facts.size[0]} x {facts.size[1]}"
    what = (
        f"{images or ' can be built'} and returns logits"
        if any(one.fault is None for one in tops)
        else " can be trained"
    )
    return "\n".join([f"no network in {found.file.path}{what}:", *told])


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, HardenerError) else named_error(error)


def nothing_there(found: Imported) -> str:
    """Say that a file holds no network, and what it holds."""
    path = found.file.path
    modules = {getattr(value, "__name__", "").partition(".")[0] for value in vars(found.module).values()}
    owners = {(getattr(v, "__module__", "") or "").partition(".")[0] for v in vars(found.module).values()}
    other = next((name for name in _KERAS if name in modules | owners), None)
    if other is not None:
        return f"{path} is made with {other}. hardener takes PyTorch networks; an ONNX file of it can be evaluated."
    names = [
        name
        for name, value in vars(found.module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == found.module.__name__
    ]
    listed = ", ".join(names[:MOST_SHOWN]) or "nothing"
    return (
        f"{path} defines no model: looked for build_model(num_classes), model, and whatever makes an nn.Module; found "
        f"{listed}. Name what builds the network by --entry, or add build_model(num_classes) that returns it."
    )
