"""What a network returned -> its logits, wherever they stand in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from hardener.errors import HardenerError

Way = tuple[int | str, ...]
"""From what a network returns to a tensor in it: () is that itself, (1,) the second of a tuple, ("out",) a key."""
_NAMED = ("logits", "out", "output")
_DEEPEST = 3


def unwrap_logits(
    output: Any, *, width: int | None = None, images: int | None = None, way: Way | None = None
) -> Tensor:
    """Find the logits, (N, K), in what a network returned.

    Args:
        width: K, where it is known: of several tensors the first with so many columns is taken.
        images: N, where it is known: with one image the answer may be (K,).
        way: where they were found before; looked at first.
    Raises:
        HardenerError: nothing that could be logits.
    """
    if isinstance(output, Tensor) and output.dim() == 2 and output.is_floating_point():
        return output
    if way is not None:
        found = next((rows for place, rows in answers(output, images) if place == way), None)
        if found is not None and width in (None, found.shape[1]):
            return found
    found = next((rows for _, rows in sorted_answers(output, width, images)), None)
    if found is None:
        raise HardenerError(_refusal(output))
    return found


def sorted_answers(output: Any, width: int | None, images: int | None) -> list[tuple[Way, Tensor]]:
    """Return the tensors (N, K) in what a network returned: those with `width` columns first, else as they stand."""
    found = list(answers(output, images))
    return sorted(found, key=lambda item: item[1].shape[1] != width) if width is not None else found


def answers(output: Any, images: int | None = None) -> Iterator[tuple[Way, Tensor]]:
    """Yield every tensor in what a network returned that is, or is but for its shape, (N, K); with its way."""
    for way, tensor in _tensors(output, ()):
        rows = _as_rows(tensor, images)
        if rows is not None:
            yield way, rows


def tensors(output: Any) -> list[Tensor]:
    """Return all tensors of real numbers in what a network returned."""
    return [tensor for _, tensor in _tensors(output, ())]


def show_way(way: Way) -> str:
    """Return words for where logits stand: `output 2`, `'out'`."""
    return " of ".join(f"output {step + 1}" if isinstance(step, int) else repr(step) for step in reversed(way))


def _as_rows(tensor: Tensor, images: int | None) -> Tensor | None:
    if tensor.dim() == 2:
        return tensor
    if tensor.dim() in (3, 4) and all(size == 1 for size in tensor.shape[2:]):
        return tensor.flatten(1)
    if tensor.dim() == 1 and images == 1 and tensor.shape[0] > 1:  # .squeeze() took the batch away
        return tensor.unsqueeze(0)
    return None


def _tensors(value: Any, way: Way) -> Iterator[tuple[Way, Tensor]]:
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield way, value
        return
    if len(way) < _DEEPEST:
        for step, inner in _parts(value):
            yield from _tensors(inner, (*way, step))


def _parts(value: Any) -> list[tuple[int | str, Any]]:
    """Return what a container holds, its logits first where it names them."""
    parts: list[tuple[int | str, Any]]
    if isinstance(value, Mapping):
        parts = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = list(zip(value._fields, value, strict=True))
    elif isinstance(value, tuple | list):
        return list(enumerate(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif hasattr(value, "__dict__"):
        parts = list(({name: getattr(value, name) for name in _NAMED if hasattr(value, name)} | vars(value)).items())
    else:
        return []
    return sorted(parts, key=lambda part: _NAMED.index(str(part[0])) if part[0] in _NAMED else len(_NAMED))


def _refusal(output: Any) -> str:
    found = output if isinstance(output, Tensor) else next((tensor for _, tensor in _tensors(output, ())), None)
    what = type(output).__name__ if found is None else f"a tensor of shape {tuple(found.shape)}"
    why = ""
    if found is not None and found.is_complex():
        why = " These are complex numbers: return real ones, such as their absolute values."
    elif found is not None and found.dim() == 0:
        why = " One number for all images is a loss, which hardener takes by itself: return the logits in training too."
    elif found is not None and not found.is_floating_point():
        why = " These are whole numbers, such as classes: return the logits that they were chosen by."
    elif found is not None and found.dim() == 4:
        why = (
            " That is an answer for every place of an image, as in segmentation, and hardener is for classifiers: "
            "average over places in the model file, logits.mean((2, 3))."
        )
    elif found is not None and found.dim() == 1:
        why = " One number an image is no logit for each class: let the model file build num_classes outputs."
    return (
        f"the model returned {what}; a classifier returns logits of shape (N, K), alone, in a tuple, or under `logits` "
        f"in a mapping or an object.{why}"
    )
