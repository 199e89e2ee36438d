"""In which order arguments are tried that calls elsewhere give, and guesses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hardener.models.choosing.guesses import Guess, combinations
from hardener.models.code.arguments import CHANNELS, NO_DEFAULT, OF_IMAGES, Takes, class_count_name, plain

_MOST_FIRST, _MOST_BESIDE = 6, 3


def in_order(
    written: Sequence[Mapping[str, Guess]],
    missing: Sequence[str],
    options: Mapping[str, Sequence[Guess]],
    told: Callable[[Mapping[str, Guess]], Sequence[str]],
) -> list[dict[str, Guess]]:
    """Return what to try, the likeliest first: calls elsewhere with all that they tell, with what is needed alone, what
    they tell beside guesses, and guesses.

    Args:
        told: what a call also gives, which is not needed.
    """
    whole = [call for call in written if set(missing) <= set(call)]
    more = [{name: call[name] for name in [*missing, *told(call)]} for call in whole]
    calls = [*more, *({name: call[name] for name in missing} for call in whole)]
    likely = list(itertools.islice(combinations(options), _MOST_FIRST))
    extra = [{name: call[name] for name in told(call) if name not in missing} for call in written]
    return [*calls, *({**guesses, **more} for more in extra if more for guesses in likely), *likely]


def beside_guesses(
    call: Mapping[str, Guess], taken: Takes, given: Mapping[str, Any], options: Mapping[str, Sequence[Guess]]
) -> Iterator[dict[str, Guess]]:
    """Yield what a call elsewhere gives of what is needed, with guesses for the rest: also what bears the name of a
    count of classes or of channels beside another, and is a width: `channels=256, num_classes=10, out_dim=16`."""
    count = class_count_name(taken)
    own = {n: g for n, g in call.items() if taken.names[n] is NO_DEFAULT and n not in given and n != count}
    own = {name: guess for name, guess in own.items() if plain(name) not in (*OF_IMAGES, *CHANNELS)}
    if set(own) - set(options):  # else the guesses alone are the same
        rest = {name: guesses for name, guesses in options.items() if name not in own}
        for guesses in itertools.islice(combinations(rest), _MOST_BESIDE):
            yield {**own, **guesses}
