"""`hardener eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardener.cli.console import RichReporter, door, err, out, percent
from hardener.cli.options import RUNS, AllowPickle, Device, Entry, Runs, Seed, SkipBad
from hardener.errors import HardenerError

if TYPE_CHECKING:
    from hardener.config.evaluation_record import Evaluation


@door
def evaluate(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|MODEL]",
            help="A run, or with --init a model from elsewhere. (default: the newest run)",
            show_default=False,
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Images. (default: the run's own)")] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="A name that `hardener attacks` lists; repeatable. (default: pgd)"),
    ] = None,
    norm: Annotated[str, typer.Option(help="linf or l2.")] = "linf",
    eps: Annotated[str | None, typer.Option(help="Radius, such as 8/255. (default: 8/255 in linf, 0.5 in l2)")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Gradient steps. (default: the attack's own)")] = None,
    step_size: Annotated[str | None, typer.Option(help="Such as 2/255. (default: 2.5 eps / steps)")] = None,
    restarts: Annotated[int, typer.Option(min=1, help="Repeat from other random starts.")] = 1,
    random_start: Annotated[
        bool | None,
        typer.Option("--random-start/--no-random-start", help="Where the attack starts. (default: random)"),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Images, drawn by the seed; at most all there are.")] = 1000,
    init: Annotated[Path | None, typer.Option(help="Weights of a MODEL from elsewhere.")] = None,
    normalize: Annotated[
        str | None, typer.Option(help="Of a MODEL from elsewhere: none, imagenet or MEAN/STD.")
    ] = None,
    entry: Entry = None,
    image_size: Annotated[str | None, typer.Option(help="Of a MODEL from elsewhere: 224 or HEIGHTxWIDTH.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 128,
    device: Device = "auto",
    seed: Seed = 0,
    runs: Runs = RUNS,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result here as well.")
    ] = None,
    skip_bad_images: SkipBad = False,
    allow_pickle: AllowPickle = False,
) -> None:
    """Attack a model and say how robust it is: the worst case, image by image, over all attacks."""
    from hardener.config.quantity import parse_image_size, parse_quantity
    from hardener.config.run_folder import find_run

    radius = None if eps is None else parse_quantity(eps)
    length = None if step_size is None else parse_quantity(step_size)
    if length is not None and length <= 0:
        raise HardenerError(f"--step-size must be > 0; got {step_size}.")
    foreign = target is not None and (target.endswith(".py") or target.startswith(("torchvision:", "timm:")))
    if target is not None and target.endswith(".onnx"):
        raise HardenerError("an ONNX file gives no gradients to attack with. Name the run that it was exported from.")
    run = None
    if not foreign:
        strays = {"--init": init, "--normalize": normalize, "--entry": entry, "--image-size": image_size}
        given = [option for option, value in strays.items() if value is not None]
        if given:
            raise HardenerError(f"{given[0]} is for a MODEL from elsewhere; a run says it itself.")
        run = find_run(target, runs)
    elif init is None or normalize is None:
        raise HardenerError(
            f"{target} was not trained here: name its weights by --init FILE, its images by --data DIR, and how its "
            "inputs are normalised by --normalize none, imagenet or MEAN/STD (a wrong one makes every figure wrong)."
        )
    err.print(f"[dim]evaluating {target if run is None else run.path} …[/]", soft_wrap=True)
    from hardener.evaluation.run import EvaluateRequest, ForeignModel, evaluate_foreign, evaluate_run

    request = EvaluateRequest(
        attacks=tuple(attack or ["pgd"]),
        norm=norm,
        eps=radius,
        settings={"steps": steps, "step_size": length, "random_start": random_start},
        restarts=restarts,
        samples=samples,
        data=data,
        batch_size=batch_size,
        device=device,
        seed=seed,
        skip_bad_images=skip_bad_images,
        json_file=json_file,
    )
    if run is not None:
        evaluation, written = evaluate_run(run, request, RichReporter())
        show(evaluation)
        out.print(f"written: {written} and {run.report}", soft_wrap=True)
        return
    assert target is not None, "checked above"
    assert init is not None, "checked above"
    assert normalize is not None, "checked above"
    model = ForeignModel(
        spec=target,
        init=init,
        normalize=normalize,
        entry=entry,
        image_size=None if image_size is None else parse_image_size(image_size),
        allow_pickle=allow_pickle,
    )
    evaluation, file = evaluate_foreign(model, request, RichReporter())
    show(evaluation)
    if file is not None:
        out.print(f"written: {file}", soft_wrap=True)


def show(evaluation: Evaluation) -> None:
    """Print an evaluation as a table with its one figure below."""
    from rich.table import Table

    from hardener.threat import ThreatModel

    threat = ThreatModel(evaluation.threat.norm, evaluation.threat.eps)
    table = Table(
        title=f"{evaluation.model.name}: {evaluation.samples} images of the {evaluation.data.split} split, {threat}",
        title_justify="left",
    )
    for heading in ("attack", "settings"):
        table.add_column(heading)
    for heading in ("attacked", "broken", "accuracy left", "seconds"):
        table.add_column(heading, justify="right")
    table.add_row("none (clean)", "", "", "", percent(evaluation.clean_accuracy), "")
    for attack in evaluation.attacks:
        settings = ", ".join(
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in attack.settings.items()
        )
        table.add_row(
            attack.name,
            settings,
            str(attack.attacked),
            str(attack.broken),
            percent(attack.robust_accuracy),
            f"{attack.seconds:.1f}",
        )
    out.print(table)
    low, high = evaluation.interval
    many = len(evaluation.attacks)
    out.print(
        f"[bold]robust accuracy {percent(evaluation.robust_accuracy)}[/] (95 % interval {percent(low)} to "
        f"{percent(high)}, n = {evaluation.samples}): the worst case over {many} attack{'s' if many > 1 else ''}, "
        f"image by image. An attack that was not run may lower it.",
        soft_wrap=True,
    )
    for flag in evaluation.flags:
        out.print(f"[yellow]flag {flag.id}[/]: {flag.message} ({flag.page})", soft_wrap=True)
