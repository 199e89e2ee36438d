"""Option types that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]
Runs = Annotated[Path, typer.Option("--out", help="The folder that runs lie in.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad-images", help="Leave out images that cannot be read.")]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Unpickle --init. It runs any code that the file carries.")
]
Entry = Annotated[str | None, typer.Option(help="The name in the model file that builds the network.")]
RUNS = Path("runs")
