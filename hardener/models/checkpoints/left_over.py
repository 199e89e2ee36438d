"""What a checkpoint holds besides the tensors that a network took, and what that says of the two."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from hardener.models.checkpoints.doubt import TRAIN_FIRST, Doubt
from hardener.models.checkpoints.file import Content
from hardener.models.checkpoints.match import Fit, cleaned, has_a_purpose
from hardener.words import counted

_MANY = 20  # of the model's own tensors, one in so many
_FEWEST = 2


def beside(path: object, extra: Sequence[str]) -> str:
    """Say what a file holds besides what was taken."""
    return f"{path} holds {counted(len(extra), 'tensor')} that the model has no place for: {some(extra)}"


def some(items: Sequence[str]) -> str:
    """Name the first three of some, and count the others."""
    return ", ".join(items[:3]) + (f", and {len(items) - 3} more" if len(items) > 3 else "")


def left_over(content: Content, taken: Fit, found: Sequence[Fit]) -> list[str]:
    """Return the names, in the file, of what lies beside the tensors that were taken, and was not.

    Args:
        taken: what the network took.
        found: all sets of weights: one with most of the network's tensors is another of its kind, and is left out.
    """
    used = set(taken.found.values())
    alike = [fit for fit in found if 2 * len({*fit.found, *fit.unlike} & taken.found.keys()) > len(taken.found)]
    others = {there for fit in alike for there in (*fit.found.values(), *fit.unlike.values())} - used
    holders = {content.holders.get(there, "") for there in used}
    return [n for n in content.tensors if n not in used | others and content.holders.get(n, "") in holders]


def doubts_of_heads(path: object, first: Fit, taken: Fit) -> list[Doubt]:
    """Say which heads were taken from elsewhere in the file."""
    added = {name: there for name, there in taken.found.items() if name not in first.found}
    if not added:
        return []
    pairs = {name.rpartition(".")[0]: there.rpartition(".")[0] for name, there in added.items()}
    told = some([f"{name} is taken from {there}" for name, there in pairs.items()])
    grave = any(has_a_purpose(there, _last(name, first)) for name, there in added.items())
    names = some([first.before + name[len(first.within) :] for name in pairs])
    judged = (
        f"Where it is the final layer of these classes, save its tensors as {names}. Else {TRAIN_FIRST} --replace-head."
    )
    if not grave:
        judged = "Other heads of the file are left out."
    fresh = "Where that is another head, --replace-head begins with a fresh one"
    return [Doubt(f"{path} has no {names}: {told}", judged, fresh if grave else "", grave)]


def _last(name: str, fit: Fit) -> str:
    return name[len(fit.within) :] if name.startswith(fit.within) else name


def doubts_of_kind(
    path: object, content: Content, fit: Fit, left: Sequence[str], own: Mapping[str, Tensor], heads: Sequence[str]
) -> list[Doubt]:
    """Say that a file holds more layers like those of the network: they are of a deeper one.

    Args:
        left: names of what was not taken, as `left_over` returns them.
        own: the network's tensors.
        heads: the layers that make its logits, of which a file may hold several.
    """
    if not heads:
        return []
    body = [name for name in own if not name.startswith(tuple(f"{head}." for head in heads))]
    of_heads = {_kind(_last(name, fit)) for name in own.keys() - set(body)}
    kinds = {_kind(_last(name, fit)) for name in body} - of_heads
    short = {there: name for name, there in cleaned(content.tensors, own).items()}
    names = [short[name] for name in left if name in short and short[name].startswith(fit.before)]
    strange = [name for name in names if _kind(name.removeprefix(fit.before)) in kinds]
    if len(strange) < _FEWEST or len(strange) * _MANY < len(body):
        return []
    text = (
        f"{path} holds {counted(len(strange), 'tensor')} like those of the model that it has no place for "
        f"({some([name.removeprefix(fit.before) for name in strange])}): the weights are of a larger network"
    )
    judged = (
        "It was trained with these layers, and every figure would be that of another network. Pass the code that "
        "builds the network of the file as MODEL. Where the model was trained as it is, save its tensors alone: "
        "torch.save(model.state_dict(), 'weights.pt')."
    )
    return [Doubt(text, judged, "Training goes on from a part of them")]


def _kind(name: str) -> str:
    return re.sub(r"\d+", "", name)
