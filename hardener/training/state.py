"""The moving parts of a run: what a checkpoint holds and a step changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hardener.config.run_folder import BestRecord
from hardener.methods.method import Method


@dataclass
class Progress:
    """How far a run is.

    Attributes:
        epoch: that is under way.
        images: of it that are done, over all processes.
        loss_sum: of its losses on this process, on the device.
        losses: how many those are.
    """

    epoch: int
    images: int
    loss_sum: Tensor
    losses: int = 0

    @classmethod
    def start_of(cls, epoch: int, device: torch.device) -> Self:
        """Return the place before an epoch's first step."""
        return cls(epoch, 0, torch.zeros((), device=device))


@dataclass
class TrainingState:
    """The moving parts of a run. Randomness is none of them: a step's draws follow from its place in the run.

    Attributes:
        theta, beta: the optimisers of the network and of the method's vector, None where the method has none.
        average: the averaged classifier, where the recipe asks for one.
        piece: images at once at most; a larger minibatch is cut into even pieces, each with a pass of its own. Halved
            where the device's memory does not hold so many.
        best_score, best_robust: the best epoch's so far, -1 before the first.
        rollbacks: how often training was taken back.
        seconds: training time so far, validation included.
        rows: lines of metrics.jsonl.
        best: the epoch whose weights are kept. It lies here too, so that what goes on never mixes two moments: the
            record is written after the checkpoint, and a disk may fill in between.
        eps_level, eps_lid, eps_best: what `EpsSchedule` remembers: the share of eps that was reached, the most that it
            may be now, and the best validation score at that level, -1 before the first.
    """

    network: nn.Module
    method: Method
    theta: torch.optim.Optimizer
    beta: torch.optim.Optimizer | None
    average: AveragedModel | None
    progress: Progress
    piece: int
    best_score: float = -1.0
    best_robust: float = -1.0
    rollbacks: int = 0
    seconds: float = 0.0
    rows: int = 0
    best: BestRecord | None = None
    eps_level: float = 0.0
    eps_lid: float = 1.0
    eps_best: float = -1.0
