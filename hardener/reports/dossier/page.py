"""A dossier as one page: no script, nothing from the network, and made to be printed."""

from __future__ import annotations

from typing import Any

from hardener.config.dossier_record import Dossier, Evidence
from hardener.config.evaluation_record import Evaluation
from hardener.config.purpose import TEMPLATE, Purpose
from hardener.reports._charts import charts_of
from hardener.reports.by_class import UNEVEN, weakest_first
from hardener.reports.confusion import confusion_tables
from hardener.reports.dossier import mapping
from hardener.reports.page import corruption_tables, page_with_figures, what_it_does_not_say

_PARTS = ("eps_curves", "invariances", "corruptions", "certification", "clever", "calibration", "landscape")
_SHOWN_CLASSES = 20
_WORDS = {
    "use": "Use",
    "not_for": "Not to be used for",
    "operating_conditions": "Operating conditions",
    "who_decides": "Who decides",
    "threat_model": "Why this threat model and eps",
    "representative": "Why the test images are like those of the operation",
    "review_by": "To be tested again by",
}


def dossier_page(dossier: Dossier, *, file: str, signed: str | None = None) -> str:
    """Return the page.

    Args:
        file: the page's name, and `signed` the command that checks its signature, where it is signed.
    """
    merged = _merged(dossier)
    environment = page_with_figures()
    return environment.get_template("dossier.html.j2").render(
        dossier=dossier,
        evaluation=merged,
        threats=[str(item.threat.model) for item in dossier.evaluations],
        purpose=[] if dossier.purpose is None else purpose_rows(dossier.purpose),
        template=TEMPLATE,
        tables=[("What is required", dossier.requirements), ("What else was measured, or was not", dossier.evidence)],
        beside=_beside(dossier),
        limits=[] if merged is None else what_it_does_not_say(merged),
        flags=_flags(dossier),
        charts={} if merged is None else charts_of(merged),
        classes=[] if merged is None else weakest_first(merged)[:_SHOWN_CLASSES],
        uneven=UNEVEN,
        more_classes=merged is not None and len(merged.per_class) > _SHOWN_CLASSES,
        raised=[] if merged is None else [check for check in merged.checks if check.raised],
        sources=mapping.SOURCES,
        anchors=ANCHORS,
        file=file,
        signed=signed,
        **({} if merged is None else corruption_tables(merged) | confusion_tables(merged)),
    )


ANCHORS = {
    mapping.PURPOSE: "purpose",
    mapping.IDENTITY: "identity",
    mapping.DATA: "data",
    mapping.EVIDENCE: "evidence",
    mapping.FAILS: "fails",
    mapping.CURVES: "curves",
    mapping.MASKING: "masking",
    mapping.MEASURES: "measures",
    mapping.DEPLOYED: "deployed",
    "What changed": "changed",
    mapping.AGAIN: "again",
    "Mapping": "mapping",
}
"""The sections, in their order, and the ids that links go to."""


def purpose_rows(purpose: Purpose) -> list[tuple[str, str]]:
    """Return the owner's words with what each is called; those that were left out are not there."""
    given = {name: str(getattr(purpose, name) or "") for name in _WORDS}
    return [(words, given[name]) for name, words in _WORDS.items() if given[name]]


def _merged(dossier: Dossier) -> Evaluation | None:
    """The leading evaluation, with each part that it lacks from the next one that has it."""
    if not dossier.evaluations:
        return None
    lead = dossier.evaluations[0]
    update: dict[str, Any] = {}
    for part in _PARTS:
        update[part] = next((found for item in dossier.evaluations if (found := getattr(item, part))), None)
    measured = {name: found for item in reversed(dossier.evaluations) for name, found in item.measured.items()}
    update = {name: found for name, found in update.items() if found}
    return lead.model_copy(update={**update, "measured": measured})


def _beside(dossier: Dossier) -> str | None:
    rows: tuple[Evidence, ...] = (*dossier.requirements, *dossier.evidence)
    return next((row.beside.run for row in rows if row.beside is not None), None)


def _flags(dossier: Dossier) -> list[tuple[str, str, str]]:
    """Each flag once: its name, what it says, and where it is explained."""
    found = {(f.id, f.message): f.page for item in dossier.evaluations for f in item.flags}
    return [(name, message, page) for (name, message), page in found.items()]
