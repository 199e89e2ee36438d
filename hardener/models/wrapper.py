"""A network that needs what hardener cannot know -> the line, or the three lines, that give it."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from hardener.errors import HardenerError
from hardener.models.arguments import IMAGE_SIZE, NO_DEFAULT, Facts, Takes, class_count_name, known_arguments, plain
from hardener.models.candidates import Candidate, known_ways
from hardener.models.given import said
from hardener.models.guesses import (
    Guess,
    calls_in,
    combinations,
    guesses_for,
    lists_of,
    plain_guess,
    times_of,
)
from hardener.models.model_file import Imported
from hardener.models.probing import SIZES, Trial, Trials
from hardener.models.settings_read import Settings, is_config, settings_of
from hardener.models.source_code import is_network_class

PLACEHOLDER = Guess(..., "...")
_COUNT = "num_classes"
_MOST_SIZES = 6
_LENGTHS = (4, 3)  # of a list that nothing else is known of: a network's stages
_ATTENDS = {"heads", "numheads", "nheads", "nhead", "mlpdim", "patchsize"}


@dataclass(frozen=True)
class Wrapping:
    """Arguments that complete a call, as texts; `trial` is what came of them, None where nothing that was tried fits;
    then `fault` is what was raised first."""

    candidate: Candidate
    guesses: Mapping[str, Guess]
    known: Mapping[str, Any]
    trial: Trial | None
    fault: BaseException | None = None

    @property
    def is_plain(self) -> bool:
        """Is all of it numbers, words and lists, or classes of the file?"""
        return all(guess.is_plain or inspect.isclass(guess.value) for guess in self.guesses.values()) and self.is_said

    @property
    def is_said(self) -> bool:
        """Can `--model-arg` say all of it?"""
        return all(guess.value is ... or said(guess.value, guess.text) is not None for guess in self.guesses.values())

    def words(self) -> str:
        """Return the options that say it."""
        texts = {name: f"{name}={said(guess.value, guess.text) or guess.text}" for name, guess in self.guesses.items()}
        return " ".join(f"--model-arg {_shell(text)}" for text in texts.values())

    def function(self) -> tuple[str, str]:
        """Return the lines of a function that builds the network, and its name."""
        name = "build_model" if self.candidate.name != "build_model" else "make_network"
        taken = self.candidate.takes or Takes({})
        count = class_count_name(taken)
        count = count if count is not None or not taken.anything else _COUNT
        parts = [f"{key}={guess.text}" for key, guess in self.guesses.items()]
        parts += [f"{key}={_COUNT if key == count else repr(value)}" for key, value in self.known.items()]
        called = f"{self.candidate.name}({', '.join(parts)})"
        lines = [f"def {name}({_COUNT}):", f"    return {called}"]
        if "SimpleNamespace(" in called:
            lines.insert(1, "    from types import SimpleNamespace")
        if " nn." in called.replace("(", " ").replace("=", " "):
            lines.insert(1, "    from torch import nn")
        return "\n".join(lines), name


def completed(
    candidate: Candidate,
    found: Imported,
    facts: Facts,
    given: Mapping[str, Any],
    trials: Trials,
    needs: Sequence[str] = (),
) -> Wrapping:
    """Find values for what a candidate needs and nothing is known of; each is tried before it is shown.

    Args:
        needs: names of arguments; by default those without a default of their own.
    """
    taken = candidate.takes
    assert taken is not None, "what has no signature needs nothing"
    known = known_arguments(taken, facts, given)
    missing = [name for name in dict.fromkeys([*taken.required(), *needs]) if name not in known]
    own = {module.__name__ for module in found.modules()}
    classes = {n: v for n, v in vars(found.module).items() if is_network_class(v) and v.__module__ in own}
    written = list(calls_in([found.module], candidate.name, taken))
    options: dict[str, list[Guess]] = {}
    for name in missing:
        seen = [call[name] for call in written if name in call]
        if is_config(name, candidate.value):
            options[name] = seen + _configs(name, candidate.value, taken, found, facts)
        else:
            options[name] = seen + guesses_for(name, candidate.value, taken, classes)
    if {plain(name) for name in missing} & _ATTENDS and "depth" in options:
        options["depth"].sort(key=lambda guess: guess.value not in (6, 4))
    ways, _ = known_ways(taken, facts, given)
    calls = [{name: call[name] for name in missing} for call in written if set(missing) <= set(call)]
    fault: BaseException | None = None
    built: list[dict[str, Guess]] = []
    for guesses in [*calls, *combinations(options)]:
        for way in ways:
            if trials.spent or (built and trials.running_out):  # other sizes are to be tried too
                break
            trial = trials.run(lambda way=way, guesses=guesses: _call(candidate, way, guesses))  # type: ignore[misc]
            if trial.outputs is not None and trial.parameters:
                return Wrapping(candidate, guesses, {k: v for k, v in way.items() if k not in guesses}, trial)
            built += [guesses] if trial.built and trial.parameters else []
            fault = trial.error if _says_more(trial, fault) else fault
    for guesses in itertools.islice(itertools.chain(built, calls, combinations(options)), 3):
        for trial in _at_other_sizes(candidate, guesses, taken, facts, given, trials):
            if trial.outputs is not None and trial.parameters:
                return Wrapping(candidate, guesses, known, trial)
    first = {name: _first(values) for name, values in options.items()}
    sure = {name: calls[0][name] if calls else guess for name, guess in first.items()}
    return Wrapping(candidate, sure, known, None, fault)


def _at_other_sizes(
    candidate: Candidate,
    guesses: Mapping[str, Guess],
    taken: Takes,
    facts: Facts,
    given: Mapping[str, Any],
    trials: Trials,
) -> Iterator[Trial]:
    """Yield trials with images of other sizes than the user's, of which a network that asks for it is told."""
    known = known_arguments(taken, facts, given)
    names = [name for name in taken.names if plain(name) in IMAGE_SIZE and name not in given]
    if not names:
        yield trials.run(lambda: _call(candidate, known, guesses), other_sizes=True)
        return
    for side in SIZES[:_MOST_SIZES]:
        at = dataclasses.replace(facts, size=(side, side))
        told = {**known_arguments(taken, at, given), **dict.fromkeys(names, side)}
        yield trials.run(lambda told=told: _call(candidate, told, guesses), size=(side, side))  # type: ignore[misc]


def _says_more(trial: Trial, before: BaseException | None) -> bool:
    """Is what a trial raised worth more than what was raised before? The user's own code says more when it runs."""
    return before is None or (trial.built and isinstance(before, HardenerError | ValueError | AssertionError))


def _first(guesses: Sequence[Guess]) -> Guess:
    return guesses[0] if guesses and not guesses[0].is_plain else PLACEHOLDER


def _call(candidate: Candidate, way: Mapping[str, Any], guesses: Mapping[str, Guess]) -> Any:
    values = {name: _fresh(guess.value) for name, guess in guesses.items()}
    return candidate.value(**{**way, **values})


def _fresh(value: Any) -> Any:
    return copy.deepcopy(value) if isinstance(value, list | dict | SimpleNamespace) else value


def _configs(name: str, value: Any, taken: Takes, found: Imported, facts: Facts) -> list[Guess]:
    """Return objects of settings that an argument may be: of the file's own, or made from what its code reads."""
    scope = vars(found.module)
    kind = taken.annotations.get(name)
    kind_name = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    own = []
    for key, one in scope.items():
        if isinstance(one, type) and dataclasses.is_dataclass(one) and kind_name in ("", "_empty", key):
            count = class_count_name(Takes(dict.fromkeys(field.name for field in dataclasses.fields(one))))
            filled = {} if count is None else {count: facts.num_classes}
            try:
                made = one(**filled)
            except TypeError:
                continue
            own.append(Guess(made, f"{key}({'' if count is None else f'{count}={_COUNT}'})"))
    own += [
        Guess(one, key)
        for key, one in scope.items()
        if key.lower() in {name, "config", "cfg", "args", "opt"} and not key.startswith("_") and not callable(one)
        and not hasattr(one, "__path__") and type(one).__name__ != "module"
    ]  # fmt: skip
    read = settings_of(name, value)
    return [*own, *_built_settings(read, value, facts)] if read.parts else own


def _built_settings(settings: Settings, value: Any, facts: Facts) -> list[Guess]:
    leaves = list(_leaves(settings, ()))
    of: dict[str, list[Guess]] = {}
    for path, leaf in leaves:
        words = [plain_guess(word) for word in leaf.words]
        one = known_arguments(Takes({path[-1]: NO_DEFAULT}), facts, {})
        if leaf.counted:
            of[".".join(path)] = [one for length in _LENGTHS for one in lists_of(length, plain(path[-1]))]
        elif leaf.length:
            of[".".join(path)] = lists_of(leaf.length, plain(path[-1]))
        elif leaf.times:
            of[".".join(path)] = times_of(plain(path[-1]))
        elif path[-1] in one:
            count = class_count_name(Takes({path[-1]: None}))
            of[".".join(path)] = [Guess(one[path[-1]], _COUNT if count else repr(one[path[-1]]))]
        else:
            of[".".join(path)] = words or guesses_for(path[-1], value, Takes({}), {})
    made = []
    for chosen in combinations(of):
        values = {tuple(key.split(".")): guess for key, guess in chosen.items()}
        made.append(_assembled(settings, (), values))
    return made


def _leaves(settings: Settings, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Settings]]:
    if not settings.parts:
        return [(path, settings)]
    return [leaf for name, part in settings.parts.items() for leaf in _leaves(part, (*path, name))]


def _assembled(settings: Settings, path: tuple[str, ...], values: Mapping[tuple[str, ...], Guess]) -> Guess:
    if not settings.parts:
        return values[path]
    parts = {name: _assembled(part, (*path, name), values) for name, part in settings.parts.items()}
    if settings.keys:
        text = ", ".join(f'"{name}": {part.text}' for name, part in parts.items())
        return Guess({name: part.value for name, part in parts.items()}, f"{{{text}}}")
    text = ", ".join(f"{name}={part.text}" for name, part in parts.items())
    return Guess(SimpleNamespace(**{name: part.value for name, part in parts.items()}), f"SimpleNamespace({text})")


def _shell(text: str) -> str:
    return f"'{text}'" if any(c in text for c in ' []{}()*?&|;<>$"') else text
