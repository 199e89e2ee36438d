"""The command line, put together."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from hardener import __version__
from hardener.cli.ablate import ablate
from hardener.cli.bundle import bundle
from hardener.cli.compare import compare
from hardener.cli.eval import evaluate
from hardener.cli.export import export
from hardener.cli.gate import gate
from hardener.cli.lists import attacks, recipes
from hardener.cli.predict import predict
from hardener.cli.serve import serve
from hardener.cli.train import train

app = typer.Typer(
    name="hardener",
    help="Train an image classifier to be robust, say with evidence how robust it is, export it and serve it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train)
app.command("eval")(evaluate)
app.command("ablate")(ablate)
app.command("compare")(compare)
app.command("gate")(gate)
app.command("export")(export)
app.command("bundle")(bundle)
app.command("serve")(serve)
app.command("predict")(predict)
app.command("recipes")(recipes)
app.command("attacks")(attacks)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"hardener {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Train an image classifier to be robust, say with evidence how robust it is, export it and serve it."""


def run() -> None:
    """Start the command line; `--debug` is taken from wherever it stands."""
    if "--debug" in sys.argv[1:]:
        sys.argv = [sys.argv[0], *(word for word in sys.argv[1:] if word != "--debug")]
        os.environ["HARDENER_DEBUG"] = "1"
    app()
