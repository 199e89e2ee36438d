"""Everything that an exact resume needs, in one file that holds tensors and plain values alone."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hardener.config.files import written_whole
from hardener.errors import HardenerError
from hardener.training.loop import Progress


@dataclass
class TrainingState:
    """The moving parts of a run."""

    network: nn.Module
    method: nn.Module
    theta: torch.optim.Optimizer
    beta: torch.optim.Optimizer | None
    progress: Progress
    best_score: float
    seconds: float
    rows: int


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write the state to the side and rename: a checkpoint is whole, or it is the one before."""
    path.parent.mkdir(exist_ok=True)
    content = {
        "network": state.network.state_dict(),
        "method": state.method.state_dict(),
        "theta": state.theta.state_dict(),
        "beta": None if state.beta is None else state.beta.state_dict(),
        "epoch": state.progress.epoch,
        "step": state.progress.step,
        "loss_sum": state.progress.loss_sum,
        "losses": state.progress.losses,
        "best_score": state.best_score,
        "seconds": state.seconds,
        "rows": state.rows,
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    packed = io.BytesIO()  # torch's own writer turns a full disk into an error without its cause
    torch.save(content, packed)
    with written_whole(path) as beside:
        beside.write_bytes(packed.getbuffer())


def load_checkpoint(path: Path, state: TrainingState) -> None:
    """Put a checkpoint's values into `state`, and the random states in force.

    Raises:
        HardenerError: no checkpoint, a damaged one, or one of another model.
    """
    if not path.is_file():
        raise HardenerError(f"{path.parent.parent} cannot be resumed: it has no {path.parent.name}/{path.name}.")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise HardenerError(f"{path} is damaged: {type(error).__name__}: {error}.") from None
    try:
        state.network.load_state_dict(content["network"])
        state.method.load_state_dict(content["method"])
        state.theta.load_state_dict(content["theta"])
        if state.beta is not None:
            state.beta.load_state_dict(content["beta"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise HardenerError(f"{path} does not fit the model or recipe of its run: {error}.") from None
    loss_sum: Tensor = content["loss_sum"]
    state.progress = Progress(
        content["epoch"], content["step"], loss_sum.to(state.progress.loss_sum.device), content["losses"]
    )
    state.best_score = content["best_score"]
    state.seconds = content["seconds"]
    state.rows = content["rows"]
    torch.set_rng_state(content["rng"])
    if torch.cuda.is_available() and len(content["cuda_rng"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(content["cuda_rng"])
