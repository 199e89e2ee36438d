"""The classes that a checkpoint names -> a network whose outputs stand in the order of the data's classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hardener.errors import HardenerError
from hardener.models.answer import unwrap_logits
from hardener.models.build import Built
from hardener.models.checkpoints.doubt import TRAIN_FIRST, Doubt
from hardener.models.checkpoints.told import Told, tells_nothing
from hardener.models.conditions import noise
from hardener.models.head import auxiliary_heads
from hardener.runtime.model_state import device_of, in_eval_mode, same_draws
from hardener.words import listed

_WORDNET = re.compile(r"n\d{8}")
_SHOWN = 5


def put_in_order(built: Built, told: Told, path: object, classes: Sequence[str]) -> tuple[list[str], list[Doubt]]:
    """Put the rows of a network's final layer in the order of the data's classes, where its file says another.

    Args:
        built: with the file's weights; its final layer is changed.
        told: what the file says.
        path: what the file is called.
    Returns:
        What is to be said, and what speaks against the network: classes of other names, or an order that no final
        layer can be put in.
    """
    named = [names for names in told.classes if len(names) == len(classes) and not tells_nothing(names)]
    found = next(((names, rows) for names in named if (rows := same_names(names, classes)) is not None), None)
    if found is None:
        others = [names for names in named if not all(name.isdecimal() for name in names)]
        return [], [_of_others(path, names, classes) for names in others[:1]]
    names, rows = found
    if rows == list(range(len(rows))):
        return [], []
    order = f"{path} has its classes in another order ({_shown(names)}) than the data ({_shown(classes)})"
    fault = _permuted(built, rows)
    if fault is None:
        return [f"{order}: the rows of the final layer are put in the data's"], []
    unable = f"{order}, and its final layer cannot be put in the data's: {fault}"
    judged = f"Every figure would be wrong. {TRAIN_FIRST[0].upper()}{TRAIN_FIRST[1:]}."
    return [], [Doubt(unable, judged, "It has to learn the order anew")]


def same_names(names: Sequence[str], classes: Sequence[str]) -> list[int] | None:
    """Return for each of the data's classes its place among a file's names; None where these are of other classes.

    Names may differ in case, in spaces and marks between words, and by synonyms behind a comma.
    """
    forms: tuple[Callable[[str], str], ...] = (str, _plain, lambda name: _plain(name.split(",")[0]))
    for form in forms:
        theirs, ours = [form(name) for name in names], [form(name) for name in classes]
        if len(set(theirs)) == len(theirs) and len(set(ours)) == len(ours) and set(theirs) == set(ours):
            return [theirs.index(name) for name in ours]
    return None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _of_others(path: object, names: Sequence[str], classes: Sequence[str]) -> Doubt:
    text = f"{path} was made for other classes ({_shown(names)}) than those of the data ({_shown(classes)})"
    if all(name.isdecimal() for name in classes) or any(_are_codes(one) for one in (names, classes)):
        return Doubt(
            f"{path} names its classes ({_shown(names)}) in other words than the data ({_shown(classes)}): they are "
            "taken to stand in one order",
            "Nothing here tells whether they do.",
            "Nothing here tells whether they do",
            grave=False,
        )
    judged = (
        "It would be judged by classes that it has not learnt. Evaluate it on images of its own classes, or "
        f"{TRAIN_FIRST}. Where both are the same, give the data's classes the names of the file."
    )
    return Doubt(text, judged, "Its final layer begins from those")


def _are_codes(names: Sequence[str]) -> bool:
    return all(_WORDNET.fullmatch(name) for name in names)


def _permuted(built: Built, rows: Sequence[int]) -> str | None:
    """Put the final layer's rows in an order; where that does not give the same logits in that order, say why and leave
    all as it was."""
    network, count = built.network, len(rows)
    images = noise(2, built.channels, built.height, built.width, device_of(network))
    heads = dict.fromkeys([*built.answer.heads, *auxiliary_heads(network, count, images)])
    if not heads:
        return "nothing tells which layer it is"
    layers = [network.get_submodule(name) for name in heads]
    odd = next((name for name, layer in zip(heads, layers, strict=True) if not _has_a_row_each(layer, count)), None)
    if odd is not None:
        return f"{odd} is no plain linear layer"
    held = {id(one): one for layer in layers for one in (layer.weight, layer.bias) if isinstance(one, nn.Parameter)}
    before = _logits(built, images, count)
    with torch.no_grad():
        for one in held.values():
            one.copy_(one[list(rows)])
        after = _logits(built, images, count)
        if torch.allclose(after, before[:, list(rows)], rtol=1e-3, atol=1e-5):
            return None
        back = torch.tensor(rows).argsort()
        for one in held.values():
            one.copy_(one[back])
    return "what follows the layer has an order of its own"


def _has_a_row_each(layer: nn.Module, count: int) -> bool:
    if parametrize.is_parametrized(layer) or len(layer._forward_pre_hooks):
        return False
    if isinstance(layer, nn.Linear):
        return layer.out_features == count
    return isinstance(layer, nn.Conv2d) and layer.out_channels == count and layer.groups == 1


@torch.no_grad()
def _logits(built: Built, images: Tensor, count: int) -> Tensor:
    """Ask a network in eval mode; NaN, which equals nothing, where it answers with nothing."""
    with in_eval_mode(built.network), same_draws(images.device):
        torch.manual_seed(0)
        try:
            return unwrap_logits(built.network(images.clone()), width=count, images=len(images), way=built.way).clone()
        except HardenerError:
            return images.new_full((len(images), count), torch.nan)


def _shown(names: Sequence[str]) -> str:
    return listed(names, _SHOWN) + (", …" if len(names) > _SHOWN else "")
