"""Numbers and tensors that a network keeps as plain attributes, which no run saves: those that training changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hardener.models.conditions import Remark
from hardener.models.normalize import ImageClassifier

_OF_TORCH = set(vars(nn.Module()))
_MOST_IN_A_LIST = 64


@dataclass(frozen=True)
class Attribute:
    """A plain attribute that changes in training: `Net.center`. `answers`: those in eval mode depend on it."""

    name: str
    is_number: bool
    answers: bool


def changed_by_training(classifier: ImageClassifier, images: Tensor) -> list[Attribute]:
    """Find the plain attributes that a pass in training mode changes, with the classes that they belong to.

    What is kept of the last pass alone, such as features for a look at them, is none.
    """
    found: dict[str, Attribute] = {}
    with contextlib.suppress(Exception):  # the user's own code: it may raise anything
        classifier.train()
        with torch.enable_grad():
            classifier(images)
            before = plain_state(classifier.network)
            classifier(images)
        after = plain_state(classifier.network)
        classifier.eval()
        for (module, name), old in before.items():
            if (module, name) not in after or _same(old, after[module, name]):
                continue
            answers = _answers_by(classifier, images, module, name, old)
            is_number = isinstance(old, int | float)
            if answers or is_number:
                told = f"{type(module).__name__}.{name}"
                found[told] = Attribute(told, is_number, answers or (told in found and found[told].answers))
    return list(found.values())


@contextlib.contextmanager
def plain_state_kept(network: nn.Module) -> Iterator[None]:
    """Give the modules of a network back the numbers and tensors that they hold plainly, as they were, and no more."""
    before = {(module, name): (vars(module)[name], kept) for (module, name), kept in plain_state(network).items()}
    try:
        yield
    finally:
        for module, name in plain_state(network).keys() - before.keys():  # `steps = 0` of the class is no module's own
            del vars(module)[name]
        for (module, name), (held, kept) in before.items():
            if vars(module).get(name) is not held:
                vars(module)[name] = held
            if isinstance(held, Tensor) and not _same(held.detach(), kept):
                held.detach().copy_(kept)
            elif isinstance(held, list) and not _same(held, kept):
                held[:] = kept


def plain_state(network: nn.Module) -> dict[tuple[nn.Module, str], Any]:
    """Return copies of the numbers and tensors, alone or in a list, that the modules of a network hold plainly."""
    found = {}
    for module in network.modules():
        for name, value in vars(module).items():
            kept = None if name in _OF_TORCH else _copied(value)
            if kept is not None:
                found[module, name] = kept
    return found


def remarks_on_plain_state(found: list[Attribute]) -> list[Remark]:
    """Say what of it is lost when a run ends, and how to keep it."""
    lost = [one for one in found if one.answers]
    counting = [one.name for one in found if not one.answers]
    remarks = [Remark(f"{told_of_plain(lost)} {keep(lost)}", wrong=True)] if lost else []
    if counting:
        text = "changes in training and is not saved, as it is a plain number: a resumed run begins with it anew"
        remarks.append(Remark(f"{', '.join(counting)} {text}"))
    return remarks


def told_of_plain(lost: list[Attribute]) -> str:
    """Say which plain attributes the answers depend on, and what comes of that."""
    names = ", ".join(one.name for one in lost)
    if len(lost) == 1:
        told = f"{names} changes in training, and the answers depend on it. It is a plain attribute"
        return f"{told}, which no run saves: a trained network opens without what it learned."
    told = f"{names} change in training, and the answers depend on them. They are plain attributes"
    return f"{told}, which no run saves: a trained network opens without what they learned."


def keep(lost: list[Attribute]) -> str:
    """Say how to keep a plain attribute with the weights."""
    name = lost[0].name.rpartition(".")[2]
    if lost[0].is_number:
        return (
            f'Write self.register_buffer("{name}", torch.tensor(VALUE)) in place of self.{name} = VALUE in __init__, '
            f"and self.{name}.fill_(NEW) in place of self.{name} = NEW in forward."
        )
    return f'Write self.register_buffer("{name}", TENSOR) in place of self.{name} = TENSOR in __init__.'


def _copied(value: Any) -> Any:
    """Return a copy of a number, a tensor or a short list of these; None of anything else."""
    if isinstance(value, Tensor):
        return None if isinstance(value, nn.Parameter) else value.detach().clone()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, list) and 0 < len(value) <= _MOST_IN_A_LIST:
        kept = [_copied(one) for one in value]
        return None if any(one is None for one in kept) else kept
    return None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and one.device == other.device and torch.equal(one, other)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)


def _answers_by(classifier: ImageClassifier, images: Tensor, module: nn.Module, name: str, old: Any) -> bool:
    """Do the answers in eval mode differ where an attribute has its old value?"""
    now = vars(module)[name]
    with torch.no_grad():
        first, again = classifier(images), classifier(images)
        try:
            setattr(module, name, old)
            other = classifier(images)
        finally:
            setattr(module, name, now)
    return torch.equal(first, again) and not torch.equal(first, other)
