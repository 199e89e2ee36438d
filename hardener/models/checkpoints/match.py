"""Names of tensors in a file, names in a network -> which of the file are the network's, by name and shape."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from hardener.errors import HardenerError

_MARKS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
"""What DataParallel, torch.compile and the like put into names, at any place."""
_AVERAGED = re.compile(
    r"(?<![A-Za-z])(?i:ema|swa|slow|target)(?![a-z])"  # words of their own: schema, SwAV and slowfast are none
    r"|(?<=[a-z])(Ema|EMA|Swa|SWA|Slow|Target)(?![a-z])|(?i:(model|net|weights|params)(ema|swa))(?![a-z])"
    r"|(?i:averag|(^|_)avg|teacher|momentum|shadow|(^|_)k$)"
)
_OF_HEADS = {"head", "heads", "cls_head", "class_head", "classification_head", "classifier", "linear_classifier"}
"""What stands before the names of a final layer where it is kept apart from its body."""
_PLAIN, _EMA = "plain", "ema"


@dataclass(frozen=True)
class Fit:
    """One set of weights in a file.

    Attributes:
        before: what stands before their names in the file.
        within: what stands before the same names in the network.
        found: names in the network -> names in the file, of one shape.
        unlike: the same, of two shapes.
    """

    before: str
    within: str
    found: Mapping[str, str]
    unlike: Mapping[str, str]

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.before.rstrip(".") or _PLAIN

    @property
    def averaged(self) -> bool:
        """Is it an average over training, or a slow copy?"""
        return any(_AVERAGED.search(part) for part in self.before.split("."))


def cleaned(names: Collection[str], own: Collection[str]) -> dict[str, str]:
    """Return names of a file without what wrappers put into them -> the names as they are."""
    marks = _MARKS - {part for name in own for part in name.split(".")}
    found: dict[str, str] = {}
    for name in names:
        short = ".".join(part for part in name.split(".") if part not in marks)
        found[name if short in found else short or name] = name
    return found


def fits(theirs: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[Fit]:
    """Find the sets of weights in a file that share names with a network, those that share most first.

    The file may put something before every name, the network too; it is found by comparing the names and shapes.
    """
    short = cleaned(theirs, own)
    befores = [""] + [p for p, n in Counter(_prefixes(short)).items() if 4 * n >= len(own)]
    withins = [""] + [p for p, n in Counter(_prefixes(own)).items() if 2 * n >= len(own)]
    made: dict[tuple[tuple[str, str], ...], Fit] = {}
    for before in befores:
        for within in withins:
            found: dict[str, str] = {}
            unlike: dict[str, str] = {}
            for name, value in own.items():
                if not name.startswith(within):
                    continue
                there = short.get(before + name[len(within) :])
                if there is not None:
                    (found if _is_shaped(theirs[there], value) else unlike)[name] = there
            key = tuple(sorted({**found, **unlike}.items()))
            fit = Fit(before, within, found, unlike)
            if key and (key not in made or len(before + within) < len(made[key].before + made[key].within)):
                made[key] = fit
    return sorted(made.values(), key=lambda f: (-len(f.found), -len(f.unlike), len(f.before), f.before))


def choose(
    found: Sequence[Fit],
    parameters: Collection[str],
    which: str | None,
    same: Callable[[Fit, Fit], bool],
    path: object,
) -> tuple[Fit, list[str]]:
    """Take one of the sets of weights that fit a network best.

    Args:
        found: as `fits` returns them, one at least.
        parameters: names of the network's that learn: a set with as many of them as the best is another of its kind.
        which: the name of a set, `plain` or `ema`.
        same: do two sets hold the same values?
    Returns:
        The set, and what is to be said of the choice.
    Raises:
        HardenerError: no set of that name, or several and nothing says which.
    """
    best = found[0]
    learnt = parameters & best.found.keys()
    alike = [fit for fit in found if learnt <= fit.found.keys()] if learnt else [best]
    known = [f"{fit.name}{' (averaged)' if fit.averaged else ''}" for fit in alike]
    listed = ", ".join(known)
    if which is not None:
        taken = [fit for fit in alike if _is_called(fit, which)]
        if not taken:
            raise HardenerError(f"{path} holds no weights {which!r} that fit the model; it holds {listed}.")
        if len(taken) > 1 and not all(same(taken[0], other) for other in taken[1:]):
            names = ", ".join(fit.name for fit in taken)
            raise HardenerError(f"--weights {which} could be {names} of {path}. Write the whole name.")
        return taken[0], [f"weights: {taken[0].name} of {path}"]
    distinct: list[Fit] = []
    for fit in alike:
        if not any(same(fit, other) for other in distinct):
            distinct.append(fit)
    plain = [fit for fit in distinct if not fit.averaged]
    if len(plain) > 1 or (not plain and len(distinct) > 1):
        raise HardenerError(
            f"{path} holds several weights that fit the model: {listed}. Say which: --weights {distinct[0].name}."
        )
    chosen = (plain or distinct)[0]
    others = [fit for fit in distinct if fit is not chosen]
    if not others:
        return chosen, []
    return chosen, [
        f"{path} holds {listed}: {chosen.name} is loaded. For the others: --weights "
        f"{_EMA if len(others) == 1 and others[0].averaged else others[0].name}"
    ]


def with_heads(
    fit: Fit, theirs: Mapping[str, Tensor], own: Mapping[str, Tensor], heads: Sequence[str], fresh: Sequence[str] = ()
) -> Fit:
    """Add the tensors of a head that lies elsewhere in the file, under its full name: `head.fc` beside `backbone.`.

    Args:
        fresh: layers that may begin anew: they are given no tensors of a layer that has a purpose of its own.
    """
    added = {}
    used = set(fit.found.values())
    for name, value in own.items():
        if name in fit.found or name in fit.unlike or not name.startswith(tuple(f"{head}." for head in heads)):
            continue
        last = name[len(fit.within) :] if name.startswith(fit.within) else name
        if last.split(".")[-2:-1] in ([], [""]) or last.split(".")[-2].isdecimal():
            continue
        there = [n for n in theirs if n.endswith(f".{last}") and n not in used and _is_shaped(theirs[n], value)]
        near = [_shared(n, next(iter(fit.found.values()), "")) for n in there]
        nearest = [n for n, shared in zip(there, near, strict=True) if shared == max(near)]
        begins = name.startswith(tuple(f"{layer}." for layer in fresh))
        if len(nearest) == 1 and not (begins and has_a_purpose(nearest[0], last)):
            added[name] = nearest[0]
    return replace(fit, found={**fit.found, **added}) if added else fit


def has_a_purpose(there: str, last: str) -> bool:
    """Whether what a head lies under is more than a word for heads, as in `rotation_head.fc`."""
    return there.removesuffix(f".{last}").rpartition(".")[2] not in _OF_HEADS


def nearest(name: str, shape: Sequence[int], theirs: Mapping[str, Tensor]) -> str:
    """Say which name of a file is most like one of the network, with both shapes."""
    close = difflib.get_close_matches(name, list(theirs)[:2000], n=1, cutoff=0.5)
    like = ""
    if close and not theirs[close[0]].is_nested:
        like = f", nearest {close[0]} {tuple(theirs[close[0]].shape)}"
    return f"{name} {tuple(shape)}{like}"


def _is_shaped(one: Tensor, other: Tensor) -> bool:
    return not one.is_nested and one.shape == other.shape


def _prefixes(names: Collection[str]) -> Iterator[str]:
    for name in names:
        parts = name.split(".")
        for length in range(1, len(parts)):
            yield ".".join(parts[:length]) + "."


def _is_called(fit: Fit, which: str) -> bool:
    if which == _PLAIN:
        return not fit.averaged
    if which == _EMA and fit.averaged:
        return True
    parts = which.strip(".").split(".")
    own = fit.name.split(".")
    return any(own[at : at + len(parts)] == parts for at in range(len(own)))


def _shared(one: str, other: str) -> int:
    """How many parts two names share from the left."""
    count = 0
    for a, b in zip(one.split("."), other.split("."), strict=False):
        if a != b:
            break
        count += 1
    return count
