"""Option types that several commands share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hardener.errors import HardenerError

if TYPE_CHECKING:
    from hardener.config.reading import Reading
    from hardener.config.schema import Recipe

DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of every random choice.")]
Runs = Annotated[Path, typer.Option("--out", help="The folder that runs lie in.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad-images", help="Leave out images that cannot be read.")]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Unpickle --init where it asks for it. Then it may run any code.")
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Which weights of --init, where it holds several: plain, ema or a name in the file. (default: plain)",
    ),
]
EntryOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The name in the model file that builds the network. (default: it is looked for)"
    ),
]
ModelArgs = Annotated[
    list[str] | None,
    typer.Option("--model-arg", metavar="KEY=VALUE", help="What else the network is built with; repeatable."),
]
Root = Annotated[
    Path | None,
    typer.Option("--root", metavar="DIR", help="Where imports of the model file begin. (default: its repository)"),
]
MODEL_HELP = (
    "A Python file, a package's folder, MODULE:NAME, torchvision:NAME, timm:NAME, hf:ORG/NAME or a HuggingFace folder."
)
Ignore = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Files and folders of the data to pass over; repeatable."),
]
ClassDepth = Annotated[
    str | None,
    typer.Option(
        metavar="N|leaf", help="How many folders below the data, or below a split, the classes lie. (default: 1)"
    ),
]
Dedupe = Annotated[
    bool,
    typer.Option("--dedupe", help="Leave out images of train, or nearly so, where a model is judged."),
]
LabelFrom = Annotated[
    str | None,
    typer.Option(
        metavar="PATTERN",
        help="How names of files tell the class: '{label}.{#}.jpg' for cat.0.jpg; or a regular expression with "
        "(?P<label>…).",
    ),
]
PathColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of a table: the paths of images. (default: guessed, and said)")
]
LabelColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of a table: their classes. (default: guessed, and said)")
]
SplitColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of a table: train, val or test. (default: guessed, and said)")
]
ImagesRoot = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The folder that paths in a table count from. (default: the table's own)"),
]
RUNS = Path("runs")
_CALL = re.compile(r"[A-Za-z_][\w.]*\(.*\)", re.DOTALL)


def asked_arguments(given: Sequence[str] | None) -> dict[str, Any]:
    """Read `--model-arg KEY=VALUE`; values are as in YAML, but for a call such as `Params("b0", depth=2)`, a text.

    Raises:
        HardenerError: no `=`, no name, or a value that cannot be read.
    """
    import yaml

    found: dict[str, Any] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip().removeprefix("self.").isidentifier():
            raise HardenerError(f"--model-arg takes KEY=VALUE, such as width=64; got {text!r}.")
        try:
            found[key.strip()] = value.strip() if _CALL.fullmatch(value.strip()) else yaml.safe_load(value)
        except yaml.YAMLError:
            raise HardenerError(
                f"--model-arg {key}: {value!r} cannot be read. Write a number, a word or a list such as [2, 2, 2, 2]."
            ) from None
    return found


def asked_ranges(given: Sequence[str] | None) -> dict[str, str]:
    """Read `--set NAME=VALUE` of a threat; what the values mean is the threat's.

    Raises:
        HardenerError: no `=`, or a name twice.
    """
    found: dict[str, str] = {}
    for text in given or ():
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key or not value:
            raise HardenerError(f"--set takes KEY=VALUE, such as rotation=-15,15; got {text!r}.")
        if key in found:
            raise HardenerError(f"--set {key} is given twice.")
        found[key] = value
    return found


def asked_recipe(name: str, shortcuts: Mapping[str, object], sets: Sequence[str] | None) -> Recipe:
    """Return a recipe with the fields that flags of their own changed, None for none, and then those of `--set`.

    Raises:
        HardenerError: as `new_recipe` does.
    """
    from hardener.config.recipe import new_recipe

    return new_recipe(name, sets or [], shortcuts)


def asked_reading(
    ignore: list[str] | None,
    class_depth: str | None,
    label_from: str | None = None,
    columns: tuple[str | None, str | None, str | None] = (None, None, None),
    images_root: Path | None = None,
    *,
    dedupe: bool = False,
) -> Reading | None:
    """Return how data is to be read; None where no option says so.

    Args:
        columns: of a table: paths, labels, splits.
    Raises:
        HardenerError: a depth that is none, or no such folder of images.
    """
    from hardener.config.reading import Reading

    depth: int | Literal["leaf"] | None = None
    if class_depth == "leaf":
        depth = "leaf"
    elif class_depth is not None:
        if not class_depth.isdecimal() or not int(class_depth):
            raise HardenerError(f"--class-depth takes a number from 1 on, or leaf; got {class_depth}.")
        depth = int(class_depth)
    if images_root is not None and not images_root.is_dir():
        raise HardenerError(f"--images-root takes a folder; there is none at {images_root}.")
    path, label, split = columns
    reading = Reading(
        ignore=tuple(ignore or ()),
        class_depth=depth,
        dedupe=dedupe,
        label_from=label_from,
        path_column=path,
        label_column=label,
        split_column=split,
        images_root=None if images_root is None else str(images_root.resolve()),
    )
    return None if reading == Reading() else reading
