"""`hardener dossier`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardener.cli.console import door, literal, out, percent

if TYPE_CHECKING:
    from hardener.config.dossier_record import Dossier, Evidence

_STYLES = {"met": "green", "not met": "bold red", "not measured": "yellow", "measured": "dim"}
_RUNS = Path("runs")
PASSWORD = "HARDENER_SIGN_PASSWORD"  # noqa: S105 - the name of a variable


@door
def dossier(
    target: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run. (default: the newest)", show_default=False)
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="RUN", help="A baseline, or the run before: its figures stand beside.")
    ] = None,
    file: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The page, .html; its JSON is written beside it.")
    ] = Path("dossier.html"),
    purpose: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the model is for, by its owner. (default: RUN/purpose.yaml)"),
    ] = None,
    requirements: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What it must reach, as gate takes it. (default: RUN/requirements.yaml)"),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The JSON of the last dossier. (default: the one that --out replaces)"),
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            metavar="KEY", help=f"Sign both files with minisign's secret key. ${PASSWORD} holds its password, if any."
        ),
    ] = None,
) -> None:
    """Write one file about a run for whoever must sign: what is asked, what was measured, and what was not.

    Nothing is measured here. A figure that is missing stands there as not
    measured, with the command that measures it. The exit code is 0 also where
    a requirement is not met: `hardener gate` judges.
    """
    from hardener.config.run_folder import find_run
    from hardener.reports.dossier.make import ask, make_dossier
    from hardener.reports.dossier.written import check_page, write_dossier

    check_page(file)
    run = find_run(target, _RUNS)
    beside = None if against is None else find_run(against, _RUNS)
    wanted = ask(run, file, purpose=purpose, requirements=requirements, against=beside, since=since)
    key = None
    if sign is not None:
        from hardener.reports.dossier.signature import read_key

        key = read_key(sign, _password)
    made = make_dossier(run, wanted)
    written = write_dossier(made, file, key)
    show(made)
    out.print(f"written: {', '.join(map(str, written))}", markup=False, soft_wrap=True)


def _password() -> str:
    given = os.environ.get(PASSWORD)
    return given if given is not None else str(typer.prompt("password of the key", hide_input=True, err=True))


def show(made: Dossier) -> None:
    """Print a line for each requirement and figure, and what is missing with the command that measures it."""
    rows = [*made.requirements, *made.evidence]
    for row in rows:
        out.print(f"[{_STYLES[row.state]}]{row.state:<12}[/] {literal(_line(row))}", soft_wrap=True)
    lacking = dict.fromkeys(row.command for row in rows if row.state == "not measured" and row.command)
    if lacking:
        out.print("[yellow]to measure what is missing:[/]")
        for command in lacking:
            out.print(f"  {command}", markup=False, soft_wrap=True)
    for item in made.evaluations:
        for flag in item.flags:
            out.print(f"[yellow]flag {flag.id}[/]: {literal(flag.message)} ({flag.page})", soft_wrap=True)
    if made.identity.weights_gone:
        out.print(f"[yellow]no weights:[/] {literal(made.identity.weights_gone)}", soft_wrap=True)
    if made.purpose is None:
        out.print(
            "[yellow]purpose not written:[/] the page holds a template; fill it in, and pass --purpose purpose.yaml",
            soft_wrap=True,
        )
    counts = {state: made.count(state) for state in ("met", "not met", "not measured")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    out.print(f"requirements: {told}" if made.requirements else "requirements: none were written", markup=False)


def _line(row: Evidence) -> str:
    asked = f", {row.requirement}" if row.requirement else ""
    if row.value is None or row.interval is None:
        return f"{row.about}{asked}"
    low, high = row.interval
    return (
        f"{row.about}{asked}: {percent(row.value)} (95 % interval {percent(low)} to {percent(high)}, n = {row.samples})"
    )
