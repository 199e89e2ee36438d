"""`hardener bundle`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hardener.cli.console import door, literal, note, out, reporter
from hardener.cli.options import RUNS, Runs


@door
def bundle(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|BUNDLE]", help="A run, or a bundle folder. (default: the newest run)", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.bento", help="Export the Bento to a file as well.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Check a bundle and build a Bento from it: the service and the bundle, served by BentoML without torch.

    It lands in BentoML's store, which BENTOML_HOME moves. Needs no network.
    """
    from hardener.config.found_bundle import find_bundle
    from hardener.exporters.bento import build_bento

    folder = find_bundle(target, runs, reporter().warn)
    note(f"building a Bento from {folder} …")
    made = build_bento(folder, output=output)
    out.print(f"[bold]{made.tag}[/], built from {literal(made.source)}", soft_wrap=True)
    if made.file is not None:
        out.print(
            f"[bold]{literal(made.file)}[/], {made.file.stat().st_size / 1e6:.1f} MB; elsewhere: "
            f"bentoml import {literal(made.file.resolve())}",  # BentoML takes a relative path for one below /
            soft_wrap=True,
        )
    requirements = made.source / "requirements.txt"
    out.print(f"next: pip install -r {requirements}    in an environment of its own; no torch", soft_wrap=True)
    out.print(f"      bentoml serve {made.tag}", soft_wrap=True)
    out.print(f"      bentoml containerize {made.tag}    needs Docker", soft_wrap=True)
