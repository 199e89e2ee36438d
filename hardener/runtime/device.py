"""Where the work is done."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from hardener.errors import HardenerError

_ARCHITECTURE = re.compile(r"(?P<kind>sm|compute)_(?P<major>\d+)(?P<minor>\d)[a-z]?$")
_NATIVE = ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16")


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:1` into a device that is there.

    Raises:
        HardenerError: no such device here, or a GPU that the installed torch has no kernels for.
    """
    if name == "auto":
        return _with_kernels(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise HardenerError(f"unknown device {name!r}. Known: auto, cpu, cuda, cuda:0, …") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise HardenerError(
            f"no device {name} here: torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices. "
            "Use --device cpu or auto."
        )
    if device.type not in {"cpu", "cuda"}:
        raise HardenerError(f"device {name!r} is not supported. Known: auto, cpu, cuda, cuda:0, …")
    return _with_kernels(device)


def _with_kernels(device: torch.device) -> torch.device:
    """Raise an error for a GPU whose generation this torch was not built for: its first operation would fail.

    Binary code runs on GPUs of the same major version and at least its minor one, PTX on all later ones.
    Source: NVIDIA, CUDA C++ Programming Guide, binary and PTX compatibility.
    """
    if device.type != "cuda" or torch.version.hip is not None:
        return device
    major, minor = torch.cuda.get_device_capability(device)
    built = [_ARCHITECTURE.match(name) for name in torch.cuda.get_arch_list()]
    found = [(one["kind"], int(one["major"]), int(one["minor"])) for one in built if one is not None]
    if not found or any(
        (own == major and least <= minor) or (kind == "compute" and (own, least) <= (major, minor))
        for kind, own, least in found
    ):
        return device
    known = ", ".join(f"{own}.{least}" for own, least in sorted({(own, least) for _, own, least in found}))
    raise HardenerError(
        f"{torch.cuda.get_device_name(device)} is a GPU of compute capability {major}.{minor}, and the installed torch "
        f"{torch.__version__} has kernels for {known}. Use --device cpu, or install a torch that is built for it."
    )


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 itself, instead of by conversions to and from float32."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    told: Callable[[], Mapping[str, Any]] | None = getattr(torch.cpu, "get_capabilities", None)
    if told is not None:
        return any(told().get(name) is True for name in _NATIVE)
    older = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # before torch 2.10
    return any(getattr(torch.cpu, name, bool)() for name in older)


def kind_of(device: torch.device) -> str:
    return "GPU" if device.type == "cuda" else "processor"


def keep_freed_memory() -> None:
    """Let the C library keep up to 64 MB of freed memory instead of handing it back to the system.

    Each pass through a network frees activations of some megabytes and asks for them again, and pages that were handed
    back must first be faulted in and cleared. Whether they are hangs on what the process freed before: it took from
    nothing to a fifth of a gradient attack's processor time, up to a tenth of a training step's. glibc sets its
    limits, which start at 128 kB, by the largest block that was freed so far, to 32 MB at most, and keeps twice that.
    No page of this block is touched, so it costs nothing, and other C libraries pay it no heed.
    Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    block = torch.empty(2**25 - 2**16, dtype=torch.uint8, device="cpu")
    del block


def describe_hardware(device: torch.device) -> dict[str, Any]:
    """Return what a reader of a figure needs to know of the machine."""
    found: dict[str, Any] = {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["gpu_memory_bytes"] = torch.cuda.get_device_properties(device).total_memory
    return found


def describe_versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    found = {"python": platform.python_version()}
    for package in ("hardener", "torch", "torchvision", "numpy", "pillow", "timm"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
