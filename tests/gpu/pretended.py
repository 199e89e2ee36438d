"""A CUDA device that is not there: its tensors are computed on the processor, and mixing the two raises as on a card.

It shows what runs on a GPU at all: that no tensor, generator or array is left on the other side; and where the host
waits for the device. It says nothing about speed, memory, kernels, streams, `--compile` or NCCL. The part of torch that
it stands in for is `torch.cuda` and each tensor's device; a tensor "on" the device is a wrapper around one on the
processor.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
import torch._dynamo  # it looks at functions that are exchanged below
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
_MOVES = {"aten::copy_", "aten::_to_copy"}  # from one device to the other
_INDEXES = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}  # by places on either
_COUNTS = {"nonzero", "masked_select", "_local_scalar_dense", "equal", "_unique2", "unique_dim", "unique_consecutive"}
"""What answers with a number, or with a shape that follows from values."""
WAITS: list[str] = []
"""What the host has waited for so far: answers of the device, and copies that are not `non_blocking`."""


class Generator(torch.Generator):
    """`torch.Generator`, which may be one of the device."""

    there: bool

    def __new__(cls, device: Any = "cpu") -> Generator:
        found: Generator = super().__new__(cls, "cpu")
        found.there = _is_cuda(device)
        return found

    @property
    def device(self) -> torch.device:
        return CUDA if self.there else torch.device("cpu")


class Autocast(torch.autocast):
    """`torch.autocast`, as the processor has it."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu", *args, **kwargs)


class OnCuda(Tensor):
    """A tensor on the device; `held` has its values."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnCuda:
        made = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype
        )
        made.held = held
        found: OnCuda = made
        return found

    @property
    def device(self) -> torch.device:
        return CUDA

    @property
    def is_cuda(self) -> bool:
        return True

    def tolist(self) -> Any:
        WAITS.append("tolist")
        return self.held.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def untyped_storage(self) -> Any:
        return self.held.untyped_storage()

    def __repr__(self, **kwargs: Any) -> str:
        return f"OnCuda({self.held!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copy: Tensor = OnCuda(self.held.detach().clone())
        found = nn.Parameter(copy, self.requires_grad) if isinstance(self, nn.Parameter) else copy
        return memo.setdefault(id(self), found)

    def __reduce_ex__(self, protocol: Any) -> Any:  # files hold what comes back to the processor
        return self.held.detach().__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        _check(func, args, kwargs)
        _see_waits(func, args)
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("cpu")
        out = func(*_held(args), **_held(kwargs))
        if func._schema.name == "aten::copy_" and not isinstance(args[0], OnCuda):
            return args[0]
        return return_and_correct_aliasing(func, args, kwargs, _wrapped(out))


def _check(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise what a card raises where tensors or generators of both sides meet."""
    name = func._schema.name
    if name in _MOVES:
        return
    for leaf in tree_leaves((args, kwargs)):
        if type(leaf) is Generator and not leaf.there:
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu' ({func})")
        if isinstance(leaf, Tensor) and not isinstance(leaf, OnCuda) and leaf.dim() > 0:
            if name in _INDEXES and isinstance(args[0], OnCuda) and not leaf.is_floating_point():
                continue
            raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu ({func})")


def _see_waits(func: Any, args: Sequence[Any]) -> None:
    name = func._schema.name.removeprefix("aten::")
    if name == "copy_":
        waits = isinstance(args[0], OnCuda) != isinstance(args[1], OnCuda) and not any(args[2:])
    elif f"aten::{name}" in _INDEXES:  # by a mask; one number under a mask is filled in without a count
        masks = any(isinstance(leaf, Tensor) and leaf.dtype == torch.bool for leaf in tree_leaves(args[1]))
        waits = masks and (len(args) < 3 or isinstance(args[2], OnCuda) or args[2].dim() > 0)
    else:
        waits = name in _COUNTS
    if waits:
        WAITS.append(name)


def _is_cuda(device: Any) -> bool:
    return isinstance(device, str | torch.device) and torch.device(device).type == "cuda"


def _held(values: Any) -> Any:
    return tree_map(lambda value: value.held if isinstance(value, OnCuda) else value, values)


def _wrapped(values: Any) -> Any:
    is_plain = lambda value: isinstance(value, Tensor) and not isinstance(value, OnCuda)  # noqa: E731
    return tree_map(lambda value: OnCuda(value) if is_plain(value) else value, values)


class _Move(torch.autograd.Function):
    """A copy on the other side; its gradient comes back to this one."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return OnCuda(values.detach().clone()) if type(values) is not OnCuda else values.held.detach().clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.held if isinstance(gradient, OnCuda) else OnCuda(gradient)


def moved(values: Tensor, there: bool) -> Tensor:
    """Return a tensor on the device, or on the processor; the same one where it lies there."""
    if there == isinstance(values, OnCuda):
        return values
    found: Tensor = (
        _Move.apply(values) if values.requires_grad and torch.is_grad_enabled() else _Move.forward(None, values)
    )
    return found


class _Mode(TorchFunctionMode):
    """Takes what names a device before torch looks for it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = {key: value for key, value in (kwargs or {}).items() if key != "pin_memory"}
        special = _SPECIAL.get(func) or (_set_data if func == Tensor.data.__set__ else None)
        if special is not None:
            return special(*args, **kwargs)
        leaves = tree_leaves((args, kwargs))
        has = any(isinstance(leaf, OnCuda) for leaf in leaves)
        device = kwargs.get("device")
        there = has if device is None else _is_cuda(device)
        drawn = next((leaf.there for leaf in leaves if type(leaf) is Generator), there)
        if drawn != there and (device is not None or not has):
            raise RuntimeError(f"Expected a {device or 'cpu'} device type for generator but found another ({func})")
        if device is None:
            return func(*args, **kwargs)
        if there and func in {torch.tensor, torch.as_tensor}:
            WAITS.append(func.__name__)
        made = func(*args, **{**kwargs, "device": torch.device("cpu")} if not has else _without(kwargs, "device"))
        return moved(made, there).detach().requires_grad_(made.requires_grad)


def _without(kwargs: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != key}


def _to(values: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`Tensor.to`, whose first argument may be a tensor, a device, None or a type."""
    words = list(args)
    if words and isinstance(words[0], Tensor):
        words[:1] = [words[0].device, words[0].dtype]
    device = kwargs.pop("device", None)
    if words and (words[0] is None or isinstance(words[0], str | torch.device)):
        device = words.pop(0)
    goes = device is not None and _is_cuda(device) != isinstance(values, OnCuda)
    if goes and not (kwargs.get("non_blocking") and _is_cuda(device)):  # what comes back is read, so it is waited for
        WAITS.append("to")
    found = values if device is None else moved(values, _is_cuda(device))
    dtype = kwargs.pop("dtype", None) or next((word for word in words if isinstance(word, torch.dtype)), found.dtype)
    return _REAL_TO(found, dtype, **kwargs)


_REAL_TO: Callable[..., Tensor] = Tensor.to


def _set_data(target: Tensor, value: Tensor) -> None:
    """`target.data = value`, whatever the sides of the two."""
    if isinstance(target, OnCuda) and isinstance(value, OnCuda):
        target.held = value.held
    elif isinstance(target, OnCuda) or isinstance(value, OnCuda):
        torch.utils.swap_tensors(target, nn.Parameter(value, target.requires_grad))
    else:
        Tensor.data.__set__(target, value)


def _parse_to(*args: Any, **kwargs: Any) -> Any:
    """What `Module.to` reads its arguments with."""
    device = kwargs.pop("device", None) or next((word for word in args if isinstance(word, str | torch.device)), None)
    rest = [word for word in args if word is not device]
    found = torch._C._nn._parse_to(*([torch.device("cpu"), *rest] if device is not None else rest), **kwargs)
    return (None if device is None else torch.device(device), *found[1:])


def _one_hot(values: Tensor, *args: Any, **kwargs: Any) -> Any:
    """It makes a tensor within, on the device that C++ sees; so does `affine_grid`."""
    found = nn.functional.one_hot(_held(values), *args, **kwargs)
    return moved(found, isinstance(values, OnCuda))


def _affine_grid(theta: Tensor, size: Sequence[int], **kwargs: Any) -> Tensor:
    height, width = size[2:]
    down, right = ((2 * torch.arange(side) + 1) / side - 1 for side in (height, width))
    places = torch.stack([right.repeat(height, 1), down.view(-1, 1).repeat(1, width), torch.ones(height, width)], -1)
    return torch.einsum("hwk,njk->nhwj", moved(places.to(theta.dtype), isinstance(theta, OnCuda)), theta)


_SPECIAL: dict[Any, Callable[..., Any]] = {
    Tensor.to: _to,
    Tensor.cpu: lambda values, *_, **__: _to(values, "cpu"),
    Tensor.cuda: lambda values, *_, **__: _to(values, "cuda"),
    Tensor.pin_memory: lambda values, *_, **__: values,
    torch._C._nn._parse_to: _parse_to,
    nn.functional.one_hot: _one_hot,
    nn.functional.affine_grid: _affine_grid,
}
_FACTS: dict[str, Any] = {
    "is_available": True,
    "is_initialized": True,
    "is_bf16_supported": True,
    "is_current_stream_capturing": False,
    "device_count": 1,
    "current_device": 0,
    "get_device_capability": (9, 0),
    "get_arch_list": ["sm_90"],
    "get_device_name": "pretended",
    "get_device_properties": SimpleNamespace(name="pretended", total_memory=2**34),
    "mem_get_info": (2**33, 2**34),
    "device": contextlib.nullcontext(),
    "get_rng_state": torch.zeros(16, dtype=torch.uint8),
    **dict.fromkeys(("set_rng_state", "manual_seed_all", "synchronize", "empty_cache", "_lazy_init")),
}
_OF_ACCELERATOR = {
    "is_available": True,
    "current_device_index": 0,
    "current_stream": SimpleNamespace(is_capturing=lambda: False),
}


@contextlib.contextmanager
def pretended_cuda() -> Iterator[None]:
    """Let there be a device `cuda:0` meanwhile."""
    is_alike, swaps = torch._has_compatible_shallow_copy_type, torch.__future__.set_swap_module_params_on_conversion
    with contextlib.ExitStack() as stack:
        for room, facts in ((torch.cuda, _FACTS), (torch.accelerator, _OF_ACCELERATOR)):
            for name, fact in facts.items():
                stack.enter_context(mock.patch.object(room, name, lambda *_, _fact=fact, **__: _fact))
        for name, value in {
            "Generator": Generator,
            "autocast": Autocast,
            "_has_compatible_shallow_copy_type": lambda a, b: type(_held(a)) is type(a) and is_alike(a, b),
        }.items():
            stack.enter_context(mock.patch.object(torch, name, value))
        swaps(True)  # so that a module's parameters stay the same objects when it moves
        stack.callback(swaps, False)
        stack.enter_context(_Mode())
        yield
