"""Options that a message advises: those that the command which says so does not have."""

from __future__ import annotations

import functools
import re

import typer

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OF_OTHER_PROGRAMS = {
    "--repo-type",  # hf download
    "--local-dir",
    "--force-reinstall",  # pip
    "--nproc-per-node",  # torchrun
    "--output",  # bentoml build
    "--timeout-graceful-shutdown",
    "--working-dir",
}


@functools.cache
def commands() -> dict[str, set[str]]:
    """The options of each command; those of hardener itself stand under the empty name."""
    from hardener.cli.app import app

    group = typer.main.get_command(app)
    found = {"": {*_options(group), "--help"}}
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        found[name] = _options(command)
    return found


def _options(command: object) -> set[str]:
    return {o for p in command.params for o in (*p.opts, *p.secondary_opts)}  # type: ignore[attr-defined]


def unknown_advice(text: str, command: str) -> list[str]:
    """Return what a message advises in vain.

    Args:
        text: where it says `hardener NAME … --option`, the option has to be one of NAME.
        command: the command that says it.
    """
    known, spoken = commands(), command
    found = []
    for word in re.finditer(rf"hardener (\w+)|[.:;] |{OPTION.pattern}", text):
        if word[1] in known:
            spoken = word[1]
        elif not word[0].startswith("--"):
            spoken = command if word[0] == ". " else spoken
        elif word[0] not in known[spoken] | known[""] | OF_OTHER_PROGRAMS:
            found.append(f"{word[0]} of {spoken}")
    return found
