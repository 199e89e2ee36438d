"""A network that needs what hardener cannot know -> the line, or the three lines, that give it."""

from __future__ import annotations

import copy
import functools
import itertools
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from hardener.models.choosing.by_name import LIBRARIES, for_these
from hardener.models.choosing.candidates import Candidate, known_ways
from hardener.models.choosing.configured import COUNT, configs, each_once, values_for
from hardener.models.choosing.given import ATTRIBUTE, said
from hardener.models.choosing.guesses import (
    Guess,
    calls_in,
    combinations,
    guesses_for,
    plain_guess,
    to_say,
    words_named,
)
from hardener.models.choosing.mismatch import fitting_value
from hardener.models.choosing.named_guesses import named_guesses, resolved
from hardener.models.choosing.other_sizes import trials_of_a_call
from hardener.models.choosing.probing import Trial, Trials
from hardener.models.choosing.repository import Repository, Spelled, repository_of
from hardener.models.choosing.tables import kept_lists
from hardener.models.choosing.tries import beside_guesses, in_order
from hardener.models.code.argument_use import counts_rounds, is_of_images, length_of
from hardener.models.code.arguments import (
    NO_DEFAULT,
    OF_IMAGES,
    Facts,
    Takes,
    built_with,
    class_count_name,
    known_arguments,
    plain,
)
from hardener.models.code.model_file import Imported
from hardener.models.code.settings_read import is_config
from hardener.models.code.source_code import is_network_class
from hardener.models.code.user_code import place_of

PLACEHOLDER = Guess(..., "...")
_OF_OUTPUTS = re.compile(r"^(?!.*(channel|feat|emb|dim)).*(out|class|label|target|categor)")
"""What may count classes where it is the number of outputs: not how many features or channels there are."""
_NONE: Mapping[str, Any] = {}
_ATTENDS = {"heads", "numheads", "nheads", "nhead", "mlpdim", "patchsize"}


@dataclass(frozen=True)
class Wrapping:
    """Arguments that complete a call, as texts; `trial` is what came of them, None where nothing that was tried fits;
    then `fault` is what was raised first. `attributes` are set on the network once it is built. `replaces`: the guesses
    stand in place of defaults that fail. `tried`: the values that were, where none fits."""

    candidate: Candidate
    guesses: Mapping[str, Guess]
    known: Mapping[str, Any]
    trial: Trial | None
    fault: BaseException | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    replaces: bool = False
    tried: str = ""

    @property
    def is_said(self) -> bool:
        """Can `--model-arg` say all of it?"""
        values = [*map(_said, self.guesses.values()), *map(said, self.attributes.values())]
        return None not in values

    def build(self) -> Any:
        """Build the network."""
        return _call(self.candidate, self.known, self.guesses, self.attributes)

    def words(self) -> str:
        """Return the options that say it."""
        texts = [f"{name}={_said(guess) or guess.text}" for name, guess in self.guesses.items()]
        texts += [f"{ATTRIBUTE}{name}={said(value)}" for name, value in self.attributes.items()]
        return " ".join(f"--model-arg {_shell(text)}" for text in texts)

    def others(self) -> str:
        """Name what else arguments that are names might be."""
        told = [f"{name}: {', '.join(guess.others)}" for name, guess in self.guesses.items() if guess.others]
        return f"Others for {'; '.join(told)}. " if told else ""

    def function(self) -> tuple[str, str]:
        """Return the lines of a function that builds the network, and its name."""
        name = "build_model" if self.candidate.name != "build_model" else "make_network"
        taken = self.candidate.takes or Takes({})
        count = class_count_name(taken)
        count = count if count is not None or not taken.anything else COUNT
        parts = [f"{key}={guess.text}" for key, guess in self.guesses.items()]
        parts += [f"{key}={COUNT if key == count else repr(value)}" for key, value in self.known.items()]
        called = f"{self.candidate.name}({', '.join(parts)})"
        lines = [f"def {name}({COUNT}):", f"    return {called}"]
        if self.attributes:
            given = [f"    network.{key} = {value!r}" for key, value in self.attributes.items()]
            lines[1:] = [f"    network = {called}", *given, "    return network"]
        if "SimpleNamespace(" in called:
            lines.insert(1, "    from types import SimpleNamespace")
        if " nn." in called.replace("(", " ").replace("=", " "):
            lines.insert(1, "    from torch import nn")
        if "torchvision." in called:
            lines.insert(1, "    import torchvision")
        return "\n".join(lines), name


def completed(
    candidate: Candidate,
    found: Imported,
    facts: Facts,
    given: Mapping[str, Any],
    trials: Trials,
    needs: Sequence[str] = (),
    maybe: Sequence[str] = (),
) -> Wrapping:
    """Find values for what a candidate needs and nothing is known of; each is tried before it is shown.

    Args:
        needs: names of arguments; by default those without a default of their own.
        maybe: names of those that its code asks for though their default is None, some of them.
    """
    taken = candidate.takes
    assert taken is not None, "what has no signature needs nothing"
    known = known_arguments(taken, facts, given)
    missing = [name for name in dict.fromkeys([*taken.required(), *needs, *maybe]) if name not in known]
    repository = repository_of(found.file)
    written = _called_with(candidate.called, taken, found, facts, repository)
    options = _options(missing, candidate, found, facts, written)
    for name in maybe:
        options[name].insert(0, plain_guess(None))
    ways, _ = known_ways(candidate, facts, given)
    tries = in_order(written, missing, options, lambda call: _told(call, taken, known, given))
    tries += [one for call in written for one in beside_guesses(call, taken, given, options)]
    fault: BaseException | None = None
    ran, giving = False, None
    built: list[dict[str, Guess]] = []
    for guesses in [*tries, *combinations(options)]:
        for way in ways:
            if trials.spent or (built and trials.running_out):  # other sizes are to be tried too
                break
            trial, guesses = _run(candidate, way, guesses, trials)
            build = functools.partial(_call, candidate, way, guesses)
            attributes = _left_out(trial, repository)
            if attributes:
                trial = trials.run(functools.partial(build, attributes=attributes))
            if trial.parameters and (trial.outputs is not None or (trial.features and giving is None)):
                said_of = to_say(guesses, candidate.value, options, maybe)
                giving = Wrapping(candidate, said_of, _without(guesses, way), trial, attributes=attributes)
                if trial.outputs is not None:
                    return giving
            built += [guesses] if trial.built and trial.parameters else []
            if fault is None or (trial.built and not ran):  # the user's own code says more when it runs
                fault, ran = trial.error, trial.built
    worded = giving or (None if built else _by_words(candidate, fault, options, ways[0], trials))
    if worded is not None:
        return worded
    also = () if maybe or built else _left_none(fault, taken, missing)
    if also:
        return completed(candidate, found, facts, given, trials, needs, also)
    for guesses in itertools.islice(itertools.chain(built, tries, combinations(options)), 3):
        elsewhere = _at_other_sizes(candidate, guesses, known, given, trials)
        if elsewhere is not None and elsewhere.trial is not None and elsewhere.trial.outputs is not None:
            return elsewhere
        giving = giving or elsewhere
    tried = ", ".join(f"{name}={' or '.join(one.text for one in guesses[:3])}" for name, guesses in options.items())
    return giving or Wrapping(candidate, dict.fromkeys(missing, PLACEHOLDER), known, None, fault, tried=tried)


def _at_other_sizes(
    candidate: Candidate,
    guesses: Mapping[str, Guess],
    known: Mapping[str, Any],
    given: Mapping[str, Any],
    trials: Trials,
) -> Wrapping | None:
    """Show images of other sizes to what some guesses complete; where none gives logits, one that gives features."""
    taken, giving = candidate.takes or Takes({}), None
    for trial in trials_of_a_call(functools.partial(_called, candidate, guesses), taken, given, trials):
        if trial.outputs is not None and trial.parameters:
            return Wrapping(candidate, guesses, known, trial)
        if trial.features and trial.parameters and giving is None:
            giving = Wrapping(candidate, guesses, known, trial)
    return giving


def as_called(
    candidate: Candidate,
    found: Imported,
    facts: Facts,
    given: Mapping[str, Any],
    trials: Trials,
    *,
    always: bool = False,
    size: tuple[int, int] | None = None,
) -> Wrapping | None:
    """Give a candidate what the repository's scripts give it in place of its own defaults.

    Args:
        always: only where every call that is written gives others.
        size: of the images that it takes, where it does not take the user's.
    """
    taken = candidate.takes
    if taken is None:
        return None
    known = known_arguments(taken, facts, given)
    calls = _called_with(candidate.called, taken, found, facts, repository_of(found.file))
    others = [{name: call[name] for name in _told(call, taken, known, given)} for call in calls]
    if always and not all(others):
        return None
    for guesses, way in itertools.product(filter(None, others), known_ways(candidate, facts, given)[0]):
        trial = trials.run(functools.partial(_call, candidate, way, guesses), size=size)
        if trial.outputs is not None and trial.parameters:
            return Wrapping(candidate, guesses, _without(guesses, way), trial, replaces=True)
    return None


def otherwise_called(
    candidate: Candidate, trial: Trial, found: Imported, facts: Facts, given: Mapping[str, Any], trials: Trials
) -> Wrapping | None:
    """Return how the repository's scripts call a class that is built by its defaults, where each of them makes another
    network of it.

    Args:
        trial: of the network by its defaults.
    """
    theirs = None if trials.spent else as_called(candidate, found, facts, given, trials, always=True, size=trial.size)
    is_another = theirs is not None and theirs.trial is not None and theirs.trial.parameters != trial.parameters
    return theirs if theirs is not None and is_another and theirs.is_said else None


def _run(
    candidate: Candidate, way: Mapping[str, Any], guesses: dict[str, Guess], trials: Trials
) -> tuple[Trial, dict[str, Guess]]:
    """Try guesses; where a number makes a size that another does not equal, also with the number that would, and where
    it is that of the outputs, with the number of classes."""
    trial, classes = trials.run(functools.partial(_call, candidate, way, guesses)), trials.facts.num_classes
    for name, guess in guesses.items() if trial.built else ():
        if trial.outputs is None:
            value = fitting_value(trial.error, guess.value)
        else:
            counted = type(guess.value) is int and guess.value == trial.outputs != classes
            value = classes if counted and _OF_OUTPUTS.search(name.lower()) else None
        if value is not None:
            fitted = {**guesses, name: plain_guess(value)}
            again = trials.run(functools.partial(_call, candidate, way, fitted))
            if again.outputs == classes or (again.outputs and trial.outputs is None):
                return again, fitted
    return trial, guesses


def _without(guesses: Mapping[str, Guess], way: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in way.items() if name not in guesses}


def _options(
    names: Sequence[str], candidate: Candidate, found: Imported, facts: Facts, written: Sequence[Mapping[str, Guess]]
) -> dict[str, list[Guess]]:
    """Return what each of these arguments might be, the likeliest first.

    Args:
        written: what the candidate is called with elsewhere.
    """
    taken, repository = candidate.takes, repository_of(found.file)
    assert taken is not None, "what has no signature needs nothing"
    own = {module.__name__ for module in found.modules()}
    networks = {n: v for n, v in vars(found.module).items() if is_network_class(v)}
    classes = {n: v for n, v in networks.items() if v.__module__ in own or hasattr(v, "expansion")}
    options: dict[str, list[Guess]] = {}
    for name in names:
        seen = [call[name] for call in written if name in call]
        named = named_guesses(name, candidate, found)
        if is_of_images(name, candidate.value):
            options[name] = each_once([plain_guess(facts.channels), *seen])
        elif named:
            options[name] = each_once([*seen, *named, *guesses_for(name, candidate.value, taken, classes)])
        elif is_config(name, candidate.value):
            options[name] = seen + configs(name, candidate.value, taken, found, facts)
        else:
            length = length_of(name, candidate.value)
            kept = kept_lists(length, found, repository) if length else []
            default = [*kept, *values_for(name, candidate.value, repository)]
            guesses = guesses_for(name, candidate.value, taken, classes)
            if name == "depth" and ({*map(plain, names)} & _ATTENDS or counts_rounds(name, candidate.value)):
                guesses.sort(key=lambda guess: guess.value not in (6, 4))
            options[name] = each_once([*seen, *default, *guesses])
    return options


def _called_with(
    name: str, taken: Takes, found: Imported, facts: Facts, repository: Repository
) -> list[dict[str, Guess]]:
    """Return what a class or a function is called with: in the file, elsewhere in the repository, the commonest first,
    and where the file tries itself out."""
    calls = repository.calls(
        name, taken, found.file.name, set(vars(found.module)) if name in vars(found.module) else ()
    )
    elsewhere = [_guessed(call, found, facts, repository) for call in calls]
    told = [str({key: guess.text for key, guess in call.items()}) for call in elsewhere]
    common = sorted(range(len(told)), key=lambda place: -told.count(told[place]))
    own, tries = (list(calls_in(found.module, name, taken, tries=tries)) for tries in (False, True))
    return [*own, *(elsewhere[place] for place in common), *tries]


def _told(call: Mapping[str, Guess], taken: Takes, known: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return what a call elsewhere also gives otherwise than by default, and which hangs neither on images nor
    weights: the width beside the depth."""
    free = [
        name for name in call if name not in {*known, *given} and taken.names.get(name, NO_DEFAULT) is not NO_DEFAULT
    ]
    same = {name for name in free if type(taken.names[name]) is type(call[name].value)}  # 2 is not 2.0: it makes a size
    differing = [name for name in free if name not in same or taken.names[name] != call[name].value]
    return [name for name in differing if plain(name) not in OF_IMAGES]


def _guessed(call: Mapping[str, Any], found: Imported, facts: Facts, repository: Repository) -> dict[str, Guess]:
    """Return what a call elsewhere gives, as guesses; what it names is looked up where that runs nothing but
    definitions."""
    guesses: dict[str, Guess | None] = {}
    for name, value in call.items():
        if not isinstance(value, Spelled):
            guesses[name] = plain_guess(value)
            continue
        module = value.text.partition("(")[0].rpartition(".")[0]
        own = module.rpartition(".")[2] == found.file.own.stem
        known = module in repository.definers or module in sys.modules or module.partition(".")[0] in LIBRARIES
        guess = resolved(value.text, found) if own or known else None
        fitting = None if guess is None else resolved(for_these(guess.text, found, facts), found)
        guesses[name] = fitting or guess
    return {name: guess for name, guess in guesses.items() if guess is not None}


def _by_words(
    candidate: Candidate,
    fault: BaseException | None,
    options: Mapping[str, Sequence[Guess]],
    way: Mapping[str, Any],
    trials: Trials,
) -> Wrapping | None:
    """Complete a call that lacks one argument by a word that its error lists."""
    for name, guesses in options.items() if len(options) == 1 else ():
        for guess in words_named(fault, guesses):
            trial = trials.run(functools.partial(_call, candidate, way, {name: guess}))
            if trial.outputs is not None and trial.parameters:
                return Wrapping(candidate, {name: guess}, _without({name: guess}, way), trial)
    return None


def _left_none(fault: BaseException | None, taken: Takes, missing: Sequence[str]) -> tuple[str, ...]:
    """Return the arguments of default None that stand in the line that failed for want of a value."""
    wanting = isinstance(fault, AssertionError) or "None" in str(fault)
    place = None if fault is None or not wanting else place_of(fault)
    words = set() if place is None else set(re.findall(r"\w+", place.whole_code))
    return tuple(n for n, default in taken.names.items() if default is None and n in words and n not in missing)


def _called(candidate: Candidate, guesses: Mapping[str, Guess], way: Mapping[str, Any]) -> Any:
    return _call(candidate, way, guesses)


def _call(
    candidate: Candidate, way: Mapping[str, Any], guesses: Mapping[str, Guess], attributes: Mapping[str, Any] = _NONE
) -> Any:
    values = {name: _fresh(guess.value) for name, guess in guesses.items()}
    network = built_with(candidate.value, {**way, **values})
    for name, value in attributes.items():
        setattr(network, name, value)
    return network


def _left_out(trial: Trial, repository: Repository) -> dict[str, Any]:
    """Return what a network's code reads of itself and does not set, as scripts of the repository set it."""
    read = re.search(r"object has no attribute '(\w+)'", str(trial.error)) if trial.built else None
    if read is None or not isinstance(trial.error, AttributeError):
        return {}
    values = repository.values((read[1],))
    return {read[1]: values[0]} if values else {}


def _fresh(value: Any) -> Any:
    return copy.deepcopy(value) if isinstance(value, list | dict | SimpleNamespace) else value


def _said(guess: Guess) -> str | None:
    """Return a guess as `--model-arg` reads it; None where it can't."""
    return guess.text if guess.named else said(guess.value, guess.text)


def _shell(text: str) -> str:
    return shlex.quote(text if '"' in text else text.replace("'", '"'))
