"""What a network returned -> its logits, wherever they stand in it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hardener.errors import HardenerError

Way = tuple[int | str, ...]
"""From what a network returns to a tensor in it: () is that itself, (1,) the second of a tuple, ("out",) a key."""
_NAMED = ("logits", "out", "output")
_DEEPEST = 3
_FEWEST = 8
"""Fewer features than these are colours, or a score of each place."""


@dataclass(frozen=True)
class Features:
    """Feature maps or tokens that a network returned in place of logits.

    Attributes:
        rows: (N, C), their average over all places, or tokens, of an image.
        told: what they are, in words.
    """

    way: Way
    rows: Tensor
    told: str


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


def features(output: Any, images: Sequence[int], num_classes: int | None) -> Features | None:
    """Find feature maps or tokens in what a network returned: of several those with most features, the last of them.

    What is half as large as the images, or larger, answers for places, as segmentation does, and so does what has a
    score, or a row, for each class.

    Args:
        images: the shape of what the network was given, (N, C, H, W).
    """
    found = []
    for way, tensor in _tensors(output, ()):
        if tensor.dim() not in (3, 4) or tensor.shape[0] != images[0] or num_classes in tensor.shape[1:]:
            continue
        kept = _feature_dimension(tensor)
        places = [int(size) for place, size in enumerate(tensor.shape) if place not in (0, kept)]
        count = int(tensor.shape[kept])
        if math.prod(places) * 4 <= images[2] * images[3] and count >= _FEWEST:
            shape = " x ".join(map(str, places))
            told = f"{count} maps of {shape}" if tensor.dim() == 4 else f"{shape} tokens of {count} features"
            found.append(Features(way, averaged(tensor), told + (f" ({show_way(way)})" if way else "")))
    most = max((one.rows.shape[1] for one in found), default=0)
    return next((one for one in reversed(found) if one.rows.shape[1] == most), None)


def averaged(tensor: Tensor) -> Tensor:
    """Return the average of feature maps over their places, or of tokens over all of them: (N, C)."""
    kept = _feature_dimension(tensor)
    return tensor.mean([place for place in range(1, tensor.dim()) if place != kept])


def tensor_at(output: Any, way: Way) -> Tensor:
    """Return the tensor that stands at some place of what a network returned.

    Raises:
        HardenerError: there is none.
    """
    found = next((tensor for place, tensor in _tensors(output, ()) if place == way), None)
    if found is None:
        raise HardenerError(f"the model did not return its features at {show_way(way)} each time, in training too.")
    return found


def _feature_dimension(tensor: Tensor) -> int:
    """Return which dimension of maps (N, C, H, W) or (N, H, W, C), or of tokens (N, T, C) or (N, C, T), holds C."""
    first, last = int(tensor.shape[1]), int(tensor.shape[-1])
    if tensor.dim() == 4:
        return 3 if first == tensor.shape[2] != last else 1
    return 1 if _fills_square(last) and not (_fills_square(first) and last >= _FEWEST) else 2


def _fills_square(count: int) -> bool:
    """May it be the number of an image's patches, beside a token or two of another kind?"""
    return any(math.isqrt(count - other) ** 2 == count - other for other in range(3) if count > other)


def is_named(way: Way) -> bool:
    """Does a name say that what stands there is the logits?"""
    return bool(way) and way[-1] in _NAMED


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
