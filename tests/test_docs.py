"""What the documents tell a user to type exists, and what they link to is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hardener.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def commands() -> Iterator[tuple[str, str]]:
    for path in [*PAGES, *ROOT.glob("recipes/*.yaml")]:
        text = path.read_text(encoding="utf-8")
        for found in re.findall(r"^(?:#\s+Command:|\s{4,}|\$)\s*(hardener .*)$|`(hardener [^`]*)`", text, re.MULTILINE):
            command = re.sub(r"\s+(#|->|&&|\|).*", "", "".join(found))
            yield path.name, command


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_every_command_in_the_documents_is_one_that_hardener_takes(page: str, command: str) -> None:
    found = CliRunner().invoke(app, [*shlex.split(command)[1:], "--help"])  # an unknown word or option comes first
    assert found.exit_code == 0, f"{page}: {command}\n{found.output}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_the_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target.partition("#")[0]).exists(), target
