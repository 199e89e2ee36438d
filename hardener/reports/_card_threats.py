"""The model card's section on threat models that no norm describes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardener.config.data_findings import SEEN
from hardener.config.evaluation_record import Evaluation
from hardener.reports._markdown import cell, text
from hardener.reports.command import AUDIT
from hardener.reports.own_images import under
from hardener.threat import ChangeThreat
from hardener.words import ends, percent


def lowest_changed(evaluations: Sequence[Evaluation], fingerprint: str, names: Mapping[str, str]) -> list[Evaluation]:
    """Return, for each threat without a norm, split and data, these weights' evaluation of the lowest robust accuracy.

    One of images that the run has not seen comes before all of images that it has; the run's own images come first.

    Args:
        names: of other data than the run's own, by when it was evaluated.
    """
    chosen: dict[tuple[str, ChangeThreat, str], Evaluation] = {}
    for item in sorted(evaluations, key=lambda item: (any(f.id == SEEN for f in item.flags), item.robust_accuracy)):
        threat = item.threat.model
        if isinstance(threat, ChangeThreat) and item.model.fingerprint == fingerprint:
            chosen.setdefault((names.get(item.created_at, ""), threat, item.data.split), item)
    return [chosen[key] for key in sorted(chosen, key=lambda key: (key[0], key[1].rank, key[1].settings, key[2]))]


def changed_table(changed: Sequence[Evaluation], names: Mapping[str, str]) -> list[str]:
    """Return the section; nothing where there is no such evaluation."""
    if not changed:
        return []
    lines = ["## Under changes that no norm describes", ""]
    for item in changed:
        threat = item.threat.model
        reach = threat.reach if isinstance(threat, ChangeThreat) else ""
        lines += [f"**{text(under(item, names))}: {item.verdict}.** {text(reach)} {text(item.reason)}", ""]
    lines += [
        "| threat | split | images | clean accuracy | robust accuracy, worst case | attacks |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for item in changed:
        attacks = dict.fromkeys(attack.name for attack in item.attacks)
        told = ", ".join("the audit's own attacks" if name == AUDIT else name for name in attacks)
        lines.append(
            f"| {cell(under(item, names))} | {item.data.split} | {item.samples} | {percent(item.clean_accuracy)} "
            f"{ends(item.clean_interval)} | {percent(item.robust_accuracy)} {ends(item.interval)} | {told} |"
        )
    lines += ["", "A figure holds for its own ranges alone. Figures of different threats cannot be compared."]
    lines += [
        f"- {text(under(item, names))}, `{flag.id}`: {text(flag.message)} ({flag.page})"
        for item in changed
        for flag in item.flags
    ]
    return lines
