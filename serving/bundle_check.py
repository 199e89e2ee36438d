"""Whether a bundle can be served: all that a worker does with it, done once before a worker does it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from hardener.config.bundle import read_bundle
from hardener.config.serving_limits import FIXED
from hardener.errors import HardenerError

_ACCEPTED = "accepted"
_MOST_S = float(FIXED["bundle_check_s"].value)
_SCRIPT = f"import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {__name__} import main; main(sys.argv[2:])"


def check_bundle(folder: Path, *, device: str) -> None:
    """Load a bundle as a worker does, and let the model answer.

    Raises:
        HardenerError: it cannot be served.
    """
    from .engine import Engine

    bundle = read_bundle(folder)
    Engine(folder, bundle, device=device, lanes=1)  # type: ignore[arg-type]


def check_in_other_process(folders: Iterable[Path], *, device: str) -> None:
    """Check bundles in a process that ends, so that neither a loaded model nor a CUDA context stays in this one.

    Raises:
        HardenerError: one of them cannot be served, or ends the process that tries.
    """
    words = [sys.executable, "-c", _SCRIPT, json.dumps(sys.path), device, *map(str, folders)]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_MOST_S)
    except subprocess.TimeoutExpired:
        raise HardenerError(f"loading the model took more than {_MOST_S:.0f} s. Serve a smaller one.") from None
    said = done.stdout.strip().splitlines()
    # the exit code alone would not do: circus reaps every child of the process, and the code of a reaped one reads 0
    if said[-1:] == [_ACCEPTED]:
        return
    if said:
        raise HardenerError(said[-1])
    ends = f" by signal {-done.returncode}" if done.returncode < 0 else ""
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    raise HardenerError(
        f"loading the model and asking it once ended the process that tried it{ends} ({last}). "
        "Give the service more memory, or export the model again."
    )


def main(words: list[str]) -> None:
    """Print `accepted`, or why a bundle of DEVICE FOLDER… is not."""
    with contextlib.suppress(OSError):  # where memory runs out, this process is to end and no worker
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    output = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    device, *folders = words
    answer = _ACCEPTED
    for folder in folders:
        try:
            check_bundle(Path(folder), device=device)
        except HardenerError as error:
            answer = " ".join(str(error).split())
            break
    os.write(output, f"{answer}\n".encode())
