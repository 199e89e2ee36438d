"""What several processes found of their shares of the images -> one result."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from hardener.evaluation.robust_accuracy import AttackOutcome, RobustAccuracy
from hardener.progress import rank_and_world
from hardener.runtime.processes import patient


def join(part: RobustAccuracy, count: int) -> RobustAccuracy | None:
    """Bring the parts of all processes together on rank 0; the others get None.

    Args:
        part: what this process found for `own_share(count)`.
        count: images over all processes.
    """
    rank, world = rank_and_world()
    if world == 1:
        return part
    parts: list[Any] | None = [None] * world if rank == 0 else None
    dist.gather_object(part, parts, group=patient())
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

    def kept(name: str) -> dict[int, Tensor]:
        found = {
            rank + world * place: value
            for rank, part in enumerate(parts)
            for place, value in getattr(part, name).items()
        }
        return dict(sorted(found.items()))

    return RobustAccuracy(
        threat=parts[0].threat,
        predictions=whole("predictions"),
        clean_correct=whole("clean_correct"),
        robust_correct=whole("robust_correct"),
        broken_by=whole("broken_by"),
        became=whole("became"),
        distance=whole("distance"),
        outcomes=outcomes,
        examples=kept("examples"),
        points=kept("points"),
    )
