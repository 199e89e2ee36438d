"""Operations that torch's exporter does not know, in operators of ONNX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from onnxscript import opset20 as op
from torch.overrides import TorchFunctionMode

_DATA = torch.Tensor.data.__get__  # type: ignore[attr-defined]


class DataDetached(TorchFunctionMode):
    """Read `x.data` as `x.detach()`: the exporter takes the first for a constant, which it then refuses."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0].detach() if func == _DATA else func(*args, **(kwargs or {}))


def adaptive_max_pool(images: Any, output_size: Sequence[int]) -> tuple[Any, Any]:
    """Take the maximum of each window, one axis after the other: windows may overlap where sizes do not divide.

    Args:
        images: its last dimensions, as many as there are sizes, are known numbers.
    Returns:
        What was pooled, and in the place of the indices nothing of use.
    """
    pooled, rank = images, len(images.shape)
    for place, size in enumerate(output_size):
        axis = rank - len(output_size) + place
        length = int(images.shape[axis])
        windows = []
        for index in range(size):
            first, last = index * length // size, -(-(index + 1) * length // size)
            window = op.Slice(
                pooled,
                op.Constant(value_ints=[first]),
                op.Constant(value_ints=[last]),
                op.Constant(value_ints=[axis]),
            )
            windows.append(op.ReduceMax(window, op.Constant(value_ints=[axis]), keepdims=1))
        pooled = windows[0] if size == 1 else op.Concat(*windows, axis=axis)
    return pooled, op.Cast(pooled, to=7)


_aten = torch.ops.aten
TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    _aten.adaptive_max_pool2d.default: adaptive_max_pool,
    _aten.adaptive_max_pool3d.default: adaptive_max_pool,
}
