"""What a gate said, as CI systems read it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

from hardener.config.files import write_text
from hardener.config.run_folder import now
from hardener.reports._markdown import cell
from hardener.reports.gate import Judgement

_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(judgement: Judgement, path: Path) -> None:
    """Write one test case a condition, as JUnit XML, which every CI system reads."""
    counts = {
        "tests": str(len(judgement.outcomes)),
        "failures": str(len(judgement.failed)),
        "errors": "0",
        "skipped": "0",
    }
    root = ElementTree.Element("testsuites", {"name": "hardener gate", **counts})
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {"name": _xml(f"hardener gate {judgement.run}"), "timestamp": now()[:19], "time": "0", **counts},
    )
    for outcome in judgement.outcomes:
        condition = outcome.condition
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {"classname": _xml(judgement.run), "name": _xml(f"{condition.kind} {condition.text}"), "time": "0"},
        )
        if outcome.passed:
            ElementTree.SubElement(case, "system-out").text = _xml(outcome.line)
        else:
            message = f"{outcome.found}; needed: {outcome.needed}"
            failure = ElementTree.SubElement(case, "failure", {"type": condition.kind, "message": _xml(message)})
            failure.text = _xml(outcome.line)
    ElementTree.indent(root)
    write_text(path, '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n")


def _xml(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)


def write_summary(judgement: Judgement, path: Path) -> None:
    """Write GitHub-flavoured Markdown; where `path` is the job's summary ($GITHUB_STEP_SUMMARY), add to it."""
    failed = len(judgement.failed)
    title = f"{failed} of {len(judgement.outcomes)} conditions failed" if failed else "all conditions hold"
    lines = [
        f"### hardener gate: {title}",
        "",
        f"Run `{judgement.run}`",
        "",
        "| | condition | found | needed |",
        "| --- | --- | --- | --- |",
    ]
    for outcome in judgement.outcomes:
        condition, why = outcome.condition, f"<br>{cell(outcome.why)}" if outcome.why else ""
        lines.append(
            f"| {'holds' if outcome.passed else '**failed**'} | `{condition.kind} {cell(condition.text)}` "
            f"| {cell(f'{condition.aspect}: {outcome.found}')}{why} | {cell(outcome.needed)} |"
        )
    lines += ["", *(f"> **Note** {cell(note)}" for note in judgement.notes)]
    text = "\n".join(lines).rstrip() + "\n"
    job = os.environ.get("GITHUB_STEP_SUMMARY")
    if job and Path(job).resolve() == path.resolve():
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    else:
        write_text(path, text)
