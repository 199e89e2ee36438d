"""What is another than in the last dossier, and when a model must be tested again."""

from __future__ import annotations

from hardener.config.dossier_record import Change, Dossier, Evidence
from hardener.words import ends, percent


def changes_since(last: Dossier, now: Dossier) -> list[Change]:
    """Return what differs, in the order of the dossier; empty where nothing does."""
    pairs: list[tuple[str, str | None, str | None]] = [("run", last.identity.run, now.identity.run)]
    before, after = ({f.file: f.sha256[:16] for f in item.identity.files} for item in (last, now))
    pairs += [(f"file {name}", before.get(name), after.get(name)) for name in dict.fromkeys([*before, *after])]
    for what, old, new in (
        ("training images", last.identity.fingerprints.get("train"), now.identity.fingerprints.get("train")),
        ("hardener", last.hardener_version, now.hardener_version),
        ("purpose", _purpose(last), _purpose(now)),
        ("images of the evaluation", _images(last), _images(now)),
        ("attacks", _attacks(last), _attacks(now)),
    ):
        pairs.append((what, old, new))
    asked, wanted = ({row.about: row.requirement for row in item.requirements} for item in (last, now))
    pairs += [(f"asked: {about}", asked.get(about), wanted.get(about)) for about in dict.fromkeys([*asked, *wanted])]
    rows, newer = ({row.about: row for row in (*item.evidence, *item.requirements)} for item in (last, now))
    pairs += [(about, _told(rows.get(about)), _told(newer.get(about))) for about in dict.fromkeys([*rows, *newer])]
    flags = [", ".join(f.id for item in d.evaluations for f in item.flags) or "none" for d in (last, now)]
    pairs.append(("flags", flags[0], flags[1]))
    return [Change(what=what, before=old, now=new) for what, old, new in pairs if old != new]


def _told(row: Evidence | None) -> str | None:
    if row is None:
        return None
    if row.value is None or row.interval is None:
        return row.state
    judged = f"{row.state}, " if row.requirement else ""
    return f"{judged}{percent(row.value)} {ends(row.interval)}, n = {row.samples}"


def _purpose(dossier: Dossier) -> str | None:
    found = dossier.purpose
    return None if found is None else "; ".join(f"{key}: {value}" for key, value in found if value)


def _images(dossier: Dossier) -> str | None:
    lead = dossier.evaluations[0] if dossier.evaluations else None
    if lead is None:
        return None
    of = f" of {lead.data.root}" if lead.data.own is False else ""
    return f"{lead.samples} of the {lead.data.split} split{of}, {lead.data.fingerprint[:16]}"


def _attacks(dossier: Dossier) -> str | None:
    lead = dossier.evaluations[0] if dossier.evaluations else None
    return None if lead is None else ", ".join(dict.fromkeys(attack.name for attack in lead.attacks))


def when_to_test_again(dossier: Dossier) -> list[str]:
    """Return what makes the figures out of date, most of it of any model, some of this one."""
    weights = next((f" {f.sha256[:16]}…" for f in dossier.identity.files if f.file.startswith("model.")), "")
    said = []
    if dossier.purpose is not None and dossier.purpose.review_by is not None:
        said.append(f"By {dossier.purpose.review_by.isoformat()}, the day that the owner set.")
    said += [
        f"When a file of the section Identity is another: the weights{weights}, an exported file, the code.",
        "When the images of the operation become unlike those evaluated: another camera, place, season or class. The "
        "service's report compares an image with the training images.",
        "When the purpose, the operating conditions or the threat model is another.",
        "When attacks get stronger: a figure under attack is an upper bound, and a later version may lower it.",
        "When the file is run elsewhere or quantised anew: rounding changes answers near a border.",
    ]
    missing = sum(row.state == "not measured" for row in (*dossier.requirements, *dossier.evidence))
    if missing:
        said.append(
            f"Now, for what was not measured: {missing} row{'s' if missing > 1 else ''} below hold the command."
        )
    flags = sorted({flag.id for item in dossier.evaluations for flag in item.flags})
    if flags:
        said.append(f"Now, for the flags: {', '.join(flags)}. Each says what to do.")
    if dossier.identity.status != "finished":
        said.append(f"When the training ends: the run is {dossier.identity.status}, and its weights may still change.")
    return said
