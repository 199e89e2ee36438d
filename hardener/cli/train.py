"""`hardener train`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardener.cli.console import door, literal, note, out, reporter, stoppable
from hardener.cli.options import (
    MODEL_HELP,
    RUNS,
    AllowPickle,
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
    Weights,
    asked_arguments,
    asked_reading,
    asked_recipe,
)
from hardener.cli.retyped import retyped
from hardener.config.quantity import parse_duration
from hardener.errors import HardenerError
from hardener.progress import rank_and_world
from hardener.words import in_list, percent

if TYPE_CHECKING:
    from hardener.config.reading import OtherRoots
    from hardener.config.run_folder import RunFolder
    from hardener.training.request import TrainRequest

_WEAKEST = 5


@door
@stoppable
def train(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(metavar="MODEL", help=MODEL_HELP, show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder of classes, or of splits; an archive, a table, arrays or shards."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="A name that `hardener recipes` lists, or a YAML file.")] = "sprout",
    init: Annotated[
        Path | None,
        typer.Option(help="Start from these weights: a checkpoint of nearly any kind, a folder of one, or a run."),
    ] = None,
    weights: Weights = None,
    pretrained: Annotated[
        bool | None,
        typer.Option(
            help="Start from a registry model's published weights; or build a file without what its code fetches."
        ),
    ] = None,
    entry: EntryOption = None,
    model_arg: ModelArgs = None,
    root: Root = None,
    replace_head: Annotated[
        bool,
        typer.Option("--replace-head", help="Put a fresh final layer in where the number of classes differs."),
    ] = False,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Modules that do not learn, such as 'layer1*' or all-but-head; repeatable."
        ),
    ] = None,
    normalize: Annotated[str | None, typer.Option(help="data, none, imagenet or MEAN/STD. (default: data)")] = None,
    val: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What --data may be, to use as the validation split.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(metavar="DIR", help="What --data may be, to use as the test split.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images. (default: the recipe's)")] = None,
    image_size: Annotated[
        str | None,
        typer.Option(help="224 or HEIGHTxWIDTH. (default: the data's own where nearly all are alike, else 224)"),
    ] = None,
    range_: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LO,HI",
            help="Levels of 16 bit or float images that become 0 and 255.",
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step. (default: the recipe's)")] = None,
    device: DeviceOption = "auto",
    precision: Annotated[str | None, typer.Option(help="auto, float32 or bfloat16. (default: auto)")] = None,
    compile_: Annotated[
        str | None,
        typer.Option("--compile", metavar="auto|on|off", help="Compile the network. (default: the recipe's)"),
    ] = None,
    seed: Seed = 0,
    runs: Runs = RUNS,
    name: Annotated[str | None, typer.Option(help="The run's name. (default: model, recipe and time)")] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped.")] = None,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Try learning rates for up to 100 steps, and train nothing.")
    ] = False,
    time_limit: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="End with the epochs that fit: 2h, 90m or 45s. (default: all epochs)"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change any field of the recipe; repeatable."),
    ] = None,
    rehearsal: Annotated[
        bool,
        typer.Option(
            "--rehearsal/--no-rehearsal",
            envvar="HARDENER_REHEARSAL",
            help="See first, in a fresh interpreter, that the run will open, train and be exported.",
        ),
    ] = True,
    skip_bad_images: SkipBad = False,
    ignore: Ignore = None,
    class_depth: ClassDepth = None,
    label_from: LabelFrom = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    images_root: ImagesRoot = None,
    dedupe: Dedupe = False,
    allow_pickle: AllowPickle = False,
) -> None:
    """Train a classifier to be robust, from a model file and a folder of images."""
    from hardener.config.reading import AS_FOUND
    from hardener.training.request import TrainRequest

    seconds = None if time_limit is None else parse_duration(time_limit)
    if resume is not None:
        _only_resume(context)
        others: OtherRoots = {"validation_root": val, "test_root": test}
        finished = _go_on(resume, runs, device, data, others, images_root, seconds)
    else:
        if model is None or data is None:
            raise HardenerError(
                "name a model and its data: hardener train MODEL --data DIR. To go on with a run: hardener train "
                "--resume RUN"
            )
        shortcuts = {
            "epochs": epochs,
            "batch_size": batch_size,
            "precision": precision,
            "compile": compile_,
            "network.freeze": json.dumps(freeze) if freeze else None,  # quoted, since YAML reads a bare * as an alias
            "data.normalize": normalize,
            "data.image_size": image_size,
            "data.range": range_,
        }
        request = TrainRequest(
            model=model,
            data=data,
            recipe=asked_recipe(recipe, shortcuts, set_),
            entry=entry,
            model_args=asked_arguments(model_arg),
            root=root,
            init=init,
            weights=weights,
            pretrained=pretrained,
            replace_head=replace_head,
            allow_pickle=allow_pickle,
            validation_root=val,
            test_root=test,
            skip_bad_images=skip_bad_images,
            reading=asked_reading(
                ignore, class_depth, label_from, (path_column, label_column, split_column), images_root, dedupe=dedupe
            )
            or AS_FOUND,
            device=device,
            seed=seed,
            out=runs,
            name=name,
            rehearse=rehearsal,
            time_limit_s=seconds,
        )
        if find_lr:
            _find_rate(request)
            return
        finished = _begin(request)
    if rank_and_world()[0] == 0:
        _show(finished)


def _find_rate(request: TrainRequest) -> None:
    """Say at which learning rate the loss falls fastest, and how to train at it."""
    note("starting …")
    from hardener.training.find_lr import find_learning_rate

    found = find_learning_rate(request, reporter())
    for place in range(0, len(found.rates), 7):
        out.print(f"lr {found.rates[place]:8.2g}  loss {found.losses[place]:.3f}", markup=False)
    if found.suggested is None:
        raise HardenerError(
            f"the loss falls at no learning rate up to {found.rates[-1]:.2g}. Try more images a step, such as "
            f"--batch-size {2 * found.batch_size}, or see with hardener inspect whether the labels are right."
        )
    rate = float(f"{found.suggested:.2g}")
    out.print(f"the loss falls fastest at {rate:g}; the recipe has {found.own:g}", markup=False)
    out.print(f"next: {retyped(f'--set optimizer.lr={rate:g}', but='find_lr')}", markup=False, soft_wrap=True)


def _begin(request: TrainRequest) -> RunFolder:
    if rank_and_world()[0] == 0:
        note("starting …")  # what follows takes seconds to import
    from hardener.training.run import train

    return train(request, reporter())


def _go_on(
    name: str,
    runs: Path,
    device: str,
    data: Path | None,
    others: OtherRoots,
    images_root: Path | None,
    time_limit_s: float | None,
) -> RunFolder:
    from hardener.config.run_folder import find_run

    run = find_run(name, runs)
    from hardener.training.run import resume

    return resume(
        run, reporter(), device=device, data=data, images_root=images_root, time_limit_s=time_limit_s, **others
    )


def _show(run: RunFolder) -> None:
    """Print where a finished run lies, what it came to, and what comes next."""
    from hardener.config.kept_eps import told_eps
    from hardener.reports.command import fresh_command
    from hardener.threat import DEFAULT_THREAT

    record, recipe = run.read_record(), run.read_recipe()
    best = record.best
    assert best is not None, "a finished run has a best epoch"
    out.print(f"[bold]{literal(run.path)}[/]", soft_wrap=True)
    out.print(
        f"kept epoch {best.epoch} of {record.epochs_done}{told_eps(best, recipe)}: "
        f"validation clean {percent(best.clean_accuracy)}, "
        + ("" if best.balanced_accuracy is None else f"balanced {percent(best.balanced_accuracy)}, ")
        + f"quick robust {percent(best.robust_accuracy)}; {record.seconds:.0f} s, "
        f"{record.model.parameters:,} parameters",
        soft_wrap=True,
    )
    found = zip(record.classes, best.class_accuracies, strict=False)
    weakest = sorted(((share, name) for name, share in found if share is not None))[:_WEAKEST]
    if weakest:
        head = "clean by class" if len(record.classes) <= _WEAKEST else f"the {_WEAKEST} weakest classes, clean"
        shares = ", ".join(f"{in_list(name)} {percent(share)}" for share, name in weakest)
        out.print(f"{head}: {shares}", markup=False, soft_wrap=True)
    if run.train_page.is_file():
        out.print(f"page: {run.train_page}", markup=False, soft_wrap=True)
    chosen = recipe.validation.threat
    ball = {} if chosen == DEFAULT_THREAT else {"norm": chosen.norm, "eps": chosen.eps}
    out.print(f"next: {fresh_command(run.path, attacks=['pgd'], **ball)}", markup=False, soft_wrap=True)


def _only_resume(context: typer.Context) -> None:
    allowed = {"resume", "runs", "device", "data", "val", "test", "images_root", "time_limit"}
    given = [
        key
        for key in context.params
        if key not in allowed
        and (source := context.get_parameter_source(key)) is not None
        and source.name == "COMMANDLINE"
    ]
    if given:
        option = "MODEL" if given[0] == "model" else "--" + given[0].strip("_").replace("_", "-")
        raise HardenerError(f"--resume goes on with what the run was started with; {option} cannot be changed now.")
