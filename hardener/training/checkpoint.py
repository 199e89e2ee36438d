"""Everything that an exact resume needs, in one file that holds tensors and plain values alone."""

from __future__ import annotations

import io
import math
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from hardener.config.files import written_whole
from hardener.config.run_folder import BestRecord
from hardener.errors import DamagedCheckpoint, UnfitCheckpoint
from hardener.training.parallel import gathered, placed
from hardener.training.state import Progress, TrainingState

_EPS = {"eps_level": 0.0, "eps_lid": 1.0, "eps_best": -1.0}  # what a checkpoint of version 0.2 does not hold
_ADDED = {**_EPS, "eps_share": 1.0}
_COUNTS = ("piece", "best_score", "best_robust", "rollbacks", "seconds", "rows", *_EPS)


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
        "attack_steps": state.method.attack_steps,
        "eps_share": state.method.eps_share,
        "epoch": state.progress.epoch,
        "images": state.progress.images,
        "loss_sum": state.progress.loss_sum,
        "losses": state.progress.losses,
        "best": None if state.best is None else state.best.model_dump(),
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
        DamagedCheckpoint: no checkpoint, or none that is whole.
        UnfitCheckpoint: it is one of another model.
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
    """Put a checkpoint's values into `state`; one of version 0.2 leaves `best` as it is.

    Raises:
        DamagedCheckpoint: it is damaged or gone.
        UnfitCheckpoint: it is one of another model.
    """
    content = _read(path)
    fault = _fault(content)
    if fault is not None:
        raise DamagedCheckpoint(f"{path} is damaged: {fault}.")
    try:
        for name, part in _parts(state).items():
            part.load_state_dict(placed(content[name], part))
    except Exception as error:  # torch's optimisers raise nearly anything on another's state
        raise UnfitCheckpoint(f"{path} does not fit the model or recipe of its run: {error}.") from None
    loss_sum: Tensor = content["loss_sum"]
    state.progress = Progress(
        content["epoch"], content["images"], loss_sum.to(state.progress.loss_sum.device), content["losses"]
    )
    state.method.attack_steps = content["attack_steps"]
    state.method.eps_share = content["eps_share"]  # the epoch's last step may be done, and the epoch not judged yet
    for name in _COUNTS:
        setattr(state, name, content[name])
    if "best" in content:
        state.best = _best(content)


def _fault(content: Any) -> str | None:
    """Return what is wrong with a file that torch reads and that this room did not write; None: nothing that shows."""
    if not isinstance(content, dict):
        return f"it holds a {type(content).__name__}"
    for name in ("epoch", "images", "losses", "attack_steps", "eps_share", *_COUNTS):
        value = content.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or math.isnan(value):
            return f"{name} in it is {value!r:.40}"
    whole = [content[name] for name in ("epoch", "images", "losses", "piece", "rollbacks", "rows")]
    if not all(isinstance(value, int) and value >= 0 for value in whole) or content["piece"] < 1:
        return "a count in it is none"
    loss_sum = content.get("loss_sum")
    if not isinstance(loss_sum, Tensor) or loss_sum.ndim != 0:
        return "it holds no sum of losses"
    try:
        _best(content)
    except ValidationError:
        return f"the best epoch in it is {content['best']!r:.40}"
    return None


def _best(content: dict[str, Any]) -> BestRecord | None:
    told = content.get("best")
    return None if told is None else BestRecord.model_validate(told)


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
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DamagedCheckpoint(f"{path} is damaged: {type(error).__name__}: {error}.") from None
    return {**_ADDED, **content} if isinstance(content, dict) else content
