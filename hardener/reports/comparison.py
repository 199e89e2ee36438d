"""Runs side by side, under every threat model that they share, with paired differences."""

from __future__ import annotations

from collections.abc import Sequence

from hardener.config.evaluation_record import Evaluation, read_evaluations
from hardener.config.run_folder import RunFolder, now
from hardener.errors import HardenerError
from hardener.reports import beyond
from hardener.reports.attack_lists import attack_list, attacked_alike, common_attacks, effort
from hardener.reports.comparison_record import (
    ComparedMeasure,
    ComparedResult,
    ComparedRun,
    ComparedThreat,
    Comparison,
    RadarAxis,
)
from hardener.reports.own_images import is_elsewhere, root_of
from hardener.reports.shared import (
    command_like,
    current_evaluations,
    is_under,
    newest_alike,
    nothing_shared,
    threats_of,
    weights_gone,
    what_differs,
)
from hardener.statistics.paired import Outcomes, paired_difference, read_outcomes
from hardener.threat import Threat, ThreatModel, norm_of
from hardener.words import one_line


def compare(runs: Sequence[RunFolder]) -> Comparison:
    """Put runs side by side, under every threat model under which all were evaluated on the same images.

    For each run the newest such evaluation counts.

    Raises:
        HardenerError: fewer than two runs, one named twice, one not evaluated, or nothing that all share.
    """
    if len(runs) < 2:
        raise HardenerError("name two runs or more: hardener compare RUN RUN.")
    for place, run in enumerate(runs):
        if run.path.resolve() in [other.path.resolve() for other in runs[:place]]:
            raise HardenerError(f"{run.path} is named twice.")
    compared = _describe(runs)
    names = [run.name for run in compared]
    found = _evaluations_of_all(runs)
    notes: list[str] = []
    threats: list[ComparedThreat] = []
    for threat in threats_of(found[0]):
        under = [[item for item in evaluations if is_under(item, threat)] for evaluations in found]
        if not all(under):
            continue
        chosen = newest_alike(under, lambda item: (item.data.fingerprint, item.samples))
        shared = [item for item in chosen if item is not None]
        if len(shared) < len(runs):
            notes.append(f"{threat} is left out: {what_differs(runs, names, under)}")
            continue
        threats.append(_compare_under(threat, runs, names, shared, notes))
        notes += _set_aside(threat, under, shared)
    if not threats:
        raise HardenerError(nothing_shared(runs, names, found))
    notes += _fairness(runs, compared)
    invariance, corruption = beyond.invariance(found), beyond.corruption(found)
    return Comparison(
        created_at=now(),
        runs=compared,
        threats=threats,
        invariance=invariance,
        corruption=corruption,
        certified=beyond.certified(found),
        measured=beyond.measured(found),
        radar=_radar(compared, threats, invariance, corruption),
        notes=notes,
    )


def _describe(runs: Sequence[RunFolder]) -> list[ComparedRun]:
    records = [run.read_record() for run in runs]
    names = [record.name for record in records]
    return [
        ComparedRun(
            name=record.name if names.count(record.name) == 1 else str(run.path),
            path=str(run.path),
            recipe=run.read_recipe().name,
            parameters=record.model.parameters,
            seconds=record.seconds or None,
            device=str(record.hardware.get("gpu") or f"{record.device}, {record.hardware.get('threads', '?')} threads"),
        )
        for run, record in zip(runs, records, strict=True)
    ]


def _evaluations_of_all(runs: Sequence[RunFolder]) -> list[list[Evaluation]]:
    """As `current_evaluations`; the error offers the settings of a run that was evaluated."""
    like = next((found[-1] for run in runs if (found := read_evaluations(run.evaluations))), None)
    for run in runs:
        if like is not None and not read_evaluations(run.evaluations):
            raise HardenerError(f"{run.path} has not been evaluated. Run `{command_like(run, like)}`.")
    return [current_evaluations(run) for run in runs]


def _compare_under(
    threat: Threat, runs: Sequence[RunFolder], names: list[str], shared: list[Evaluation], notes: list[str]
) -> ComparedThreat:
    outcomes: list[Outcomes | None] = []
    for run, name, item in zip(runs, names, shared, strict=True):
        try:
            outcomes.append(_outcomes(run, item))
        except HardenerError as error:
            outcomes.append(None)
            notes.append(f"{threat}: no paired difference for {name}, which needs the results of each image: {error}")
        if item.verdict == "inconclusive":
            notes.append(f"{threat}: {name} is inconclusive, so its robust accuracy may be too high: {item.reason}")
    first = outcomes[0]
    results = []
    for place, (item, own) in enumerate(zip(shared, outcomes, strict=True)):
        paired = place > 0 and first is not None and own is not None
        results.append(
            ComparedResult(
                evaluated_at=item.created_at,
                clean_accuracy=item.clean_accuracy,
                clean_interval=item.clean_interval,
                robust_accuracy=item.robust_accuracy,
                interval=item.interval,
                verdict=item.verdict,
                reason=item.reason,
                flags=[flag.id for flag in item.flags],
                clean_difference=paired_difference(first, own, "clean") if paired and first and own else None,
                robust_difference=paired_difference(first, own, "robust") if paired and first and own else None,
                clean_balanced=None if item.balanced is None else item.balanced.clean_accuracy,
                robust_balanced=None if item.balanced is None else item.balanced.robust_accuracy,
            )
        )
    if not all(attacked_alike(shared[0], item) for item in shared):
        notes.append(f"{threat}: {_attacked_otherwise(runs, names, shared)}")
    return ComparedThreat(
        name=str(threat),
        norm=norm_of(threat),
        eps=threat.eps if isinstance(threat, ThreatModel) else None,
        split=shared[0].data.split,
        data=_elsewhere(runs, shared),
        samples=shared[0].samples,
        fingerprint=shared[0].data.fingerprint,
        results=results,
        attacks=common_attacks(shared),
        cw=[_left_by_cw(item) for item in shared],
    )


def _set_aside(threat: Threat, under: list[list[Evaluation]], shared: list[Evaluation]) -> list[str]:
    """Name other data on which all runs were evaluated under a threat, too, and which is not shown."""
    roots = [{item.data.root for item in items if item.data.own is False} for items in under]
    return [
        f"{threat}: all runs were evaluated on other data, too, {one_line(root)}, which is not shown"
        for root in sorted(set.intersection(*roots) - {item.data.root for item in shared})
    ]


def _elsewhere(runs: Sequence[RunFolder], shared: list[Evaluation]) -> str | None:
    roots = [item.data.root for run, item in zip(runs, shared, strict=True) if is_elsewhere(item, root_of(run))]
    return one_line(roots[0]) if roots else None


def _outcomes(run: RunFolder, evaluation: Evaluation) -> Outcomes:
    if evaluation.per_image is None:
        raise HardenerError("the evaluation has none.")
    return read_outcomes(run.evaluations / evaluation.per_image)


def _attacked_otherwise(runs: Sequence[RunFolder], names: list[str], shared: list[Evaluation]) -> str:
    """Say how the runs were attacked, and what attacks all as the one that met most."""
    each = "; ".join(f"{name}: {attack_list(item)}" for name, item in zip(names, shared, strict=True))
    most = max(shared, key=effort)
    if most.suite is not None:  # another version may have put other attacks under its name: only the newest can be met
        most = max((item for item in shared if item.suite == most.suite), key=lambda item: item.created_at)
    others = [run for run, item in zip(runs, shared, strict=True) if not attacked_alike(most, item)]
    commands = "` and `".join(command_like(run, most) for run in others)
    return (
        f"the runs were not attacked alike, so their worst cases are not either. {each}. To attack all alike, run "
        f"`{commands}`"
    )


def _left_by_cw(evaluation: Evaluation) -> float | None:
    return next((attack.robust_accuracy for attack in evaluation.attacks if attack.name == "cw"), None)


def _radar(
    runs: list[ComparedRun],
    threats: list[ComparedThreat],
    invariance: ComparedMeasure | None,
    corruption: ComparedMeasure | None,
) -> list[RadarAxis]:
    """The axes of the chart, each from 0 to 1; those that no run has are left out."""
    axes = [RadarAxis(label="clean", values=[result.clean_accuracy for result in threats[0].results])]
    for item in threats:
        where = item.name
        axes.append(RadarAxis(label=f"worst case\n{where}", values=[r.robust_accuracy for r in item.results]))
        if any(value is not None for value in item.cw):
            axes.append(RadarAxis(label=f"C&W\n{where}", values=item.cw))
    axes += [RadarAxis(label=item.label, values=item.values) for item in (invariance, corruption) if item]
    known = [run.seconds for run in runs if run.seconds]
    if known:
        costs = [min(known) / run.seconds if run.seconds else None for run in runs]
        axes.append(RadarAxis(label="training cost\n(cheapest = 100 %)", values=costs))
    return axes


def _fairness(runs: Sequence[RunFolder], compared: list[ComparedRun]) -> list[str]:
    notes = [gone for run in runs if (gone := weights_gone(run)) is not None]
    devices = {run.device for run in compared}
    if len(devices) > 1:
        notes.append(f"training seconds are not of one device: {', '.join(sorted(devices))}")
    prints = {run.read_record().data.splits["train"].fingerprint for run in runs}
    if len(prints) > 1:
        notes.append(
            "the runs were not trained on the same images: an image evaluated here may have been trained on by one"
        )
    if len(runs) > 2:
        notes.append("each p value is of one comparison; with several, one small p value is likelier to be chance")
    return notes
