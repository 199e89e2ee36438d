"""Runs side by side, under every threat model that they share, with paired differences."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hardener.config.bundle import sha256_of
from hardener.config.evaluation_record import EvaluatedAttack, Evaluation, InvarianceCurve, read_evaluations
from hardener.config.run_folder import RunFolder, now
from hardener.errors import HardenerError
from hardener.statistics.paired import Difference, Outcomes, paired_difference, read_outcomes
from hardener.threat import ThreatModel, show_eps

COMPARE_SCHEMA: Literal["hardener/compare/1"] = "hardener/compare/1"
SAME_EPS = 1e-6
_AUDIT = "audit"  # stands among the attacks where the audit's own broke images that all others had left standing


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ComparedRun(_Strict):
    """A run that is compared. `seconds` is training time, None where it is not known."""

    name: str
    path: str
    recipe: str
    parameters: int
    seconds: float | None
    device: str


class ComparedResult(_Strict):
    """One run under one threat model. The differences are to the first run, None for that run itself."""

    evaluated_at: str
    clean_accuracy: float
    clean_interval: tuple[float, float]
    robust_accuracy: float
    interval: tuple[float, float]
    verdict: str
    reason: str
    flags: list[str]
    clean_difference: Difference | None
    robust_difference: Difference | None


class ComparedAttack(_Strict):
    """What each run had left after this attack and all before it. `alike`: these ran with the same settings."""

    label: str
    accuracies: list[float]
    alike: bool


class ComparedThreat(_Strict):
    """All runs under one threat model, on the same images. `cw` is what C&W left, None for runs without it."""

    norm: str
    eps: float
    split: str
    samples: int
    fingerprint: str
    results: list[ComparedResult]
    attacks: list[ComparedAttack]
    cw: list[float | None]


class ComparedMeasure(_Strict):
    """A measure beyond attacks: one value a run, in [0, 1], None where it was not measured on these images."""

    label: str
    detail: str
    values: list[float | None]


class RadarAxis(_Strict):
    label: str
    values: list[float | None]


class Comparison(_Strict):
    """Everything `hardener compare` says; lists go by the order of `runs`."""

    schema_name: Literal["hardener/compare/1"] = Field(COMPARE_SCHEMA, alias="schema")
    created_at: str
    runs: list[ComparedRun]
    threats: list[ComparedThreat]
    invariance: ComparedMeasure | None
    corruption: ComparedMeasure | None
    certified: list[ComparedMeasure]
    radar: list[RadarAxis]
    notes: list[str]


def current_evaluations(run: RunFolder) -> list[Evaluation]:
    """Return the evaluations of a run's present weights, newest first.

    Raises:
        HardenerError: it has none, or only some of other weights, or a file that this version does not read.
    """
    found = read_evaluations(run.evaluations)[::-1]
    if not found:
        raise HardenerError(f"{run.path} has not been evaluated. Run `{_eval_words(run)}`.")
    if run.weights.is_file():
        fingerprint = sha256_of(run.weights)
        found = [evaluation for evaluation in found if evaluation.model.fingerprint == fingerprint]
        if not found:
            raise HardenerError(
                f"the evaluations of {run.path} are of other weights than its {run.weights.name} of today. "
                f"Run `{_eval_words(run)}`."
            )
    return found


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
    for threat in _threats(found[0]):
        under = [[item for item in evaluations if _is_under(item, threat)] for evaluations in found]
        if not all(under):
            continue
        chosen = _alike(under, lambda item: (item.data.fingerprint, item.samples))
        shared = [item for item in chosen if item is not None]
        if len(shared) < len(runs):
            notes.append(f"{threat} is left out: {_what_differs(runs, names, under)}")
            continue
        threats.append(_compare_under(threat, runs, names, shared, notes))
    if not threats:
        raise HardenerError(_nothing_shared(runs, names, found))
    notes += _fairness(runs, compared)
    invariance, corruption = _invariance(found), _corruption(found)
    return Comparison(
        created_at=now(),
        runs=compared,
        threats=threats,
        invariance=invariance,
        corruption=corruption,
        certified=_certified(found),
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
            raise HardenerError(f"{run.path} has not been evaluated. Run `{_eval_words(run, like)}`.")
    return [current_evaluations(run) for run in runs]


def _threats(evaluations: Sequence[Evaluation]) -> list[ThreatModel]:
    """The threat models of evaluations, by `rank`: the wider of two balls first, as nothing may flatter."""
    found: list[ThreatModel] = []
    for item in evaluations:
        if not any(_is_under(item, known) for known in found):
            found.append(ThreatModel(item.threat.norm, item.threat.eps))
    return sorted(found, key=lambda threat: threat.rank)


def _is_under(evaluation: Evaluation, threat: ThreatModel) -> bool:
    return evaluation.threat.norm == threat.norm and abs(evaluation.threat.eps - threat.eps) < SAME_EPS


def _alike(
    candidates: Sequence[Sequence[Evaluation]], kind: Callable[[Evaluation], Hashable | None]
) -> list[Evaluation | None]:
    """Return, for each run, its newest evaluation of one kind: the kind that most runs have, then the newest."""
    newest: list[dict[Hashable, Evaluation]] = []
    for evaluations in candidates:
        mine: dict[Hashable, Evaluation] = {}
        for item in evaluations:
            key = kind(item)
            if key is not None:
                mine.setdefault(key, item)
        newest.append(mine)

    def rank(key: Hashable) -> tuple[int, str]:
        having = [mine[key] for mine in newest if key in mine]
        return len(having), max(item.created_at for item in having)

    kinds = {key for mine in newest for key in mine}
    if not kinds:
        return [None] * len(candidates)
    best = max(kinds, key=rank)
    return [mine.get(best) for mine in newest]


def _compare_under(
    threat: ThreatModel, runs: Sequence[RunFolder], names: list[str], shared: list[Evaluation], notes: list[str]
) -> ComparedThreat:
    outcomes: list[Outcomes | None] = []
    for run, name, item in zip(runs, names, shared, strict=True):
        try:
            if item.per_image is None:
                raise HardenerError("the evaluation has none.")
            outcomes.append(read_outcomes(run.evaluations / item.per_image))
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
            )
        )
    attacks = _common_attacks(shared)
    if not all(attacked_alike(shared[0], item) for item in shared):
        each = "; ".join(f"{name}: {attack_list(item)}" for name, item in zip(names, shared, strict=True))
        notes.append(f"{threat}: the runs were not attacked alike, so their worst cases are not either. {each}")
    return ComparedThreat(
        norm=threat.norm,
        eps=threat.eps,
        split=shared[0].data.split,
        samples=shared[0].samples,
        fingerprint=shared[0].data.fingerprint,
        results=results,
        attacks=attacks,
        cw=[_left_by_cw(item) for item in shared],
    )


def _signatures(attacks: Sequence[EvaluatedAttack]) -> list[tuple[str, dict[str, str]]]:
    return [
        (a.name, {key: _show(value) for key, value in a.settings.items() if key != "asked"})  # a copy answers alike
        for a in attacks
        if a.name != _AUDIT
    ]


def attacked_alike(one: Evaluation, other: Evaluation) -> bool:
    """Say whether two evaluations ran the same attacks with the same settings, in the same order; the audit apart."""
    return _signatures(one.attacks) == _signatures(other.attacks)


def attack_list(evaluation: Evaluation) -> str:
    """Name the attacks with the settings that make them strong or weak."""
    named = ", ".join(_attack_label(attack) for attack in evaluation.attacks) or "no attack"
    return f"{named} in bfloat16" if any(attack.settings.get("bf16") for attack in evaluation.attacks) else named


def _attack_label(attack: EvaluatedAttack) -> str:
    if attack.name == _AUDIT:
        return "the audit's own attacks"
    settings = attack.settings
    told = [str(settings["loss"])] if settings.get("loss") else []
    told += [f"{settings['steps']} steps"] if settings.get("steps") else []
    told += [f"{settings['restarts']} restarts"] if settings.get("restarts", 1) != 1 else []
    return f"{attack.name} ({', '.join(told)})" if told else attack.name


def _show(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _common_attacks(shared: list[Evaluation]) -> list[ComparedAttack]:
    """Attacks that all runs met, the nth of a name in one being the nth of it in another; in the first's order."""
    tables = []
    for item in shared:
        table: dict[tuple[str, int], int] = {}
        names = [attack.name for attack in item.attacks]
        for place, name in enumerate(names):
            table[name, names[:place].count(name)] = place
        tables.append(table)
    common = []
    for key, place in tables[0].items():
        if not all(key in table for table in tables):
            continue
        before = _signatures(shared[0].attacks[: place + 1])
        places = [table[key] for table in tables]
        alike = all(_signatures(item.attacks[: own + 1]) == before for item, own in zip(shared, places, strict=True))
        common.append(
            ComparedAttack(
                label=_attack_label(shared[0].attacks[place]),
                accuracies=[item.attacks[own].robust_accuracy for item, own in zip(shared, places, strict=True)],
                alike=alike,
            )
        )
    return common


def _left_by_cw(evaluation: Evaluation) -> float | None:
    return next((a.robust_accuracy for a in evaluation.attacks if a.name == "cw" or a.name.startswith("cw-")), None)


def _drawn(item: Evaluation, samples: int) -> Hashable:
    """Which images a section was measured on: all that were evaluated, or some of them, drawn by the seed."""
    return item.data.fingerprint, samples, item.seed if samples < item.samples else None


def _invariance(found: Sequence[Sequence[Evaluation]]) -> ComparedMeasure | None:
    def curves_of(item: Evaluation) -> list[tuple[str, int, tuple[float, ...]]]:
        return [
            (curve.name, curve.samples, tuple(round(point.parameter, 9) for point in curve.points))
            for curve in item.invariances
        ]

    def kind(item: Evaluation) -> Hashable | None:
        curves = curves_of(item)
        return (_drawn(item, curves[0][1]), tuple(curves)) if curves else None

    chosen = _alike(found, kind)
    having = [item for item in chosen if item is not None]
    if not having:
        return None
    names = ", ".join(curve.name for curve in having[0].invariances)
    return ComparedMeasure(
        label="invariance",
        detail=f"mean accuracy over {names}; n = {having[0].invariances[0].samples}",
        values=[None if item is None else mean_invariance(item.invariances) for item in chosen],
    )


def mean_invariance(curves: Sequence[InvarianceCurve]) -> float:
    """Return the mean over curves of the mean accuracy over their points, the unchanged image left out."""
    means = []
    for curve in curves:
        moved = [point.accuracy for point in curve.points if abs(point.parameter - curve.identity) > 1e-9]
        means += [sum(moved) / len(moved)] if moved else []
    return sum(means) / max(len(means), 1)


def _corruption(found: Sequence[Sequence[Evaluation]]) -> ComparedMeasure | None:
    def kind(item: Evaluation) -> Hashable | None:
        if item.corruptions is None:
            return None
        return _drawn(item, item.corruptions.samples), tuple(kind.name for kind in item.corruptions.kinds)

    chosen = _alike(found, kind)
    first = next((item.corruptions for item in chosen if item is not None and item.corruptions), None)
    if first is None:
        return None
    return ComparedMeasure(
        label="corruption",
        detail=f"mean accuracy over {len(first.kinds)} kinds and their severities; n = {first.samples}",
        values=[
            1 - item.corruptions.mean_corruption_error if item is not None and item.corruptions else None
            for item in chosen
        ],
    )


def _certified(found: Sequence[Sequence[Evaluation]]) -> list[ComparedMeasure]:
    def kind(item: Evaluation) -> Hashable | None:
        return None if item.certification is None else _drawn(item, item.certification.samples)

    chosen = [None if item is None else item.certification for item in _alike(found, kind)]
    having = [item for item in chosen if item is not None]
    if not having:
        return []
    radii = [point.parameter for point in having[0].points]
    measures = []
    for radius in radii:
        values: list[float | None] = []
        for item in chosen:
            points = [] if item is None else [p for p in item.points if abs(p.parameter - radius) < SAME_EPS]
            values.append(points[0].accuracy if points else None)
        sigmas = "/".join("–" if item is None else f"{item.noise_sigma:g}" for item in chosen)
        detail = f"right and certified by randomized smoothing, noise {sigmas}; n = {having[0].samples}"
        measures.append(ComparedMeasure(label=f"certified, l2 {radius:g}", detail=detail, values=values))
    return measures


def _radar(
    runs: list[ComparedRun],
    threats: list[ComparedThreat],
    invariance: ComparedMeasure | None,
    corruption: ComparedMeasure | None,
) -> list[RadarAxis]:
    """The axes of the chart, each from 0 to 1; those that no run has are left out."""
    axes = [RadarAxis(label="clean", values=[result.clean_accuracy for result in threats[0].results])]
    for item in threats:
        where = f"{item.norm} {show_eps(item.eps)}"
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
    notes = []
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


def _nothing_shared(runs: Sequence[RunFolder], names: list[str], found: list[list[Evaluation]]) -> str:
    for threat in _threats(found[0]):
        under = [[item for item in evaluations if _is_under(item, threat)] for evaluations in found]
        if all(under):
            return f"under {threat}, {_what_differs(runs, names, under)}"
    like = found[0][0]
    lacking = [
        run
        for run, mine in zip(runs, found, strict=True)
        if not any(_is_under(item, ThreatModel(like.threat.norm, like.threat.eps)) for item in mine)
    ]
    each = "; ".join(
        f"{name}: {', '.join(map(str, _threats(evaluations)))}" for name, evaluations in zip(names, found, strict=True)
    )
    commands = "` and `".join(_eval_words(run, like) for run in lacking)
    return f"there is no threat model under which all runs were evaluated ({each}). Run `{commands}`."


def _what_differs(runs: Sequence[RunFolder], names: list[str], under: list[list[Evaluation]]) -> str:
    """Say why the newest evaluations of one threat model are not of the same images, and what to run."""
    like = under[0][0]
    for run, name, evaluations in zip(runs[1:], names[1:], under[1:], strict=True):
        if any(_same_images(like, item) for item in evaluations):
            continue
        own = evaluations[0]
        pairs = {
            "folder": (like.data.root, own.data.root),
            "split": (like.data.split, own.data.split),
            "number of images": (like.samples, own.samples),
            "seed of their choice": (like.seed, own.seed),
        }
        differing = [f"{what} ({one} and {other})" for what, (one, other) in pairs.items() if one != other]
        seeds = (runs[0].read_record().seed, run.read_record().seed)
        if seeds[0] != seeds[1] and like.data.split in {"test", "validation"}:
            differing.append(f"seed of training, which may have split the folder ({seeds[0]} and {seeds[1]})")
        what = "; ".join(differing) or "contents of the images"
        other_splits = seeds[0] != seeds[1] or like.data.root != own.data.root
        hint = " Or evaluate all on a folder that none was trained on, with --data DIR." if other_splits else ""
        return (
            f"{names[0]} and {name} were not evaluated on the same images; they differ in: {what}. "
            f"Run `{_eval_words(run, like)}`.{hint}"
        )
    return (
        f"no images are shared by all runs, though each shares some with {names[0]}. Run "
        f"`{'` and `'.join(_eval_words(run, like) for run in runs[1:])}`."
    )


def _same_images(one: Evaluation, other: Evaluation) -> bool:
    return one.data.fingerprint == other.data.fingerprint and one.samples == other.samples


def _eval_words(run: RunFolder, like: Evaluation | None = None) -> str:
    """The command that evaluates a run, as another evaluation was made."""
    words = ["hardener", "eval", str(run.path)]
    if like is None:
        return shlex.join(words)
    if run.record_file.is_file() and Path(run.read_record().data.root) != Path(like.data.root):
        words += ["--data", like.data.root]
    if like.suite is not None:
        words += ["--suite", like.suite]
    else:
        names = dict.fromkeys(attack.name for attack in like.attacks if attack.name != _AUDIT)
        words += [word for name in names for word in ("--attack", name)]
    words += ["--norm", like.threat.norm, "--eps", show_eps(like.threat.eps)]
    words += ["--samples", str(like.samples + like.data.skipped), "--seed", str(like.seed)]
    return shlex.join(words)
