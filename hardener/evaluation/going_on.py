"""When an evaluation goes on by itself: the audit found that its figure may hide something, and images still stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hardener.config.evaluation_record import Check
from hardener.evaluation.plan import blind_of, complete
from hardener.evaluation.precision import Choice
from hardener.evaluation.robust_accuracy import RobustAccuracy
from hardener.evaluation.session import EvaluationSession
from hardener.evaluation.suite import GOES_ON, suite_plans
from hardener.threat import ThreatModel

_OF_THE_QUESTION = frozenset({"small-eps"})
"""Flags that speak of what was asked, and not of the model: more attacks change nothing about them."""


def why_go_on(session: EvaluationSession, result: RobustAccuracy, checks: Sequence[Check]) -> list[str]:
    """Return the questions that make an evaluation go on: those that the audit raised, of a suite that may, with images
    left to attack."""
    if session.plan.suite not in GOES_ON or not result.robust_correct.any():
        return []
    return [check.id for check in checks if check.raised and check.id not in _OF_THE_QUESTION]


def with_more(session: EvaluationSession, choice: Choice) -> EvaluationSession:
    """Return the evaluation with the attacks of the suite that it goes on to behind its own."""
    plan = session.plan
    assert plan.suite is not None, "it is one that goes on"
    assert isinstance(plan.threat, ThreatModel), "a threat without a norm has no suites"
    more = [complete(attack, plan.threat) for attack in suite_plans(GOES_ON[plan.suite], plan.threat.norm)]
    if not session.subject.differentiable:
        more = blind_of(more)
    return replace(session, plan=plan.by([*plan.attacks, *choice.apply(more)]))
