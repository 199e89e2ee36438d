"""`hardener recipes` and `hardener attacks`: what there is to choose from."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from hardener.cli.console import door, out


@door
def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this recipe whole.", show_default=False)
    ] = None,
) -> None:
    """List the recipes, or show one with all its defaults."""
    import yaml

    from hardener.config.recipe import load_recipe, recipe_files, recipe_header

    files = recipe_files()
    if name is None:
        table = Table(box=None, show_header=False)
        for known, path in files.items():
            table.add_row(f"[bold]{known}[/]", recipe_header(path).splitlines()[0])
        out.print(table)
        return
    recipe = load_recipe(name)
    if name in files:
        out.print(recipe_header(files[name]) + "\n", markup=False)
    out.print(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).rstrip(), markup=False, soft_wrap=True)


@door
def attacks(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this attack's settings.", show_default=False)
    ] = None,
) -> None:
    """List the attacks, or say what one does and takes."""
    import inspect

    from hardener.attacks import ATTACKS
    from hardener.attacks.searches import SEARCHES
    from hardener.threat import THREATS

    if name is None:
        table = Table(box=None, show_header=False)
        for known, entry in {**ATTACKS, **SEARCHES}.items():
            table.add_row(f"[bold]{known}[/]", entry.line)
        out.print(table)
        out.print(f"\n{', '.join(SEARCHES)} search the ranges of a threat without a norm: eval --threat NAME.")
        for kind, threat in THREATS.items():
            out.print(f"  [bold]{kind}[/]: {threat.line}")
        return
    from hardener.catalog import resolve

    out.print(inspect.getdoc(resolve({**ATTACKS, **SEARCHES}, name, "attack")) or "", markup=False)
