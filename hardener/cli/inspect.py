"""`hardener inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardener.cli.console import door, note, out, reporter, stoppable
from hardener.cli.options import ClassDepth, Ignore, Seed, asked_reading, asked_recipe
from hardener.errors import HardenerError

if TYPE_CHECKING:
    from hardener.training.inspect_data import InspectionRequest


@door
@stoppable
def inspect(
    target: Annotated[str, typer.Argument(metavar="DIR", help="Images, as `train --data` takes them.")],
    recipe: Annotated[str, typer.Option(help="What `train` would be given; its data and augment sections count.")] = (
        "sprout"
    ),
    val: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Class folders to use as the validation split.")
    ] = None,
    image_size: Annotated[str | None, typer.Option(help="224 or HEIGHTxWIDTH.")] = None,
    range_: Annotated[
        str | None,
        typer.Option("--range", metavar="LO,HI", help="Levels of 16 bit or float images that become 0 and 255."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change any field of the recipe; repeatable."),
    ] = None,
    ignore: Ignore = None,
    class_depth: ClassDepth = None,
    seed: Seed = 0,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write what was found; - for stdout, and no tables.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with pictures of each class.")] = None,
) -> None:
    """Look at a data set before training: counts, sizes, leaks, doubles, bad files, and what the model would get."""
    shortcuts = {"data.image_size": image_size, "data.range": range_}
    _check_data(target)
    asked = asked_recipe(recipe, shortcuts, set_)
    note(f"inspecting {target} …")
    from hardener.training.inspect_data import InspectionRequest

    request = InspectionRequest(Path(target), asked, asked_reading(ignore, class_depth), val, seed)
    _inspect(request, json_file, html)


def _check_data(target: str) -> None:
    path = Path(target)
    if target.endswith(".py") or (":" in target and not path.exists()) or (path / "__init__.py").is_file():
        raise HardenerError(f"{target} is a model. Name its data: hardener inspect DIR")


def _inspect(request: InspectionRequest, json_file: str | None, html: Path | None) -> None:
    from hardener.cli.inspect_table import show
    from hardener.config.files import write_text
    from hardener.training.inspect_data import inspect_data

    found, pictures = inspect_data(request, reporter())
    text = found.model_dump_json(by_alias=True, indent=2)
    if json_file == "-":
        typer.echo(text)
    else:
        show(found)
    if json_file not in {None, "-"}:
        write_text(Path(str(json_file)), text + "\n")
        note(f"written: {json_file}")
    if html is not None:
        from hardener.reports.inspection_page import Shown, write_inspection

        write_inspection(found, Shown(pictures.classes, pictures.alike, pictures.odd), html)
        note(f"written: {html}")
    elif json_file is None:
        out.print(f"pictures: hardener inspect {request.data} --html {request.data.name or 'data'}.html", markup=False)
