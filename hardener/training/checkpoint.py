"""Everything that an exact resume needs, in one file that holds tensors and plain values alone."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hardener.config.files import written_whole
from hardener.errors import DamagedCheckpoint, HardenerError
from hardener.training.loop import Progress
from hardener.training.parallel import gathered, placed


@dataclass
class TrainingState:
    """The moving parts of a run. Randomness is none of them: a step's draws follow from its place in the run.

    Attributes:
        average: the averaged classifier, where the recipe asks for one.
        best_score, best_robust: the best epoch's so far, -1 before the first.
        attack_steps: gradient steps of the adversarial vicinity now; 0 without one.
        rollbacks: how often training was taken back.
        piece: images at once at most; a larger minibatch is cut.
        seconds: training time so far, validation included.
        rows: lines of metrics.jsonl.
    """

    network: nn.Module
    method: nn.Module
    theta: torch.optim.Optimizer
    beta: torch.optim.Optimizer | None
    average: AveragedModel | None
    progress: Progress
    attack_steps: int
    piece: int
    best_score: float = -1.0
    best_robust: float = -1.0
    rollbacks: int = 0
    seconds: float = 0.0
    rows: int = 0


_COUNTS = ("attack_steps", "piece", "best_score", "best_robust", "rollbacks", "seconds", "rows")


def before(path: Path) -> Path:
    """Return where the checkpoint before the one at `path` is kept."""
    return path.with_name("before.pt")


def save_checkpoint(path: Path, state: TrainingState, *, keep_before: bool = True, write: bool = True) -> None:
    """Write the state to the side and rename: a checkpoint is whole, or it is the one before.

    Of several processes all must call this; the file is the same whatever their number.

    Args:
        keep_before: keep what is at `path` now beside it, in case that the new one is damaged later.
        write: this process writes; the others only add their shares of what is sharded.
    """
    content = {
        **{name: gathered(part.state_dict()) for name, part in _parts(state).items()},
        **{name: getattr(state, name) for name in _COUNTS},
        "epoch": state.progress.epoch,
        "images": state.progress.images,
        "loss_sum": state.progress.loss_sum,
        "losses": state.progress.losses,
    }
    if not write:
        return
    path.parent.mkdir(exist_ok=True)
    packed = io.BytesIO()  # torch's own writer turns a full disk into an error without its cause
    torch.save(content, packed)
    with written_whole(path) as beside:
        with beside.open("wb") as file:
            file.write(packed.getbuffer())
            file.flush()
            os.fsync(file.fileno())  # a rename may reach the disk before what it renames
        if keep_before and path.is_file():
            os.replace(path, before(path))


def load_newest(path: Path, state: TrainingState) -> str | None:
    """Put the values of the checkpoint at `path` into `state`; where it is damaged or gone, those of the one before.

    Returns:
        What is wrong with the newest one, where the one before was taken; else None.
    Raises:
        HardenerError: no checkpoint, none that is whole, or one of another model.
    """
    try:
        load_checkpoint(path, state)
    except DamagedCheckpoint as error:
        if not before(path).is_file():
            raise
        load_checkpoint(before(path), state)
        return str(error)
    return None


def load_checkpoint(path: Path, state: TrainingState) -> None:
    """Put a checkpoint's values into `state`.

    Raises:
        DamagedCheckpoint: it is damaged or gone.
        HardenerError: it is one of another model.
    """
    content = _read(path)
    try:
        for name, part in _parts(state).items():
            part.load_state_dict(placed(content[name], part))
    except (RuntimeError, ValueError, KeyError) as error:
        raise HardenerError(f"{path} does not fit the model or recipe of its run: {error}.") from None
    loss_sum: Tensor = content["loss_sum"]
    state.progress = Progress(
        content["epoch"], content["images"], loss_sum.to(state.progress.loss_sum.device), content["losses"]
    )
    for name in _COUNTS:
        setattr(state, name, content[name])


def _parts(state: TrainingState) -> dict[str, nn.Module | torch.optim.Optimizer]:
    parts = {name: getattr(state, name) for name in ("network", "method", "theta", "beta", "average")}
    return {name: part for name, part in parts.items() if part is not None}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DamagedCheckpoint(f"{path.parent.parent} cannot be resumed: it has no {path.parent.name}/{path.name}.")
    try:
        with zipfile.ZipFile(path) as archive:  # torch reads over a flipped bit; the archive's checksums do not
            spoilt = archive.testzip()
        if spoilt is not None:
            raise DamagedCheckpoint(f"{path} is damaged: {spoilt} in it does not have its checksum.")
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise DamagedCheckpoint(f"{path} is damaged: {type(error).__name__}: {error}.") from None
    return content
