"""The bundle that a user names, and whether it still is of the weights of the run that it lies in."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from hardener.config.bundle import DESCRIPTION_FILE, read_bundle, sha256_of
from hardener.config.run_folder import RunFolder, find_run
from hardener.errors import HardenerError

_INT8 = ("--quantize", "int8")


def find_bundle(spec: str | None, runs: Path, warn: Callable[[str], None]) -> Path:
    """Return the folder of the bundle that a user names, or the newest run's; links in its path stay as they are.

    Args:
        spec: a bundle's folder, which is taken as it is, or a run as `find_run` takes it.
        warn: told of a bundle that was made from other weights than its run has now, where that is no error: it is
            named itself, or the run still trains, and each better epoch leaves its bundle behind.
    Raises:
        HardenerError: no such run, one without a bundle, or one that has other weights since its bundle was made.
    """
    if spec is not None and (Path(spec) / DESCRIPTION_FILE).is_file():
        if (fault := of_other_weights(Path(spec))) is not None:
            warn(fault)
        return Path(spec)
    run = find_run(spec, runs)
    if not run.bundle.is_dir():
        command = shlex.join(["hardener", "export", str(run.path)])
        raise HardenerError(f"{run.path} has no bundle yet. Make one: {command}")
    fault = of_other_weights(run.bundle)
    if fault is not None and run.read_record().status == "finished":
        raise HardenerError(f"{fault} To use it as it is, name its folder: {run.bundle}")
    if fault is not None:
        warn(fault)
    return run.bundle


def of_other_weights(bundle: Path) -> str | None:
    """Say that a bundle in a run was made from other weights than the run has now, and what to do.

    Returns:
        None where it is of these weights, lies in no run, or nothing is left to compare it with.
    Raises:
        HardenerError: it cannot be read.
    """
    real = bundle.resolve()  # it may be a link to one in a run
    run = RunFolder(bundle.parent if bundle.parent.resolve() == real.parent else real.parent)
    own: dict[str, list[str]] = {run.bundle.name: [], run.int8_bundle.name: [*_INT8]}
    if real.name not in own or not (run.record_file.is_file() and run.weights.is_file()):
        return None
    if read_bundle(bundle).fingerprint == sha256_of(run.weights):
        return None
    command = shlex.join(["hardener", "export", str(run.path), *own[real.name]])
    return f"{bundle} was made from other weights than {run.path} has now. Make it again: `{command}`."


def left_behind(run: RunFolder) -> list[str]:
    """Say what a run's newest export left as it was: an int8 bundle or a folder for Triton of an export before it."""
    found, newest = [], set()
    for bundle in filter(Path.is_dir, (run.bundle, run.int8_bundle)):
        try:
            if (fault := of_other_weights(bundle)) is None:
                newest.add(read_bundle(bundle).model.sha256)
            else:
                found.append(fault)
        except HardenerError as error:
            found.append(str(error))
    copies = list(run.triton.rglob("*.onnx"))
    if any(sha256_of(copy) not in newest for copy in copies):
        command = shlex.join(["hardener", "export", str(run.path), *_INT8 * (len(copies) > 1), "--layout", "triton"])
        found.append(f"{run.triton} holds the model of an export before this one. Make it again: `{command}`.")
    return found
