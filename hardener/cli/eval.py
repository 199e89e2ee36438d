"""`hardener eval`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hardener.cli.console import door, note, out, reporter, stoppable
from hardener.cli.eval_table import show
from hardener.cli.options import (
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
    asked_ranges,
    asked_reading,
)
from hardener.config.model_spec import is_hugging_face
from hardener.errors import HardenerError, Unwritten
from hardener.threat import EPS_HELP, NORM_HELP, THREATS
from hardener.words import either

if TYPE_CHECKING:
    from hardener.config.evaluation_record import Evaluation
    from hardener.config.run_folder import RunFolder
    from hardener.evaluation.plan import EvaluateRequest
    from hardener.evaluation.subject import ForeignModel

_ELSEWHERE = ("--init", "--weights", "--entry", "--model-arg", "--root", "--image-size", "--normalize", "--range")
_SWITCHES = ("invariance", "corruptions", "certify", "clever", "curves")
_Kind = Literal["run", "onnx", "foreign"]


@door
@stoppable
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
        typer.Option(help="quick, fast, standard (AutoAttack's) or full. (default: fast, where no --attack is named)"),
    ] = None,
    norm: Annotated[str | None, typer.Option(help=f"{NORM_HELP} (default: linf)")] = None,
    eps: Annotated[str | None, typer.Option(help=EPS_HELP)] = None,
    threat: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Instead of a ball of norm and eps: {either(THREATS)}.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A range of --threat, such as rotation=-15,15; repeatable."),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Gradient steps. (default: the attack's own)")] = None,
    step_size: Annotated[str | None, typer.Option(help="Such as 2/255. (default: 2.5 eps / steps)")] = None,
    queries: Annotated[
        int | None, typer.Option(min=1, help="Of attacks by answers: questions an image. (default: the attack's own)")
    ] = None,
    restarts: Annotated[int, typer.Option(min=1, help="Repeat from other random starts.")] = 1,
    random_start: Annotated[
        bool | None,
        typer.Option("--random-start/--no-random-start", help="Where the attack starts. (default: random)"),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Images, drawn by the seed; at most all there are.")] = 1000,
    init: Annotated[Path | None, typer.Option(help="Weights of a MODEL from elsewhere.")] = None,
    weights: Weights = None,
    normalize: Annotated[
        str | None, typer.Option(help="Of a MODEL from elsewhere: none, imagenet or MEAN/STD.")
    ] = None,
    entry: EntryOption = None,
    model_arg: ModelArgs = None,
    root: Root = None,
    image_size: Annotated[str | None, typer.Option(help="224 or HEIGHTxWIDTH. (default: a run's own)")] = None,
    range_: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LO,HI",
            help="Of a MODEL from elsewhere: levels of 16 bit or float images that become 0 and 255.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 128,
    device: DeviceOption = "auto",
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
    radius: Annotated[
        list[str] | None,
        typer.Option(
            metavar="R",
            help="Certify to this l2 radius; repeatable. (default: 0, 1/2 and 1 times the training's noise)",
        ),
    ] = None,
    clever: Annotated[bool, typer.Option("--clever", help="CLEVER scores.")] = False,
    curves: Annotated[bool, typer.Option("--curves", help="Accuracy against eps, and a loss landscape.")] = False,
    measure: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A measure without an option of its own; repeatable.")
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
    allow_pickle: AllowPickle = False,
) -> None:
    """Attack a model and say how robust it is: the worst case, image by image, over all attacks."""
    from hardener.config.pixels import parse_range
    from hardener.config.quantity import asked_radii
    from hardener.config.run_folder import find_run

    kind = _kind_of(target)
    strays = (init, weights, entry, model_arg, root, image_size, normalize, range_)
    _check_strays(kind, {option for option, value in zip(_ELSEWHERE, strays, strict=True) if value is not None})
    ends = None if range_ is None else parse_range(range_)
    within, length, size = _lengths(eps, step_size, image_size)
    run = find_run(target, runs) if kind == "run" else None
    if kind == "foreign" and (init is None or normalize is None):
        raise HardenerError(
            f"{target} was not trained here: name its weights by --init FILE, its images by --data DIR, and how its "
            "inputs are normalised by --normalize none, imagenet or MEAN/STD (a wrong one makes every figure wrong)."
        )
    lender = None if surrogate is None else find_run(str(surrogate), runs)
    note(f"evaluating {target if run is None else run.path} …")
    from hardener.evaluation.plan import EvaluateRequest

    told = zip(_SWITCHES, (invariance, corruptions, certify or bool(radius), clever, curves), strict=True)
    request = EvaluateRequest(
        attacks=tuple(attack or ()),
        suite=suite,
        norm=norm,
        eps=within,
        threat=threat,
        ranges=asked_ranges(set_),
        settings={"steps": steps, "step_size": length, "queries": queries, "random_start": random_start},
        restarts=restarts,
        samples=samples,
        data=data,
        batch_size=batch_size,
        device=device,
        seed=seed,
        precision=precision,
        skip_bad_images=skip_bad_images,
        reading=asked_reading(ignore, class_depth, label_from, (path_column, label_column, split_column), images_root),
        dedupe=dedupe,
        json_file=json_file,
        surrogate=lender,
        sections=frozenset([*(name for name, wanted in told if wanted), *(measure or [])]),
        radii=asked_radii(radius or ()),
        image_size=size if kind == "run" else None,
    )
    if run is not None:
        _evaluate_run(run, request)
        return
    assert target is not None, "only a run needs no name"
    if kind == "onnx":
        _evaluate_onnx(Path(target), request, normalize or "none", ends)
        return
    assert init is not None, "checked above"
    assert normalize is not None, "checked above"
    from hardener.evaluation.subject import ForeignModel

    model = ForeignModel(
        target, init, normalize, entry, size, allow_pickle, asked_arguments(model_arg), root, ends, weights
    )
    _evaluate_foreign(model, request)


def _kind_of(target: str | None) -> _Kind:
    if target is not None and target.endswith(".onnx"):
        return "onnx"
    if target is None:
        return "run"
    named = re.fullmatch(r"[\w.]+:[\w.\-]+", target) is not None  # torchvision:NAME, timm:NAME, MODULE:NAME
    package = (Path(target) / "__init__.py").is_file() and not (Path(target) / "run.json").is_file()
    return "foreign" if target.endswith(".py") or named or package or is_hugging_face(target) else "run"


def _check_strays(kind: _Kind, given: set[str]) -> None:
    """Refuse options that only a model from elsewhere needs; an ONNX file may be normalised as well."""
    known = {"run": {"--image-size"}, "onnx": {"--normalize", "--range"}, "foreign": given}[kind]
    for option in _ELSEWHERE:
        if option in given - known:
            raise HardenerError(f"{option} is for a MODEL from elsewhere; a run or an ONNX file says it itself.")


def _lengths(
    eps: str | None, step_size: str | None, image_size: str | None
) -> tuple[float | None, float | None, tuple[int, int] | None]:
    from hardener.config.quantity import parse_image_size, parse_quantity

    radius = None if eps is None else parse_quantity(eps, "--eps")
    length = None if step_size is None else parse_quantity(step_size, "--step-size")
    if length is not None and length <= 0:
        raise HardenerError(f"--step-size must be > 0; got {step_size}.")
    return radius, length, None if image_size is None else parse_image_size(image_size)


def _evaluate_run(run: RunFolder, request: EvaluateRequest) -> None:
    from hardener.evaluation.run import evaluate_run_at
    from hardener.training.surrogate import with_surrogate

    shown = reporter()
    with _figures_first():
        made = evaluate_run_at(run, with_surrogate(run, request, shown), shown)
    if made is None:
        return
    evaluation, file = made
    if file is None or file.parent != run.evaluations:  # of another size than the run's
        _show_elsewhere(made)
        return
    show(evaluation)
    out.print(f"written: {file} and {run.report}", markup=False, soft_wrap=True)


def _evaluate_onnx(model: Path, request: EvaluateRequest, normalize: str, ends: tuple[float, float] | None) -> None:
    from hardener.evaluation.run import evaluate_onnx

    with _figures_first():
        made = evaluate_onnx(model, request, reporter(), normalize=normalize, ends=ends)
    _show_elsewhere(made)


def _evaluate_foreign(model: ForeignModel, request: EvaluateRequest) -> None:
    from hardener.evaluation.run import evaluate_foreign

    with _figures_first():
        made = evaluate_foreign(model, request, reporter())
    _show_elsewhere(made)


@contextmanager
def _figures_first() -> Iterator[None]:
    """Print what was found before it is said that it could not be written."""
    try:
        yield
    except Unwritten as error:
        show(error.evaluation)
        raise


def _show_elsewhere(made: tuple[Evaluation, Path | None] | None) -> None:
    if made is None:
        return
    show(made[0])
    if made[1] is not None:
        out.print(f"written: {made[1]} and {made[1].with_suffix('.html')}", markup=False, soft_wrap=True)
