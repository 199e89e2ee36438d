"""An evaluation shared by the processes that torchrun started: each attacks its part of the images."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from hardener.evaluation.robust_accuracy import AttackOutcome, RobustAccuracy

_PATIENCE = timedelta(days=30)  # one process may be done days before another: their images differ
Value = TypeVar("Value")


def rank_and_world() -> tuple[int, int]:
    """Return this process's number and how many there are; (0, 1) without torchrun."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def local_device(device: torch.device) -> torch.device:
    """Give each process on a machine a GPU of its own where `device` names none in particular."""
    if str(device) == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return device


def own_share(count: int) -> Tensor:
    """Return the places that this process attacks: every world-th from its rank on."""
    rank, world = rank_and_world()
    return torch.arange(rank, count, world)


def from_first(value: Value | None) -> Value:
    """Return what rank 0 has, on every process; the others' own is not looked at."""
    if rank_and_world()[1] > 1:
        _meet()
        shared = [value]
        dist.broadcast_object_list(shared, src=0)
        value = shared[0]
    assert value is not None, "rank 0 has a value"
    return value


def _meet() -> None:
    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=_PATIENCE)


def join(part: RobustAccuracy, count: int) -> RobustAccuracy | None:
    """Bring the parts of all processes together on rank 0; the others get None.

    Args:
        part: what this process found for `own_share(count)`.
        count: images over all processes.
    """
    rank, world = rank_and_world()
    if world == 1:
        return part
    _meet()
    parts: list[Any] | None = [None] * world if rank == 0 else None
    dist.gather_object(part, parts)
    dist.destroy_process_group()
    return None if parts is None else _joined(parts, count)


def _joined(parts: list[RobustAccuracy], count: int) -> RobustAccuracy:
    world = len(parts)

    def whole(name: str) -> Tensor:
        found = torch.empty(count, dtype=getattr(parts[0], name).dtype)
        for rank, part in enumerate(parts):
            found[rank::world] = getattr(part, name)
        return found

    outcomes, left = [], int(whole("clean_correct").sum())
    for same in zip(*(part.outcomes for part in parts), strict=True):
        broken = sum(outcome.broken for outcome in same)
        left -= broken
        attacked = sum(outcome.attacked for outcome in same)
        seconds = max(outcome.seconds for outcome in same)  # they ran side by side
        outcomes.append(AttackOutcome(same[0].plan, left / count, attacked, broken, seconds))
    examples = {
        rank + world * place: image for rank, part in enumerate(parts) for place, image in part.examples.items()
    }
    return RobustAccuracy(
        threat=parts[0].threat,
        predictions=whole("predictions"),
        clean_correct=whole("clean_correct"),
        robust_correct=whole("robust_correct"),
        broken_by=whole("broken_by"),
        distance=whole("distance"),
        outcomes=outcomes,
        examples=dict(sorted(examples.items())),
    )
