"""`hardener inspect`."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardener.cli.console import door, note, out, reporter, stoppable
from hardener.cli.options import (
    MODEL_HELP,
    AllowPickle,
    ClassDepth,
    DeviceOption,
    EntryOption,
    Ignore,
    ImagesRoot,
    LabelColumn,
    LabelFrom,
    ModelArgs,
    PathColumn,
    Root,
    Seed,
    SplitColumn,
    Weights,
    asked_arguments,
    asked_reading,
    asked_recipe,
)
from hardener.config.model_spec import HUB, is_hugging_face
from hardener.errors import HardenerError

if TYPE_CHECKING:
    from hardener.training.inspect_data import InspectionRequest
    from hardener.training.inspect_model import InspectRequest

_RECIPE = "sprout"
_OF_DATA = {"recipe", "val", "test", "range_", "set_", "seed", "html"}
_OF_MODEL = {"data", "init", "weights", "entry", "model_arg", "root", "classes", "device", "allow_pickle"}


@door
@stoppable
def inspect(
    context: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR|MODEL",
            help=f"What `train --data` takes, of the hub hf:datasets/NAME. Or a network: {MODEL_HELP}",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="What `train` would be given; its data and augment sections count.")
    ] = _RECIPE,
    val: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What --data may be, to use as the validation split.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What --data may be, to use as the test split.")
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
    label_from: LabelFrom = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    images_root: ImagesRoot = None,
    seed: Seed = 0,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write what was found; - for stdout, and no tables.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with pictures of each class.")] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Images that a MODEL is for: they tell classes, size and time.")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="A MODEL's weights: a checkpoint, a folder of one, or a run.")
    ] = None,
    weights: Weights = None,
    entry: EntryOption = None,
    model_arg: ModelArgs = None,
    root: Root = None,
    classes: Annotated[
        int | None, typer.Option(min=2, help="How many a MODEL is built for, where no data tells. (default: 10)")
    ] = None,
    device: DeviceOption = "auto",
    allow_pickle: AllowPickle = False,
) -> None:
    """Look before training: at a data set and what of it the model would get, or at a network and how it will do."""
    shortcuts = {"data.image_size": image_size, "data.range": range_}
    of_model = _OF_MODEL
    if target is None:  # the data are named as `train` takes them
        if data is None:
            raise HardenerError("Name what to look at: hardener inspect DIR, or hardener inspect MODEL.")
        target, of_model = str(data), _OF_MODEL - {"data"}
    is_model = _is_model(target)
    _no_strays(context, target, _OF_DATA if is_model else of_model, is_model=is_model)
    columns = (path_column, label_column, split_column)
    reading = asked_reading(ignore, class_depth, label_from, columns, images_root)
    if is_model:
        from hardener.config.quantity import parse_image_size
        from hardener.config.reading import AS_FOUND
        from hardener.models.load import ModelChoice
        from hardener.training.inspect_model import InspectRequest

        choice = ModelChoice(target, entry, asked_arguments(model_arg), root, pretrained=False)
        size = None if image_size is None else parse_image_size(image_size)
        request = InspectRequest(choice, data, init, size, classes, device, allow_pickle, weights, reading or AS_FOUND)
        _inspect_model(request, json_file)
        return
    asked = asked_recipe(recipe, shortcuts, set_)
    note(f"inspecting {target} …")
    from hardener.training.inspect_data import InspectionRequest

    options = _options(recipe, image_size, range_, set_)
    _inspect(InspectionRequest(Path(target), asked, reading, val, test, seed, options), json_file, html)


def _options(recipe: str, image_size: str | None, range_: str | None, sets: Sequence[str] | None) -> list[str]:
    """Return the options that say what a model would get, for the commands that follow."""
    named = {"--recipe": None if recipe == _RECIPE else recipe, "--image-size": image_size, "--range": range_}
    words = [word for option, value in named.items() if value is not None for word in (option, value)]
    return words + [word for text in sets or () for word in ("--set", text)]


def _is_model(target: str) -> bool:
    path = Path(target)
    if is_hugging_face(target):
        return not target.startswith("hf:datasets/")
    return target.endswith(".py") or (":" in target and not path.exists()) or (path / "__init__.py").is_file()


def _no_strays(context: typer.Context, target: str, keys: Collection[str], *, is_model: bool) -> None:
    for key in keys:
        source = context.get_parameter_source(key)
        if source is not None and source.name == "COMMANDLINE":
            option = "--" + key.strip("_").replace("_", "-")
            kind, other = ("model", "a data set") if is_model else ("data set", "a model")
            raise HardenerError(f"{option} is for {other}, and {target} is a {kind}.")


def _inspect_model(request: InspectRequest, json_file: str | None) -> None:
    note(f"inspecting {request.choice.spec} …")
    from hardener.cli.inspect_model_table import show_model
    from hardener.config.files import write_text
    from hardener.training.inspect_model import inspect_model

    try:
        found = inspect_model(request, reporter())
    except HardenerError as error:
        name = request.choice.spec.removeprefix(HUB)
        if name == request.choice.spec:
            raise
        raise HardenerError(f"{error} If {name} is a data set, run `hardener inspect {HUB}datasets/{name}`.") from error
    text = found.model_dump_json(by_alias=True, indent=2)
    if json_file == "-":
        typer.echo(text)
        return
    show_model(found)
    if json_file is not None:
        write_text(Path(json_file), text + "\n")
        note(f"written: {json_file}")


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
        page = shlex.quote(f"{request.data.name or 'data'}.html")
        out.print(f"pictures: hardener inspect {request.place} --html {page}", markup=False, soft_wrap=True)
