"""Where the points of three documents are answered. Their wording is theirs: points are told here in our words.

Read for this: Regulation (EU) 2024/1689, Article 15; the contents of ISO/IEC DIS 24029-3 of 2025-12-08 as its public
draft shows them; the classes of attacks and mitigations of NIST AI 100-2 E2025.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from hardener.config.dossier_record import Answered, Dossier

AI_ACT = "EU AI Act, Art. 15"
ISO = "ISO/IEC DIS 24029-3"
NIST = "NIST AI 100-2 E2025"
SOURCES = {
    AI_ACT: "https://eur-lex.europa.eu/eli/reg/2024/1689/oj",
    ISO: "https://standardsdevelopment.elot.gr/drafts/13951",
    NIST: "https://doi.org/10.6028/NIST.AI.100-2e2025",
}
PURPOSE, IDENTITY, DATA = "Purpose and limits", "Identity", "Data"
EVIDENCE, FAILS, CURVES, MASKING = "Requirements and evidence", "Where it fails", "Curves", "Masking checks"
MEASURES, DEPLOYED, AGAIN = "Certificates and calibration", "Exported and quantised files", "When to test again"
Need = Literal["always", "purpose", "requirements", "clean", "attack", "black box", "certificate", "disturbed", "curve"]


class _Point(BaseModel):
    """`part`: what a dossier can say of it is not all that the point asks. `section` None: nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    document: str
    point: str
    section: str | None = None
    need: Need = "always"
    note: str
    part: bool = False


def _points() -> list[_Point]:
    """Read the points, in their order."""
    listed = yaml.safe_load((Path(__file__).parent / "mapping.yaml").read_text(encoding="utf-8"))
    return [_Point(document=name, **fields) for name, points in listed.items() for fields in points]


def answered(dossier: Dossier) -> list[Answered]:
    """Return a line for each point: the section that answers it, and whether that was measured."""
    lines = []
    for item in _points():
        there = _there(item.need, dossier)
        state: Literal["answered", "in part", "not measured", "not in this file"] = "not measured"
        if item.section is None:
            state = "not in this file"
        elif there:
            state = "in part" if item.part else "answered"
        lines.append(
            Answered(document=item.document, point=item.point, section=item.section, state=state, note=item.note)
        )
    return lines


def _there(need: Need, dossier: Dossier) -> bool:
    found = dossier.evaluations
    if need == "purpose":
        return dossier.purpose is not None
    if need == "requirements":
        return bool(dossier.requirements) and not dossier.count("not measured")
    if need == "disturbed":
        return any(item.corruptions is not None or item.invariances for item in found)
    if need == "certificate":
        return any(item.certification is not None for item in found)
    if need == "curve":
        return any(item.eps_curves for item in found)
    if need == "black box":
        return any("queries" in attack.settings for item in found for attack in item.attacks)
    return need == "always" or bool(found)
