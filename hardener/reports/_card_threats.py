"""The model card's section on threat models that no norm describes."""

from __future__ import annotations

from collections.abc import Sequence

from hardener.config.evaluation_record import Evaluation
from hardener.reports._markdown import cell, text
from hardener.reports.command import AUDIT
from hardener.threat import ChangeThreat
from hardener.words import ends, percent


def lowest_changed(evaluations: Sequence[Evaluation], fingerprint: str) -> list[Evaluation]:
    """Return, for each threat without a norm and split, these weights' evaluation of the lowest robust accuracy."""
    chosen: dict[tuple[ChangeThreat, str], Evaluation] = {}
    for item in evaluations:
        threat = item.threat.model
        if not isinstance(threat, ChangeThreat) or item.model.fingerprint != fingerprint:
            continue
        key = (threat, item.data.split)
        if key not in chosen or item.robust_accuracy < chosen[key].robust_accuracy:
            chosen[key] = item
    return [chosen[key] for key in sorted(chosen, key=lambda key: (key[0].rank, key[0].settings, key[1]))]


def changed_table(changed: Sequence[Evaluation]) -> list[str]:
    """Return the section; nothing where there is no such evaluation."""
    if not changed:
        return []
    lines = ["## Under changes that no norm describes", ""]
    for item in changed:
        threat = item.threat.model
        reach = threat.reach if isinstance(threat, ChangeThreat) else ""
        lines += [f"**{text(str(threat))}: {item.verdict}.** {text(reach)} {text(item.reason)}", ""]
    lines += [
        "| threat | split | images | clean accuracy | robust accuracy, worst case | attacks |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for item in changed:
        names = dict.fromkeys(attack.name for attack in item.attacks)
        told = ", ".join("the audit's own attacks" if name == AUDIT else name for name in names)
        lines.append(
            f"| {cell(str(item.threat.model))} | {item.data.split} | {item.samples} | {percent(item.clean_accuracy)} "
            f"{ends(item.clean_interval)} | {percent(item.robust_accuracy)} {ends(item.interval)} | {told} |"
        )
    lines += ["", "A figure holds for its own ranges alone. Figures of different threats cannot be compared."]
    lines += [
        f"- {text(str(item.threat.model))}, `{flag.id}`: {text(flag.message)} ({flag.page})"
        for item in changed
        for flag in item.flags
    ]
    return lines
