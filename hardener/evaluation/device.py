"""Where the work is done."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from hardener.errors import HardenerError


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:1` into a device that is there.

    Raises:
        HardenerError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
    return device


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
