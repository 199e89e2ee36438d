"""What was asked for, as the record keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hardener.config.evaluation_record import EvaluationRequest
from hardener.evaluation.robust_accuracy import AttackPlan
from hardener.evaluation.subject import Subject

if TYPE_CHECKING:
    from hardener.evaluation.run import EvaluateRequest


def describe_request(
    request: EvaluateRequest, subject: Subject, plans: Sequence[AttackPlan], *, suite: str | None, eps: float
) -> EvaluationRequest:
    """Return what was asked for, with the suite and the eps that its defaults stand for.

    Args:
        plans: what was run; the surrogate counts where an attack took it, or where it lent a file its gradients.
    """
    lent = subject.described.run is None or any("surrogate" in plan.settings for plan in plans)
    return EvaluationRequest(
        **subject.asked,
        data=None if request.data is None else str(request.data),
        suite=suite,
        attacks=[] if suite is not None else list(request.attacks or ("pgd",)),
        norm=request.norm,
        eps=eps,
        settings={key: value for key, value in (request.settings or {}).items() if value is not None},
        restarts=request.restarts,
        surrogate=str(request.surrogate.path) if lent and request.surrogate is not None else None,
        sections=sorted(request.sections),
        samples=request.samples,
        batch_size=request.batch_size,
        device=request.device,
        seed=request.seed,
        precision=request.precision,
        skip_bad_images=request.skip_bad_images,
    )
