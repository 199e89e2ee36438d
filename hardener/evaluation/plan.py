"""What was asked of an evaluation -> what it will do, checked and written out before anything is loaded."""

from __future__ import annotations

import importlib.util
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

from hardener.attacks import ATTACKS
from hardener.attacks.searches import SEARCHES
from hardener.catalog import resolve
from hardener.config.files import check_writable
from hardener.config.reading import Reading
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError, did_you_mean
from hardener.evaluation.precision import check_precision
from hardener.evaluation.robust_accuracy import EVERY_ATTACK, AttackPlan
from hardener.evaluation.suite import DEFAULT, SUITE, suite_plans, threat_plans
from hardener.measures import measures_asked
from hardener.threat import NORMS, THREATS, ChangeThreat, Threat, ThreatModel
from hardener.threats import change_of, threat_of
from hardener.words import either

ALONE_QUERIES = 1000
"""Of Square, where a suite that otherwise follows gradients can follow none."""


@dataclass(frozen=True)
class EvaluateRequest:
    """What `hardener eval` was asked for. `settings` go to every attack that takes them; a suite brings its own.

    `norm` and `eps`: of a ball, linf where neither is named. `threat`: a name in THREATS instead, with its `ranges`.
    `surrogate`: a run to transfer attacks from, or the one that lends an ONNX file its gradients.
    `sections`: what is measured beside attacks, by the names or options in MEASURES.
    `reading`: how images are to be read; None as the run read its own. `dedupe`: images that the run has seen are left
    out.
    `precision`: of PRECISIONS, what attacks take gradients in.
    `radii`: to certify at, ascending, in l2; by default what the noise of training allows.
    `image_size`: height and width to ask a run's network at; None: as it was trained.
    """

    attacks: tuple[str, ...] = ()
    suite: str | None = None
    norm: str | None = None
    eps: float | None = None
    threat: str | None = None
    ranges: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] | None = None
    restarts: int = 1
    samples: int = 1000
    data: Path | None = None
    batch_size: int = 128
    device: str = "auto"
    seed: int = 0
    precision: str = "auto"
    skip_bad_images: bool = False
    json_file: Path | None = None
    surrogate: RunFolder | None = None
    sections: frozenset[str] = frozenset()
    reading: Reading | None = None
    dedupe: bool = False
    radii: tuple[float, ...] = ()
    image_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Plan:
    """A request that was checked: the threat, the suite if there is one, and attacks with all their settings."""

    request: EvaluateRequest
    threat: Threat
    suite: str | None
    attacks: tuple[AttackPlan, ...]

    def by(self, attacks: Sequence[AttackPlan]) -> Plan:
        """Return the plan with other attacks, or theirs with other settings."""
        return replace(self, attacks=tuple(attacks))


def make_plan(request: EvaluateRequest) -> Plan:
    """Check threat, attacks and their settings, and write all of them out.

    Raises:
        HardenerError: a mistake in what was asked for.
    """
    threat = planned_threat(request)
    check_precision(request.precision)
    _check_numbers(request)
    plan = Plan(request, threat, _suite_of(request), tuple(_attacks(request, threat)))
    for attack in plan.attacks:
        _check_knows(attack, threat)
    _check_measures(request, threat)
    _check_extras(plan)
    needy = [attack.name for attack in plan.attacks if attack.entry.needs_surrogate]
    if needy and request.surrogate is None:
        raise HardenerError(f"the attack {needy[0]} needs --surrogate RUN, the run to transfer from.")
    if request.json_file is not None and not request.json_file.parent.is_dir():
        raise HardenerError(f"no such folder: {request.json_file.parent}, for --json {request.json_file}.")
    if request.json_file is not None and request.json_file.suffix in {".npz", ".html"}:
        raise HardenerError(
            f"--json {request.json_file}: a {request.json_file.suffix} is written beside it. Name it .json."
        )
    if request.json_file is not None:
        check_writable(request.json_file, request.json_file.with_suffix(".npz"))
    return plan


def planned_attacks(request: EvaluateRequest) -> list[str]:
    """Return the names of the attacks that a request means, before anything is loaded.

    Raises:
        HardenerError: a mistake in what was asked for.
    """
    return list(dict.fromkeys(attack.name for attack in make_plan(request).attacks))


def planned_threat(request: EvaluateRequest) -> Threat:
    """Return the threat model that a request means, its defaults written out.

    Raises:
        HardenerError: no such norm or threat, an eps or a range out of order, or both a ball and another threat.
    """
    if request.threat is None:
        if request.ranges:
            raise HardenerError(f"--set {next(iter(request.ranges))} is a range of a threat: name it by --threat NAME.")
        norm = "linf" if request.norm is None else request.norm
        default = NORMS[norm].default_eps if norm in NORMS else 0.0  # of no norm: refused as such
        return ThreatModel(norm, default if request.eps is None else request.eps)
    if request.threat in NORMS:
        raise HardenerError(f"{request.threat} is a norm: ask for it by --norm {request.threat} --eps EPS.")
    for option, value in (("--norm", request.norm), ("--eps", request.eps)):
        if value is not None:
            raise HardenerError(
                f"{option} is for a ball, and --threat {request.threat} is none: leave out one of the two."
            )
    return threat_of(request.threat, request.ranges)


def _check_knows(plan: AttackPlan, threat: Threat) -> None:
    """Refuse an attack that does not know the threat."""
    is_search = plan.name in SEARCHES
    if isinstance(threat, ThreatModel):
        if is_search:
            raise HardenerError(
                f"{plan.name} knows no norm: it searches the ranges of a threat. Add --threat {either(THREATS)}."
            )
        if threat.norm not in plan.entry.norms:
            raise HardenerError(f"{plan.name} knows {' and '.join(plan.entry.norms)}, not {threat.norm}.")
        return
    has_grid, has_gradient = bool(change_of(threat.kind).grid_weights), threat.entry.gradients != "none"
    known = [
        name
        for name, entry in SEARCHES.items()
        if (has_grid or not entry.grid) and (has_gradient or not entry.follows_gradients)
    ]
    if plan.name in known:
        return
    why = f"moves in the ball of a norm, and {threat.kind} is none"
    if is_search:
        why = f"follows gradients, and {threat.kind} has none: what changes the image has no derivative"
    if plan.entry.grid:
        why = f"tries every point of a grid, and {threat.kind} has too many values for one"
    raise HardenerError(f"{plan.name} {why}. Choose from {', '.join(known)}.")


def _check_measures(request: EvaluateRequest, threat: Threat) -> None:
    """Refuse measures that there are none of, and under a threat without a norm those that look into a ball."""
    for name, entry in measures_asked(request.sections).items():
        if entry.ball and isinstance(threat, ChangeThreat):
            option = f"--measure {name}" if entry.option is None else f"--{entry.option}"
            raise HardenerError(f"{option} looks into a ball: ask for it without --threat {threat.kind}.")


def wants_surrogate(request: EvaluateRequest) -> bool:
    """Tell whether an attack that a request means takes another model, and the request names none.

    Raises:
        HardenerError: a mistake in what was asked for, so that none is told only after a surrogate was trained.
    """
    if request.surrogate is not None:
        return False
    plan = make_plan(replace(request, surrogate=RunFolder(Path())))  # it stands in for the one to come
    return any(attack.entry.needs_surrogate for attack in plan.attacks)


def without_gradients(plan: Plan, path: Path) -> Plan:
    """Return the plan with those attacks alone that an ONNX file needs no gradients for.

    Raises:
        HardenerError: another one was named, or the suite has none.
    """
    blind = blind_of(plan.attacks)
    if plan.suite is None and len(blind) < len(plan.attacks) and not _is_threats_own(plan):
        seeing = ", ".join(attack.name for attack in plan.attacks if attack not in blind)
        ours = SEARCHES if isinstance(plan.threat, ChangeThreat) else ATTACKS
        known = ", ".join(sorted(name for name, entry in ours.items() if entry.needs_answers_only))
        raise HardenerError(
            f"{path} gives no gradients for {seeing}. Lend it a run's with --surrogate RUN, or choose from {known}."
        )
    if not blind:
        raise HardenerError(
            f"the suite {plan.suite} has only gradient attacks, and {path} gives no gradients. Lend it a run's "
            "with --surrogate RUN, or use --suite standard."
        )
    return plan.by(blind)


def blind_of(attacks: Sequence[AttackPlan]) -> list[AttackPlan]:
    """Return the attacks that need answers only.

    One that looks at a sample, because others follow the gradients, now looks at all images, and longer.
    """
    return [
        attack if attack.sample is None else replace(attack, sample=None).having(queries=ALONE_QUERIES)
        for attack in attacks
        if attack.entry.needs_answers_only
    ]


def _given(request: EvaluateRequest) -> dict[str, Any]:
    return {key: value for key, value in (request.settings or {}).items() if value is not None}


def _check_numbers(request: EvaluateRequest) -> None:
    """Refuse counts and lengths that attack nothing, or that end in an error far from here."""
    given = _given(request)
    counts = {name: getattr(request, name) for name in ("samples", "batch_size", "restarts")}
    counts |= {name: given[name] for name in ("steps", "queries") if name in given}
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise HardenerError(f"{name} takes a whole number from 1 on; got {value!r}.")
    length = given.get("step_size", 1.0)
    if not isinstance(length, int | float) or not 0 < length < math.inf:
        raise HardenerError(f"step_size takes a number above 0; got {length!r}.")


def _suite_of(request: EvaluateRequest) -> str | None:
    """Name the suite whose attacks are run, None where attacks are chosen one by one, or are a threat's own."""
    if request.threat is not None or request.attacks or request.restarts > 1 or _given(request):
        return None
    return request.suite or SUITE


def _is_threats_own(plan: Plan) -> bool:
    """Whether the attacks are those that a threat brings, so that nobody named them."""
    return isinstance(plan.threat, ChangeThreat) and not plan.request.attacks


def _attacks(request: EvaluateRequest, threat: Threat) -> list[AttackPlan]:
    given = _given(request)
    if isinstance(threat, ChangeThreat):
        if request.suite is not None:
            raise HardenerError(
                f"--suite is for a ball: --threat {threat.kind} brings its own attacks, "
                f"{', '.join(threat.entry.attacks)}. Leave --suite out."
            )
        if not request.attacks:
            return _own_attacks(given, request.restarts, threat)
        return _attacks_by_name(request.attacks, given, request.restarts, threat)
    if request.attacks and request.suite is not None:
        raise HardenerError("choose --attack or --suite, not both.")
    if request.suite is not None and (given or request.restarts > 1):
        option = "--" + next(iter(given), "restarts").replace("_", "-")
        raise HardenerError(f"{option} is for attacks named by --attack; a suite brings its own settings.")
    suite = _suite_of(request)
    if suite is not None:
        return [complete(attack, threat) for attack in suite_plans(suite, threat.norm)]
    return _attacks_by_name(request.attacks or (DEFAULT.name,), given, request.restarts, threat)


def _own_attacks(given: Mapping[str, Any], restarts: int, threat: ChangeThreat) -> list[AttackPlan]:
    """Return a threat's own attacks, with the settings that were given to those that take them."""
    plans = _attacks_by_name(list(threat.entry.attacks), given, restarts, threat)
    own = {plan.name: plan.settings for plan in threat_plans(threat.kind)}
    return [plan.having(**{k: v for k, v in own[plan.name].items() if k not in given}) for plan in plans]


def _attacks_by_name(names: Sequence[str], given: Mapping[str, Any], restarts: int, threat: Threat) -> list[AttackPlan]:
    used: set[str] = set()
    plans = []
    for name in names:
        plan = complete(AttackPlan(name, given), threat)
        used |= set(plan.settings)
        plans.append(replace(plan, restarts=restarts if _starts_anew(plan) else 1))
    unused = sorted(set(given) - used)
    if unused:
        option = "--" + unused[0].replace("_", "-")
        raise HardenerError(f"{option} is for no attack that was asked for ({', '.join(names)}).")
    if restarts > 1 and all(plan.restarts == 1 for plan in plans):
        raise HardenerError("--restarts needs an attack with a random start; none was asked for.")
    return plans


def _starts_anew(plan: AttackPlan) -> bool:
    return bool(plan.settings.get("random_start")) or (plan.name in SEARCHES and plan.entry.draws)


def complete(plan: AttackPlan, threat: Threat) -> AttackPlan:
    """Write out every setting that the attack takes, for the record; settings that it does not take are dropped.

    Raises:
        HardenerError: no such attack.
    """
    known = ATTACKS if isinstance(threat, ThreatModel) else SEARCHES
    if plan.name not in EVERY_ATTACK:
        near = did_you_mean(plan.name, known)
        raise HardenerError(f"unknown attack {plan.name!r}. Known: {', '.join(known)}.{near}")
    parameters = inspect.signature(resolve(EVERY_ATTACK, plan.name, "attack")).parameters
    settings = {
        key: parameter.default
        for key, parameter in parameters.items()
        if parameter.default is not inspect.Parameter.empty and key not in {"generator", "surrogate", "start"}
    }
    settings |= {key: value for key, value in plan.settings.items() if key in parameters}
    default_step = plan.entry.default_step
    if default_step is not None and settings["step_size"] is None and isinstance(threat, ThreatModel):
        settings["step_size"] = default_step * threat.eps / settings["steps"]
    return replace(plan, settings=settings)


def _check_extras(plan: Plan) -> None:
    extras = {attack.name: attack.entry.extra for attack in plan.attacks}
    for name, extra in extras.items():
        if extra is not None and importlib.util.find_spec(extra[0]) is None:
            raise HardenerError(f"{name} needs {extra[0]}, which is not installed: pip install 'hardener[{extra[1]}]'")
