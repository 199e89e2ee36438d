"""The command line, put together."""

from __future__ import annotations

import enum
import io
import os
import sys
from collections.abc import Callable
from itertools import islice
from typing import Annotated

import typer

from hardener import __version__
from hardener.cli.ablate import ablate
from hardener.cli.bundle import bundle
from hardener.cli.compare import compare
from hardener.cli.console import silence_libraries
from hardener.cli.convert import convert
from hardener.cli.doctor import doctor
from hardener.cli.dossier import dossier
from hardener.cli.eval import evaluate
from hardener.cli.examples import examples_of
from hardener.cli.export import export
from hardener.cli.gate import gate
from hardener.cli.inspect import inspect
from hardener.cli.lists import attacks, recipes
from hardener.cli.predict import predict
from hardener.cli.quickstart import quickstart
from hardener.cli.retyped import Command
from hardener.cli.serve import serve
from hardener.cli.train import train
from hardener.words import one_line, plain


class LogFormat(enum.StrEnum):
    """How what is said on stderr is written."""

    TEXT = "text"
    JSON = "json"


app = typer.Typer(
    name="hardener",
    help="Train an image classifier to be robust, say with evidence how robust it is, export it and serve it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS: dict[str, Callable[..., None]] = {
    "quickstart": quickstart,
    "inspect": inspect,
    "convert": convert,
    "train": train,
    "eval": evaluate,
    "ablate": ablate,
    "compare": compare,
    "gate": gate,
    "dossier": dossier,
    "export": export,
    "bundle": bundle,
    "serve": serve,
    "predict": predict,
    "recipes": recipes,
    "attacks": attacks,
    "doctor": doctor,
}
for name, command in COMMANDS.items():
    app.command(name, epilog=examples_of(name), cls=Command)(command)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"hardener {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only results, warnings and errors.")] = False,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="Of what is said on stderr: text, or a JSON object a line.")
    ] = LogFormat.TEXT,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Train an image classifier to be robust, say with evidence how robust it is, export it and serve it.

    The options below may stand anywhere in a command.
    """
    if quiet:
        os.environ["HARDENER_QUIET"] = "1"
    if debug:
        os.environ["HARDENER_DEBUG"] = "1"
    if log_format is not LogFormat.TEXT:
        os.environ["HARDENER_LOG_FORMAT"] = log_format.value


def run() -> None:
    """Start the command line; options of all commands are taken from wherever they stand."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that is not UTF-8 is shown, and ends nothing
    sys.argv = [sys.argv[0], *_options_first(sys.argv[1:])]
    _refuse_odd(sys.argv[1:])
    silence_libraries()
    app()


def _refuse_odd(words: list[str]) -> None:
    """Refuse what no record can hold, since records are JSON."""
    for word in words:
        if plain(word) != word:
            told = "is not UTF-8, and records hold UTF-8 alone. Rename it, or make a link to it: ln -s"
            print(f"error: {one_line(plain(word))} {told}", file=sys.stderr)
            sys.exit(2)


def _options_first(words: list[str]) -> list[str]:
    """Bring the options that every command has to the front, where the parser wants them."""
    first: list[str] = []
    rest: list[str] = []
    waiting = iter(words)
    for word in waiting:
        if word == "--":
            rest += [word, *waiting]
        elif word in {"--quiet", "--debug"} or word.startswith("--log-format="):
            first.append(word)
        elif word == "--log-format":
            first += [word, *islice(waiting, 1)]
        else:
            rest.append(word)
    return first + rest
