"""`hardener doctor`."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from hardener.cli.console import door, literal, note, out
from hardener.cli.options import RUNS, Runs

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "onnx", "onnxruntime-gpu", "onnxruntime", "bentoml")
EXTRAS = {
    "timm": ("timm", "models by `timm:NAME`"),
    "foolbox": ("decision", "decision-based attacks, which suite full has"),
    "pillow_heif": ("heic", "HEIC images, as phones take them"),
    "pyarrow": ("parquet", "parquet files, and data sets of HuggingFace"),
    "huggingface_hub": ("hf", "models and data sets by `hf:NAME`"),
    "h5py": ("convert", "`convert` of HDF5 and LMDB"),
    "mlflow": ("trackers", "`--set track=mlflow`; wandb and trackio come with it"),
    "imagecorruptions": ("corruptions", "`eval --corruptions`"),
}
LITTLE_DISK = 5e9  # bytes: a few runs of a ResNet-50 with their checkpoints


@dataclass(frozen=True)
class Diagnosis:
    """One line of the examination; `advice` says what to do about it, empty where all is well."""

    name: str
    status: Literal["ok", "note", "fault"]
    found: str
    advice: str = ""


@door
def doctor(
    runs: Runs = RUNS,
    json_: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Examine this machine: versions, devices, disk, caches, and a self-test of a few seconds."""
    note("examining …")
    findings = list(examine(runs))
    if json_:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    if any(finding.status == "fault" for finding in findings):
        raise typer.Exit(1)


def examine(runs: Path) -> Iterator[Diagnosis]:
    """Yield what is found, one part after the other."""
    yield from _versions()
    yield from _extras()
    yield from _devices()
    yield from _providers()
    yield from _disk(runs)
    from hardener.cli.self_test import self_test

    for name, words, fault in self_test():
        advice = "hardener doctor --debug shows where it came from" if fault else ""
        yield Diagnosis(name, "fault" if fault else "ok", words, advice)


def _versions() -> Iterator[Diagnosis]:
    from hardener import __version__

    yield Diagnosis("hardener", "ok", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    for package in PACKAGES:
        try:
            yield Diagnosis(package, "ok", version(package))
        except PackageNotFoundError:
            if package.startswith("onnxruntime"):  # one of the two is enough
                continue
            yield Diagnosis(package, "fault", "not installed", "pip install hardener")


def _extras() -> Iterator[Diagnosis]:
    for module, (extra, use) in EXTRAS.items():
        if find_spec(module) is None:
            yield Diagnosis(module, "note", f"not installed; it is for {use}", f"pip install 'hardener[{extra}]'")
        else:
            yield Diagnosis(module, "ok", f"installed, for {use}")


def _devices() -> Iterator[Diagnosis]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Diagnosis("processor", "ok", f"{cores} cores for this process, {torch.get_num_threads()} threads in torch")
    count = torch.cuda.device_count()
    for index in range(count):
        facts = torch.cuda.get_device_properties(index)
        yield Diagnosis(f"cuda:{index}", "ok", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB")
    if count:
        return
    if shutil.which("nvidia-smi") is None:
        yield Diagnosis("GPU", "note", "none: everything works, slower")
    elif torch.version.cuda is None:
        advice = "install a CUDA build of torch: https://pytorch.org/get-started/locally"
        yield Diagnosis("GPU", "fault", "a driver is here, but this torch is built without CUDA", advice)
    else:
        advice = "run nvidia-smi; the driver must be new enough for this CUDA version"
        yield Diagnosis("GPU", "fault", f"a driver is here, but torch (CUDA {torch.version.cuda}) sees no GPU", advice)


def _providers() -> Iterator[Diagnosis]:
    import onnxruntime
    import torch

    names = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    found = f"ONNX Runtime {onnxruntime.__version__} with {', '.join(names)}"
    if torch.cuda.is_available() and "CUDA" not in names:
        yield Diagnosis(
            "ONNX Runtime",
            "fault",
            f"{found}: the service would run on the CPU",
            "pip uninstall onnxruntime; pip install --force-reinstall onnxruntime-gpu",
        )
        return
    yield Diagnosis("ONNX Runtime", "ok", found)


def _disk(runs: Path) -> Iterator[Diagnosis]:
    from hardener.data.cache import default_folder

    for name, folder, advice in (
        ("runs", runs, "choose another place with --out"),
        ("image cache", default_folder(), "set HARDENER_CACHE to another folder, or pass --set data.cache=false"),
    ):
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        free = shutil.disk_usage(there).free
        held = sum(path.stat().st_size for path in folder.glob("*") if path.is_file()) if folder.is_dir() else 0
        found = f"{folder}: {free / 1e9:.0f} GB free" + (f", {held / 1e6:,.0f} MB held" if held else "")
        if not os.access(there, os.W_OK):
            yield Diagnosis(name, "fault", f"{folder} cannot be written", advice)
        elif free < LITTLE_DISK:
            yield Diagnosis(name, "fault", found, f"free some space, or {advice}")
        else:
            yield Diagnosis(name, "ok", found)


def _show(findings: list[Diagnosis]) -> None:
    from rich.table import Table

    styles = {"ok": "green", "note": "yellow", "fault": "bold red"}
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(3):
        table.add_column(overflow="fold")
    for finding in findings:
        advice = f"\n→ {finding.advice}" if finding.advice else ""
        table.add_row(
            finding.name, f"[{styles[finding.status]}]{finding.status}[/]", literal(f"{finding.found}{advice}")
        )
    out.print(table)
    faults = sum(finding.status == "fault" for finding in findings)
    if faults:
        out.print(f"[bold red]{faults} fault{'s' if faults > 1 else ''}[/]: do what stands behind each arrow.")
    else:
        out.print("[green]All is well.[/] Next: hardener quickstart first")
