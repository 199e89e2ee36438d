"""A run's records -> its dossier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hardener import __version__
from hardener.config.bundle import sha256_of
from hardener.config.dossier_record import Dossier, read_dossier
from hardener.config.evaluation_record import Evaluation
from hardener.config.purpose import Purpose, read_purpose
from hardener.config.run_folder import RunFolder, now
from hardener.errors import HardenerError
from hardener.reports.by_class import far_below, few_images
from hardener.reports.condition import Condition, aspect_of, conditions_in
from hardener.reports.dossier.changes import changes_since, when_to_test_again
from hardener.reports.dossier.evidence import besides, required
from hardener.reports.dossier.identity import deployed_files, describe_data, identify
from hardener.reports.dossier.mapping import answered
from hardener.reports.gate import Evaluated
from hardener.reports.own_images import own_first, precedence
from hardener.reports.shared import current_evaluations, evaluations_of_today, is_under, threats_of


@dataclass(frozen=True)
class Asked:
    """What a dossier is to hold: the owner's words and requirements, a run to stand beside, the dossier before."""

    purpose: Purpose | None = None
    requirements: Sequence[Condition] = field(default_factory=tuple)
    against: RunFolder | None = None
    last: Dossier | None = None


def ask(
    run: RunFolder,
    page: Path | None,
    *,
    purpose: Path | None = None,
    requirements: Path | None = None,
    against: RunFolder | None = None,
    since: Path | None = None,
) -> Asked:
    """Read the owner's files and the last dossier.

    Args:
        page: where the dossier is to be written; the JSON beside it is the last dossier, unless `since` names another.
        purpose, requirements: None for those in the run's folder, if they are there.
    Raises:
        HardenerError: a file that was named is not there, one does not say what it should, or `against` is the run.
    """
    if against is not None and against.path.resolve() == run.path.resolve():
        raise HardenerError(f"--against names {run.path} itself: name another run to stand beside it.")
    owner = _default_file(run, "purpose.yaml", purpose)
    asked = _default_file(run, run.requirements.name, requirements)
    last = since if since is not None or page is None else page.with_suffix(".json")
    return Asked(
        purpose=None if owner is None else read_purpose(owner),
        requirements=() if asked is None else conditions_in(asked),
        against=against,
        last=read_dossier(last) if last is not None and (since is not None or last.is_file()) else None,
    )


def make_dossier(run: RunFolder, asked: Asked) -> Dossier:
    """Gather what is known of a run's present weights; what is not comes with the command that measures it.

    Raises:
        HardenerError: the run cannot be read, or the one beside it was not evaluated.
    """
    record = run.read_record()
    found = _leading_first(evaluations_of_today(run), asked.requirements)
    mine: Evaluated = (run, sorted(found, key=lambda item: item.created_at, reverse=True))
    against = None if asked.against is None else (asked.against, current_evaluations(asked.against))
    files, lacking = deployed_files(run, sha256_of(run.weights) if run.weights.is_file() else None)
    shown = _newest_of_each(found)
    dossier = Dossier(
        created_at=now(),
        hardener_version=__version__,
        purpose=asked.purpose,
        identity=identify(run, record, shown, any(file.kind == "int8" for file in files)),
        data=describe_data(record, shown[0] if shown else None),
        requirements=required(asked.requirements, mine, against),
        evidence=besides(mine, against, asked.requirements, files, shown),
        evaluations=shown,
        weak_classes=[
            text for item in shown[:1] for text in (far_below(item.per_class), few_images(item.per_class)) if text
        ],
        deployed=files,
        not_deployed=lacking,
        since=None if asked.last is None else asked.last.created_at,
        changes=[],
        test_again=[],
        mapping=[],
    )
    changes = [] if asked.last is None else changes_since(asked.last, dossier)
    later = {"changes": changes, "test_again": when_to_test_again(dossier), "mapping": answered(dossier)}
    return dossier.model_copy(update=later)


def _leading_first(evaluations: Sequence[Evaluation], requirements: Sequence[Condition]) -> list[Evaluation]:
    """Newest first, those of the run's own images before them, and before all what is under the threat asked first."""
    asked = [condition.aspect for condition in requirements if condition.aspect.is_attacked]
    asked += map(aspect_of, threats_of(evaluations))
    own = [item for item in evaluations if precedence(item) < 2] or evaluations
    lead = next((aspect for aspect in asked if any(aspect.is_under(item.threat.model) for item in own)), None)
    return sorted(own_first(evaluations), key=lambda item: lead is None or not lead.is_under(item.threat.model))


def _newest_of_each(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Return those that a dossier speaks from: the newest under each threat, and the newest with each part."""
    chosen: list[Evaluation] = []
    for threat in threats_of(evaluations):
        chosen.append(next(item for item in evaluations if is_under(item, threat)))
    for part in ("eps_curves", "invariances", "corruptions", "certification", "clever", "calibration", "landscape"):
        chosen += [item for item in evaluations if getattr(item, part)][:1]
    names = dict.fromkeys(name for item in evaluations for name in item.measured)
    chosen += [next(item for item in evaluations if name in item.measured) for name in names]
    return [item for item in evaluations if any(item is other for other in chosen)]


def _default_file(run: RunFolder, name: str, given: Path | None) -> Path | None:
    """Return the owner's file that was named, else the one of this name in the run's folder, if it is there."""
    own = run.path / name
    return given if given is not None else own if own.is_file() else None
