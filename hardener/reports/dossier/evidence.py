"""What is asked, and what was measured for it: a row each, or the command that measures it."""

from __future__ import annotations

from collections.abc import Sequence

from hardener.config.bundle import HeldRequirement, Quantization
from hardener.config.dossier_record import Beside, DeployedFile, Evidence
from hardener.config.evaluation_record import CurvePoint, Evaluation
from hardener.config.run_folder import RunFolder
from hardener.reports.attack_lists import attack_list
from hardener.reports.by_class import robust_interval, weakest_first
from hardener.reports.command import AUDIT, eval_command, export_command, fresh_command, gate_command, request_of
from hardener.reports.condition import Aspect, Condition, aspect_of, conditions_in
from hardener.reports.figure import Figure, figures, measuring_command
from hardener.reports.gate import Evaluated, look_at, to_compare_with
from hardener.reports.measured_lines import calibration_interval
from hardener.reports.own_images import is_elsewhere, other_data, own_first, root_of, split_in_words
from hardener.reports.shared import threats_of
from hardener.statistics.interval import clopper_pearson
from hardener.threat import DEFAULT_THREAT, NORMS, ThreatModel
from hardener.words import percent

STANDARD = "AutoAttack's standard suite"


def required(conditions: Sequence[Condition], mine: Evaluated, against: Evaluated | None) -> list[Evidence]:
    """Return a row for each requirement, in their order."""
    return [_required(condition, mine, against) for condition in conditions]


def held_requirements(run: RunFolder, evaluations: Sequence[Evaluation]) -> list[HeldRequirement]:
    """Return what a bundle carries of the `requirements.yaml` in a run's folder; none where there is no such file.

    Args:
        evaluations: of the run's present weights.
    Raises:
        HardenerError: the file is none of requirements.
    """
    if not run.requirements.is_file():
        return []
    newest = sorted(evaluations, key=lambda item: item.created_at, reverse=True)
    names = other_data(newest, root_of(run))
    held = []
    for row in required(conditions_in(run.requirements), (run, newest), None):
        assert row.state != "measured", "it is required"
        held.append(
            HeldRequirement(
                about=row.about,
                asked=row.requirement or "",
                state=row.state,
                value=row.value,
                interval=row.interval,
                samples=row.samples,
                data=names.get(row.evaluated_at or ""),
            )
        )
    return held


def _required(condition: Condition, mine: Evaluated, against: Evaluated | None) -> Evidence:
    about = str(condition.aspect)
    asked = condition.in_words("another run" if against is None else against[0].path.name)
    found = figures(mine[1], condition.aspect)
    lacking = measuring_command(mine[0], condition.aspect) if not found else ""
    if condition.kind == "max-drop" and not lacking:
        if against is None:
            lacking = gate_command(mine[0], [(condition.kind, condition.text)], "RUN-BEFORE")
        elif not figures(against[1], condition.aspect):
            lacking = measuring_command(against[0], condition.aspect)
    if lacking:
        return Evidence(about=about, requirement=asked, why=condition.because, state="not measured", command=lacking)
    outcome, notes = look_at(condition, mine, against)
    row = _measured(condition.aspect, outcome.figure, mine, against)
    told = [outcome.found] if condition.kind == "max-drop" else []
    remarks = [*told, *([outcome.why] if outcome.why else []), *notes]
    state = "met" if outcome.passed else "not met"
    return row.model_copy(
        update={"requirement": asked, "why": condition.because, "state": state, "remarks": _sentences(remarks)}
    )


def _sentences(remarks: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(remark.rstrip(".") + "." for remark in remarks))


def _measured(aspect: Aspect, figure: Figure, mine: Evaluated, against: Evaluated | None) -> Evidence:
    item, asked = figure.evaluation, request_of(figure.evaluation)
    return Evidence(
        about=str(aspect),
        state="measured",
        value=figure.share,
        interval=figure.interval,
        samples=figure.samples,
        set_up=_set_up(item, mine[0], attacked=aspect.is_attacked),
        evaluated_at=item.created_at,
        flags=[flag.id for flag in item.flags],
        command=measuring_command(mine[0], aspect) if asked is None else eval_command(asked),
        beside=None if against is None else _beside(aspect, figure, against),
    )


def _set_up(item: Evaluation, run: RunFolder, *, attacked: bool) -> str:
    root = root_of(run)
    where = split_in_words(item, root) if is_elsewhere(item, root) else f"{item.data.split} split"
    images = f"{where}, seed {item.seed}"
    if not attacked:
        return images
    ran = f"suite {item.suite}" if item.suite else attack_list(item)
    ran += f", then {item.went_on}" if item.went_on else ""
    return (
        f"{ran}, and the audit's own attacks; {images}"
        if any(a.name == AUDIT for a in item.attacks)
        else f"{ran}; {images}"
    )


def _beside(aspect: Aspect, figure: Figure, against: Evaluated) -> Beside | None:
    found = figures(against[1], aspect)
    if not found:
        return None
    other = to_compare_with(figure, found)
    return Beside(
        run=against[0].path.name,
        value=other.share,
        interval=other.interval,
        samples=other.samples,
        same_images=other.evaluation.data.fingerprint == figure.evaluation.data.fingerprint,
    )


def besides(
    mine: Evaluated,
    against: Evaluated | None,
    asked: Sequence[Condition],
    deployed: Sequence[DeployedFile],
    shown: Sequence[Evaluation],
) -> list[Evidence]:
    """Return what else an auditor asks of any classifier: measured, or with the command that measures it.

    Args:
        shown: the evaluations that the dossier speaks from, the leading one first.
    """
    run, evaluations = mine
    known = {condition.aspect for condition in asked}
    rows = [_plain(aspect, mine, against) for aspect in _customary(evaluations) if aspect not in known]
    rows += [_standard(run, evaluations), _weakest(shown[0] if shown else None, run), _invariance(shown, run)]
    return [*rows, _calibrated(run, shown), _parity(deployed, run), _int8(deployed, run)]


def _customary(evaluations: Sequence[Evaluation]) -> list[Aspect]:
    threats = threats_of(evaluations) or [DEFAULT_THREAT]
    robust = [aspect_of(threat) for threat in threats]
    balls = [threat for threat in threats if isinstance(threat, ThreatModel)]
    known = {threat.norm for threat in balls}
    robust += [Aspect("robust", name, NORMS[name].default_eps) for name in ("linf", "l2") if name not in known]
    mean = [Aspect("mean", lead.norm, lead.eps) for lead in balls[:1] if lead.norm in NORMS]
    return [Aspect("clean"), *robust, *mean, Aspect("corruptions"), *_radii(evaluations)]


def _radii(evaluations: Sequence[Evaluation]) -> list[Aspect]:
    certified = next((item.certification for item in evaluations if item.certification is not None), None)
    found = [] if certified is None else [point.parameter for point in certified.points if point.parameter > 0]
    return [Aspect("certified", "l2", radius) for radius in found] or [Aspect("certified", "l2", 0.25)]


def _plain(aspect: Aspect, mine: Evaluated, against: Evaluated | None) -> Evidence:
    found = figures(mine[1], aspect)
    if not found:
        about = "accuracy certified in l2" if aspect.kind == "certified" else str(aspect)
        return Evidence(about=about, state="not measured", command=measuring_command(mine[0], aspect))
    outcome, notes = look_at(Condition("min", aspect, 0.0, ""), mine, None)
    row = _measured(aspect, outcome.figure, mine, against)
    return row.model_copy(update={"remarks": _sentences([*([outcome.why] if outcome.why else []), *notes])})


def _standard(run: RunFolder, evaluations: Sequence[Evaluation]) -> Evidence:
    """AutoAttack's standard suite is what the figure of others was measured with."""
    about = f"robust accuracy by {STANDARD}"
    lead = next((threat for threat in threats_of(evaluations) if isinstance(threat, ThreatModel)), None)
    for item in own_first(evaluations):
        threat = item.threat.model
        if STANDARD not in item.not_run and isinstance(threat, ThreatModel):
            figure = Figure(item, item.robust_accuracy, item.interval, item.samples)
            row = _measured(aspect_of(threat), figure, (run, evaluations), None)
            return row.model_copy(update={"about": f"{about}, {threat}"})
    asked = {} if lead is None else {"norm": lead.norm, "eps": lead.eps}
    return Evidence(about=about, state="not measured", command=fresh_command(run.path, suite="standard", **asked))


def _weakest(leading: Evaluation | None, run: RunFolder) -> Evidence:
    about = "robust accuracy of the weakest class"
    if leading is None or not leading.per_class:
        return Evidence(about=about, state="not measured", command=fresh_command(run.path))
    row = weakest_first(leading)[0]
    return Evidence(
        about=f"{about}, {row.name}, {leading.threat.model}",
        state="measured",
        value=row.robust_accuracy,
        interval=robust_interval(row),
        samples=row.samples,
        set_up=_set_up(leading, run, attacked=True),
        evaluated_at=leading.created_at,
        flags=[flag.id for flag in leading.flags],
        remarks=["The interval is of one class, chosen since it is the lowest: the true one may be higher."],
    )


def _invariance(evaluations: Sequence[Evaluation], run: RunFolder) -> Evidence:
    about = "accuracy under changes that keep the class (rotation, brightness, …), at worst"
    item = next((item for item in own_first(evaluations) if item.invariances), None)
    if item is None:
        return Evidence(about=about, state="not measured", command=fresh_command(run.path, sections=["invariance"]))
    lowest: tuple[CurvePoint, str, int] = min(
        ((point, f"{curve.name} {point.parameter:g} {curve.unit}".strip(), curve.samples)
         for curve in item.invariances for point in curve.points),
        key=lambda found: found[0].accuracy,
    )  # fmt: skip
    point, where, samples = lowest
    return Evidence(
        about=f"{about}: {where}",
        state="measured",
        value=point.accuracy,
        interval=point.interval,
        samples=samples,
        set_up=_set_up(item, run, attacked=False),
        evaluated_at=item.created_at,
        flags=[flag.id for flag in item.flags],
    )


def _calibrated(run: RunFolder, evaluations: Sequence[Evaluation]) -> Evidence:
    about = "expected calibration error on clean images (0 % is best)"
    for item in own_first(evaluations):
        if item.calibration is not None:
            return Evidence(
                about=about,
                state="measured",
                value=item.calibration.expected_error,
                interval=calibration_interval(item.calibration),
                samples=item.calibration.samples,
                set_up=_set_up(item, run, attacked=False),
                evaluated_at=item.created_at,
                flags=[flag.id for flag in item.flags],
            )
    return Evidence(about=about, state="not measured", command=fresh_command(run.path))


def _parity(deployed: Sequence[DeployedFile], run: RunFolder) -> Evidence:
    about = "same answer by the exported file as by the network"
    own = next((file for file in deployed if file.kind == "float32"), None)
    if own is None:
        return Evidence(about=about, state="not measured", command=export_command(run, int8=False))
    share, images = own.parity.argmax_agreement, own.parity.images
    return Evidence(
        about=f"{about}, {own.file}",
        state="measured",
        value=share,
        interval=clopper_pearson(round(share * images), images),
        samples=images,
        set_up=f"largest logit difference {own.parity.largest_logit_difference:.2g}",
        command=export_command(run, int8=False),
    )


def _int8(deployed: Sequence[DeployedFile], run: RunFolder) -> Evidence:
    about = "robust accuracy of the quantised (int8) file"
    own = next((file for file in deployed if file.quantization is not None), None)
    cost: Quantization | None = None if own is None else own.quantization
    if own is None or cost is None:
        return Evidence(about=about, state="not measured", command=export_command(run, int8=True))
    return Evidence(
        about=f"{about}, {ThreatModel(cost.norm, cost.eps)}",
        state="measured",
        value=cost.robust_accuracy,
        interval=cost.interval,
        samples=cost.samples,
        set_up=f"{', '.join(cost.attacks)}; float32 on the same images: {percent(cost.robust_accuracy_float32)}"
        + ("" if own.data is None else f"; images of {own.data}, which the run did not hold out"),
        flags=own.flags,
        command=export_command(run, int8=True),
    )
