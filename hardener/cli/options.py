"""Option types that several commands share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hardener.config.schema import Recipe

DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]
Runs = Annotated[Path, typer.Option("--out", help="The folder that runs lie in.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad-images", help="Leave out images that cannot be read.")]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Unpickle --init. It runs any code that the file carries.")
]
EntryOption = Annotated[str | None, typer.Option(help="The name in the model file that builds the network.")]
RUNS = Path("runs")


def asked_recipe(name: str, shortcuts: Mapping[str, object], sets: Sequence[str] | None) -> Recipe:
    """Return a recipe with the fields that flags of their own changed, None for none, and then those of `--set`."""
    from hardener.config.recipe import load_recipe

    overrides = [f"{key}={value}" for key, value in shortcuts.items() if value is not None]
    return load_recipe(name, [*overrides, *(sets or [])])
