"""`hardener ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardener.cli.console import door, note, out, reporter, stoppable
from hardener.cli.options import (
    MODEL_HELP,
    RUNS,
    ClassDepth,
    Dedupe,
    DeviceOption,
    EntryOption,
    Ignore,
    ImagesRoot,
    LabelColumn,
    LabelFrom,
    ModelArgs,
    PathColumn,
    Root,
    Runs,
    Seed,
    SkipBad,
    SplitColumn,
    asked_arguments,
    asked_reading,
    asked_recipe,
)
from hardener.errors import HardenerError
from hardener.threat import EPS_HELP, NORM_HELP
from hardener.words import percent

if TYPE_CHECKING:
    from rich.table import Table

    from hardener.config.ablation_record import Ablation, Change


@door
@stoppable
def ablate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Class folders, or train/ and val/ or test/ with class folders.")
    ],
    recipe: Annotated[
        str, typer.Option(help="A name that `hardener recipes` lists, or a YAML file, with all three modules on.")
    ] = "sprout",
    val: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What --data may be, to use as the validation split.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What --data may be, to use as the test split.")
    ] = None,
    entry: EntryOption = None,
    model_arg: ModelArgs = None,
    root: Root = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images. (default: the recipe's)")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step. (default: the recipe's)")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change any field of the recipe; repeatable."),
    ] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="A name that `hardener attacks` lists, instead of a suite; repeatable."),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="quick, standard (AutoAttack's) or full. (default: standard)")
    ] = None,
    norm: Annotated[str, typer.Option(help=NORM_HELP)] = "linf",
    eps: Annotated[str | None, typer.Option(help=EPS_HELP)] = None,
    samples: Annotated[int, typer.Option(min=1, help="Images, drawn by the seed; at most all there are.")] = 1000,
    device: DeviceOption = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            help="auto, float32 or bfloat16; attacks take gradients in float32 where it is not bfloat16. "
            "(default: the recipe's)"
        ),
    ] = None,
    seed: Seed = 0,
    runs: Runs = RUNS,
    name: Annotated[
        str | None,
        typer.Option(help="The ablation's name; goes on with it where it was stopped. (default: model, recipe, time)"),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result here as well.")
    ] = None,
    skip_bad_images: SkipBad = False,
    ignore: Ignore = None,
    class_depth: ClassDepth = None,
    label_from: LabelFrom = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    images_root: ImagesRoot = None,
    dedupe: Dedupe = False,
) -> None:
    """Switch SPROUT's three modules on and off: noise, mixup and learned labels, all eight combinations.

    Each is trained from the same seed and attacked alike. What is done is not
    done again: the same command with the same --name goes on.
    """
    from hardener.config.quantity import parse_quantity
    from hardener.config.reading import AS_FOUND

    if attack and suite is not None:
        raise HardenerError("choose --attack or --suite, not both.")
    radius = None if eps is None else parse_quantity(eps, "--eps")
    shortcuts = {"epochs": epochs, "batch_size": batch_size, "precision": precision}
    checked = asked_recipe(recipe, shortcuts, set_)
    note("starting …")
    from hardener.reports.command import compare_command
    from hardener.training.ablate import AblateRequest
    from hardener.training.ablate import ablate as work

    request = AblateRequest(
        model=model,
        data=data,
        recipe=checked,
        entry=entry,
        model_args=asked_arguments(model_arg),
        root=root,
        validation_root=val,
        test_root=test,
        skip_bad_images=skip_bad_images,
        reading=asked_reading(
            ignore, class_depth, label_from, (path_column, label_column, split_column), images_root, dedupe=dedupe
        )
        or AS_FOUND,
        seed=seed,
        suite=suite or "standard",
        attacks=tuple(attack or ()),
        norm=norm,
        eps=radius,
        samples=samples,
        precision="bfloat16" if precision == "bfloat16" else "float32",
        device=device,
        out=runs,
        name=name,
        json_file=json_file,
    )
    ablation, folder = work(request, reporter())
    show(ablation)
    out.print(f"written: {folder / 'ablation.json'} and {folder / 'ablation.png'}", markup=False, soft_wrap=True)
    ends = [folder / ablation.combinations[place].run for place in (0, -1)]
    out.print(f"next: {compare_command(ends)}", markup=False, soft_wrap=True)


def show(ablation: Ablation) -> None:
    """Print an ablation as two tables: the combinations, and the modules."""
    from rich.text import Text

    out.print(_combinations_table(ablation))
    out.print(_modules_table(ablation))
    out.print(
        Text(
            "A change is the mean over the four pairs that differ in that module alone, on the same images. Intervals "
            "are over images: another seed of training may give other figures. An attack that was not run may lower "
            "the worst case. An epoch's time is of its steps, at the median rate, as a multiple of natural's.",
            style="dim",
        ),
        soft_wrap=True,
    )
    flagged = [f"{done.name} ({', '.join(done.flags)})" for done in ablation.combinations if done.flags]
    if flagged:
        out.print(Text.assemble(("flags: ", "yellow"), "; ".join(flagged)), soft_wrap=True)


def _combinations_table(ablation: Ablation) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from hardener.config.ablation_record import MODULES, weakest_first
    from hardener.threat import ThreatModel

    asked = ablation.asked
    threat = ThreatModel(asked.threat.norm, asked.threat.eps)
    attacks = f"suite {asked.suite}" if asked.suite else ", ".join(asked.attacks)
    title = f"{asked.recipe['name']}: {ablation.samples} images of the {ablation.split} split, {threat}, {attacks}"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for module in MODULES:
        table.add_column(module, justify="center")
    for heading in ("clean", "worst case (95 %)", "training", "an epoch"):
        table.add_column(heading, justify="right")
    for done in weakest_first(ablation):
        low, high = done.interval
        table.add_row(
            *("●" if module in done.modules else "[dim]○[/]" for module in MODULES),
            percent(done.clean_accuracy),
            f"{percent(done.robust_accuracy)} ({100 * low:.1f} – {100 * high:.1f})",
            f"{done.seconds:.1f} s",
            "–" if done.cost is None else f"{done.cost:.2f} x",
        )
    return table


def _modules_table(ablation: Ablation) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("change, points")
    for heading in ("clean (95 %)", "worst case (95 %)"):
        table.add_column(heading, justify="right")
    for effect in ablation.effects:
        table.add_row(effect.module, _points(effect.clean), _points(effect.robust))
    return table


def _points(change: Change) -> str:
    shown = [f"{100 * value:+.1f}".replace("-", "−") for value in (change.difference, *change.interval)]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"
