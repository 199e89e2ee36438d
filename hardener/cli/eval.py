"""`hardener eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardener.cli.console import RichReporter, door, err, out, percent
from hardener.cli.options import RUNS, AllowPickle, Device, Entry, Runs, Seed, SkipBad
from hardener.errors import HardenerError
from hardener.threat import EPS_HELP, NORM_HELP

if TYPE_CHECKING:
    from hardener.config.evaluation_record import Evaluation
    from hardener.config.run_folder import RunFolder


@door
def evaluate(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|MODEL]",
            help="A run, an ONNX file, or with --init a model from elsewhere. (default: the newest run)",
            show_default=False,
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Images. (default: the run's own)")] = None,
    attack: Annotated[
        list[str] | None,
        typer.Option(help="A name that `hardener attacks` lists; repeatable."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="quick, standard (AutoAttack's) or full. (default: quick, where no --attack is named)"),
    ] = None,
    norm: Annotated[str, typer.Option(help=NORM_HELP)] = "linf",
    eps: Annotated[str | None, typer.Option(help=EPS_HELP)] = None,
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
    precision: Annotated[
        str,
        typer.Option(
            help="Of the attacks' gradients: auto, float32 or bfloat16. What falls is checked in float32. Attacks by "
            "scores ask a copy in ONNX Runtime where that is faster, except with float32."
        ),
    ] = "auto",
    runs: Runs = RUNS,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result here as well.")
    ] = None,
    surrogate: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Transfer attacks from it, or lend its gradients to an ONNX file. (default: one is trained)",
        ),
    ] = None,
    invariance: Annotated[bool, typer.Option("--invariance", help="Rotation, brightness, contrast, …")] = False,
    corruptions: Annotated[bool, typer.Option("--corruptions", help="The 15 common ones of ImageNet-C.")] = False,
    certify: Annotated[bool, typer.Option("--certify", help="Randomized smoothing: a proof, in l2.")] = False,
    clever: Annotated[bool, typer.Option("--clever", help="CLEVER scores.")] = False,
    curves: Annotated[bool, typer.Option("--curves", help="Accuracy against eps, and a loss landscape.")] = False,
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
    onnx = target is not None and target.endswith(".onnx")
    run = None
    if not foreign:
        strays = {"--init": init, "--entry": entry, "--image-size": image_size}
        if not onnx:
            strays["--normalize"] = normalize
        given = [option for option, value in strays.items() if value is not None]
        if given:
            raise HardenerError(f"{given[0]} is for a MODEL from elsewhere; a run or an ONNX file says it itself.")
        run = None if onnx else find_run(target, runs)
    elif init is None or normalize is None:
        raise HardenerError(
            f"{target} was not trained here: name its weights by --init FILE, its images by --data DIR, and how its "
            "inputs are normalised by --normalize none, imagenet or MEAN/STD (a wrong one makes every figure wrong)."
        )
    lender = None if surrogate is None else find_run(str(surrogate), runs)
    if onnx and lender is None:
        lender = _exported_from(Path(str(target)))
    err.print(f"[dim]evaluating {target if run is None else run.path} …[/]", soft_wrap=True)
    from hardener.evaluation.run import EvaluateRequest, evaluate_foreign, evaluate_onnx, evaluate_run

    reporter = RichReporter()
    asked = {
        "invariance": invariance,
        "corruptions": corruptions,
        "certify": certify,
        "clever": clever,
        "curves": curves,
    }
    if run is not None and lender is None and ("transfer" in (attack or []) or suite == "full"):
        from hardener.training.surrogate import surrogate_of

        lender = surrogate_of(run, reporter, device=device)
    request = EvaluateRequest(
        attacks=tuple(attack or ()),
        suite=suite,
        norm=norm,
        eps=radius,
        settings={"steps": steps, "step_size": length, "random_start": random_start},
        restarts=restarts,
        samples=samples,
        data=data,
        batch_size=batch_size,
        device=device,
        seed=seed,
        precision=precision,
        skip_bad_images=skip_bad_images,
        json_file=json_file,
        surrogate=lender,
        sections=frozenset(name for name, wanted in asked.items() if wanted),
    )
    if run is not None:
        made = evaluate_run(run, request, reporter)
        if made is not None:
            show(made[0])
            out.print(f"written: {made[1]} and {run.report}", soft_wrap=True)
        return
    assert target is not None, "checked above"
    if onnx:
        found = evaluate_onnx(Path(target), request, reporter, normalize=normalize or "none")
    else:
        from hardener.evaluation.subject import ForeignModel

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
        found = evaluate_foreign(model, request, reporter)
    if found is not None:
        show(found[0])
        if found[1] is not None:
            out.print(f"written: {found[1]} and {found[1].with_suffix('.html')}", soft_wrap=True)


def _exported_from(model: Path) -> RunFolder | None:
    """Return the run whose bundle holds the file, where it lies in one and comes from its present weights."""
    from hardener.config.bundle import read_bundle, sha256_of
    from hardener.config.run_folder import RunFolder

    run = RunFolder(model.resolve().parent.parent)
    if not (run.record_file.is_file() and (model.parent / "bundle.json").is_file() and run.weights.is_file()):
        return None
    return run if read_bundle(model.parent).fingerprint == sha256_of(run.weights) else None


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
            if value not in (None, False) and (key, value) not in {("restarts", 1), ("eot_draws", 1)}
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
    style = {"robust": "green", "partly robust": "yellow", "not robust": "red", "inconclusive": "magenta"}
    out.print(f"[bold {style[evaluation.verdict]}]{evaluation.verdict}[/]: {evaluation.reason}", soft_wrap=True)
    out.print(
        f"[bold]robust accuracy {percent(evaluation.robust_accuracy)}[/] (95 % interval {percent(low)} to "
        f"{percent(high)}, n = {evaluation.samples}): the worst case over {many} attack{'s' if many > 1 else ''}, "
        f"image by image. An attack that was not run may lower it.",
        soft_wrap=True,
    )
    if evaluation.not_run:
        out.print(f"[dim]not run: {', '.join(evaluation.not_run)}[/]", soft_wrap=True)
    _show_sections(evaluation)
    for flag in evaluation.flags:
        out.print(f"[yellow]flag {flag.id}[/]: {flag.message} ({flag.page})", soft_wrap=True)


def _show_sections(evaluation: Evaluation) -> None:
    """Print a line for each further section that was measured."""
    if evaluation.distances is not None and evaluation.distances.quartiles is not None:
        low, middle, high = evaluation.distances.quartiles
        out.print(
            f"smallest perturbation found ({evaluation.threat.norm}): median {middle:.4g}, quartiles {low:.4g} to "
            f"{high:.4g}, over the {evaluation.distances.found} of {evaluation.distances.samples} images with one"
        )
    for curve in evaluation.invariances:
        worst = min(curve.points, key=lambda point: point.accuracy)
        out.print(f"{curve.name}: at worst {percent(worst.accuracy)}, at {worst.parameter:g} {curve.unit}".rstrip())
    if evaluation.corruptions is not None:
        kept = 1 - evaluation.corruptions.mean_corruption_error
        out.print(f"common corruptions: mean accuracy {percent(kept)} (n = {evaluation.corruptions.samples})")
    if evaluation.certification is not None:
        certified = evaluation.certification
        shown = ", ".join(f"{percent(point.accuracy)} to {point.parameter:g}" for point in certified.points)
        out.print(
            f"certified in l2, noise {certified.noise_sigma:g}, confidence {certified.confidence:g}, "
            f"n = {certified.samples}: {shown}",
            soft_wrap=True,
        )
    if evaluation.clever is not None:
        out.print(
            f"CLEVER ({evaluation.clever.norm}): mean {evaluation.clever.mean:.4g} (n = {evaluation.clever.samples})"
        )
    if evaluation.calibration is not None:
        out.print(f"calibration: expected error {percent(evaluation.calibration.expected_error)}")
