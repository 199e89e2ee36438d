"""What was asked for, as the record keeps it."""

from __future__ import annotations

from typing import Any

from hardener.config.evaluation_record import EvaluationRequest
from hardener.evaluation.plan import Plan
from hardener.evaluation.subject import Subject
from hardener.threat import Threat, ThreatModel


def _threat(threat: Threat) -> dict[str, Any]:
    if isinstance(threat, ThreatModel):
        return {"norm": threat.norm, "eps": threat.eps}
    settings = dict(threat.settings)
    return {"threat": threat.kind, "ranges": {name: settings[name] for name in threat.given}}


def describe_request(subject: Subject, plan: Plan) -> EvaluationRequest | None:
    """Return what was asked for, with the suite and the eps that its defaults stand for.

    The surrogate counts where an attack took it, or where it lent a file its gradients.

    Returns:
        None for a model in memory, which no command can name.
    """
    request = plan.request
    if not subject.asked:
        return None
    lent = subject.described.run is None or any(attack.entry.needs_surrogate for attack in plan.attacks)
    is_own = plan.suite is not None or (not request.attacks and not isinstance(plan.threat, ThreatModel))
    named = list(request.attacks or dict.fromkeys(attack.name for attack in plan.attacks))
    return EvaluationRequest(
        **subject.asked,
        data=None if request.data is None else str(request.data),
        suite=plan.suite,
        attacks=[] if is_own else named,
        **_threat(plan.threat),
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
        reading=request.reading,
        dedupe=request.dedupe or subject.dedupe,
        radii=list(request.radii),
    )
