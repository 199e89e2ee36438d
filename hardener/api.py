"""The Python door: what `import hardener` offers. Each function is the command of the same name, for programs.

All are silent by default; `progress=True` draws the bars of the command line. Mistakes raise `HardenerError`, whose
message says what to do. Results are the records that the command line writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from hardener.config.bundle import Bundle
from hardener.config.evaluation_record import Evaluation
from hardener.config.quantity import parse_quantity
from hardener.config.run_folder import RunFolder, find_run
from hardener.errors import HardenerError
from hardener.models.user_code import explaining
from hardener.progress import SilentTraining, TrainReporter
from hardener.reports.comparison_record import Comparison
from hardener.reports.gate import Judgement

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hardener.evaluation.plan import EvaluateRequest
    from hardener.models.normalize import ImageClassifier

Run = RunFolder | str | Path
"""A run: its folder, its name below `runs/`, or what `train` returned."""
RUNS = Path("runs")


class TrainOptions(TypedDict, total=False):
    """What `hardener train` takes besides model and data; see `hardener train --help`.

    Attributes:
        recipe: a name that `hardener recipes` lists, or a YAML file; `sprout` by default.
        settings: fields of the recipe, such as {"optimizer.lr": 0.01, "epochs": 10}.
        entry: the name in the model file that builds the network; looked for by default.
        model_args: what else the network is built with, such as {"width": 64}.
        root: the uppermost folder that the model file's imports are looked for in.
        init: weights to start from: a checkpoint of nearly any kind, a folder of one, or a run.
        weights: which of several sets of weights in `init`: `plain`, `ema` or a name in the file.
        pretrained: start from a registry model's published weights.
        replace_head: put a fresh final layer in where the number of classes differs.
        validation: class folders to use as the validation split.
        name: the run's name.
        out: the folder that runs lie in.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        seed: of every random choice.
        skip_bad_images: leave out images that cannot be read.
        allow_pickle: unpickle `init`, which runs any code that the file carries.
    """

    recipe: str
    settings: Mapping[str, object]
    entry: str | None
    model_args: Mapping[str, Any]
    root: str | Path | None
    init: str | Path | None
    weights: str | None
    pretrained: bool
    replace_head: bool
    validation: str | Path | None
    name: str | None
    out: str | Path
    device: str
    seed: int
    skip_bad_images: bool
    allow_pickle: bool


class EvaluateOptions(TypedDict, total=False):
    """What `hardener eval` takes; see `hardener eval --help`.

    Attributes:
        attacks: names that `hardener attacks` lists; not together with `suite`.
        suite: `quick` (the default), `standard` or `full`.
        norm: `linf` (the default), `l2` or `l1`.
        eps: the radius, a number or a text such as "8/255"; the norm's own by default.
        settings: of the attacks, such as {"steps": 50}.
        restarts: how often attacks with a random start are repeated.
        measures: what is measured besides, such as "corruptions" or "certify".
        samples: images, drawn by the seed; at most all there are.
        batch_size: images at once.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; a module in memory stays where it is by default.
        seed: of every random choice.
        precision: of the attacks' gradients: `auto`, `float32` or `bfloat16`.
        surrogate: a run to transfer attacks from.
        skip_bad_images: leave out images that cannot be read.
        json_file: write the record here, and a report beside it.
    """

    attacks: Sequence[str]
    suite: str | None
    norm: str
    eps: float | str | None
    settings: Mapping[str, Any]
    restarts: int
    measures: Iterable[str]
    samples: int
    batch_size: int
    device: str
    seed: int
    precision: str
    surrogate: Run | None
    skip_bad_images: bool
    json_file: str | Path | None


@explaining()
def train(model: str | Path, data: str | Path, *, progress: bool = False, **options: Unpack[TrainOptions]) -> RunFolder:
    """Train a classifier to be robust and return its run.

    Args:
        model: a Python file, `torchvision:NAME` or `timm:NAME`.
        data: class folders, or train/ and val/ or test/ with class folders.
        progress: draw bars and epochs on stderr.
        options: see `TrainOptions`.
    Raises:
        HardenerError: a mistake in what was asked for, or a loss that is no longer finite (its subclass `Failure`).
    """
    from hardener.config.recipe import load_recipe
    from hardener.training.run import TrainRequest
    from hardener.training.run import train as work

    given: dict[str, Any] = dict(options)
    fields = [f"{key}={value}" for key, value in given.pop("settings", {}).items()]
    recipe = load_recipe(given.pop("recipe", "sprout"), fields)
    given["validation_root"] = given.pop("validation", None)
    given |= {key: Path(given[key]) for key in ("init", "out", "validation_root", "root") if given.get(key) is not None}
    request = TrainRequest(model=str(model), data=Path(data), recipe=recipe, **given)
    return work(request, _reporter(progress))


@explaining()
def load(run: Run, *, runs: str | Path = RUNS) -> ImageClassifier:
    """Return a run's model with its best weights, on the CPU, in eval mode.

    Returns:
        A module that takes images (N, C, H, W), float in [0, 1], and returns logits (N, K). Normalisation is inside;
        `classes` holds the names.
    Raises:
        HardenerError: no such run, or one that is not trained yet.
    """
    from hardener.models.trained import open_classifier

    found = _run(run, runs)
    return open_classifier(found, found.read_record())


@explaining()
def evaluate(
    target: Run | nn.Module,
    images: Any = None,
    labels: Any = None,
    *,
    data: str | Path | None = None,
    classes: Sequence[str] | None = None,
    progress: bool = False,
    **options: Unpack[EvaluateOptions],
) -> Evaluation:
    """Attack a model and return the record: the worst case, image by image, over every attack that was run.

    Args:
        target: a run, whose record and report are also written into it; an ONNX file; or a module that takes images
            (N, C, H, W) in [0, 1] and returns logits (N, K), which is left as it was found.
        images: for a module: a tensor or an array (N, C, H, W), float in [0, 1] or uint8, or a torch DataLoader that
            yields (images, labels).
        labels: (N,), whole numbers; None with a DataLoader.
        data: for a run or an ONNX file: images to attack; by default the run's own test split.
        classes: for a module: the names of its classes.
        progress: draw bars on stderr.
        options: see `EvaluateOptions`.
    Raises:
        HardenerError: a mistake in what was asked for.
    """
    request = _request(options, data)
    reporter = _reporter(progress)
    if not isinstance(target, str | Path | RunFolder):
        return _evaluate_module(target, images, labels, classes, request, reporter)
    if images is not None or labels is not None:
        raise HardenerError("images and labels are for a module in memory; a run's are named by data=DIR.")
    from hardener.evaluation.run import evaluate_onnx, evaluate_run
    from hardener.training.surrogate import with_surrogate

    made: tuple[Evaluation, Path | None] | None
    if not isinstance(target, RunFolder) and str(target).endswith(".onnx"):
        made = evaluate_onnx(Path(target), request, reporter)
    else:
        run = _run(target, RUNS)
        made = evaluate_run(run, with_surrogate(run, request, reporter), reporter)
    return _first_process(None if made is None else made[0])


@explaining()
def audit(
    module: nn.Module,
    images: Any,
    labels: Any = None,
    *,
    classes: Sequence[str] | None = None,
    progress: bool = False,
    **options: Unpack[EvaluateOptions],
) -> Evaluation:
    """Attack a module in memory and ask whether its figure can be believed; nothing else is measured.

    Args: as `evaluate` takes them for a module.
    Returns:
        The record; `checks` holds each question with its answer, `flags` those that were raised.
    Raises:
        HardenerError: a mistake in what was asked for.
    """
    request = _request(options, None)
    return _evaluate_module(module, images, labels, classes, request, _reporter(progress), measures=False)


@explaining()
def export(
    run: Run,
    *,
    quantize: Literal["int8"] | None = None,
    quick: bool = False,
    data: str | Path | None = None,
    runs: str | Path = RUNS,
    progress: bool = False,
) -> Bundle:
    """Export a run to ONNX, compare the file with the model on real images, and write the bundle.

    Args:
        quantize: write an int8 bundle besides, measured by the same attacks; its record is then returned.
        quick: for int8: fewer images and attacks.
        data: images to compare on; by default the run's own.
    Returns:
        What `bundle.json` says; the files lie in `RunFolder.bundle` or `RunFolder.int8_bundle`.
    Raises:
        HardenerError: no such run, or no images; its subclass `Failure`: the file is not the model.
    """
    from hardener.exporters.run import export as work

    found, where, reporter = _run(run, runs), None if data is None else Path(data), _reporter(progress)
    bundle = work(found, reporter, data=where)
    if quantize is None:
        return bundle
    from hardener.exporters.quantize import export_int8

    return export_int8(found, bundle, reporter, data=where, quick=quick).bundle


def compare(*runs: Run) -> Comparison:
    """Put evaluated runs side by side, with paired differences.

    Raises:
        HardenerError: fewer than two runs, or evaluations that cannot be compared.
    """
    from hardener.reports.comparison import compare as work

    return work([_run(run, RUNS) for run in runs])


def gate(
    run: Run,
    *,
    minimum: Mapping[str, float] | None = None,
    max_drop: Mapping[str, float] | None = None,
    against: Run | None = None,
) -> Judgement:
    """Judge an evaluated run by conditions; `failed` of what is returned is empty where it passes.

    Args:
        minimum: such as {"clean": 0.80, "linf-8/255": 0.40}; the interval's lower end must reach it.
        max_drop: how far a figure may fall below that of `against`.
    Raises:
        HardenerError: an unknown figure, or one that was not measured.
    """
    from hardener.reports.gate import judge, parse_condition

    conditions = [parse_condition("min", f"{name}={bound}") for name, bound in (minimum or {}).items()]
    conditions += [parse_condition("max-drop", f"{name}={bound}") for name, bound in (max_drop or {}).items()]
    return judge(_run(run, RUNS), conditions, None if against is None else _run(against, RUNS))


def attack(name: str) -> Callable[..., Tensor]:
    """Return an attack by its name: `attack(model, images, labels, *, norm, eps, ...)` -> adversarial images.

    Raises:
        HardenerError: no such attack; the nearest name is offered.
    """
    from hardener.attacks import ATTACKS
    from hardener.catalog import resolve

    found: Callable[..., Tensor] = resolve(ATTACKS, name, "attack")
    return found


def _run(run: Run, runs: str | Path) -> RunFolder:
    return run if isinstance(run, RunFolder) else find_run(str(run), Path(runs))


def _reporter(progress: bool) -> TrainReporter:
    if not progress:
        return SilentTraining()
    from hardener.terminal import RichReporter

    return RichReporter()


def _request(options: EvaluateOptions, data: str | Path | None) -> EvaluateRequest:
    from hardener.evaluation.plan import EvaluateRequest

    given: dict[str, Any] = dict(options)
    eps, surrogate, json_file = (given.pop(key, None) for key in ("eps", "surrogate", "json_file"))
    return EvaluateRequest(
        attacks=tuple(given.pop("attacks", ())),
        sections=frozenset(given.pop("measures", ())),
        eps=None if eps is None else parse_quantity(eps),
        surrogate=None if surrogate is None else _run(surrogate, RUNS),
        json_file=None if json_file is None else Path(json_file),
        data=None if data is None else Path(data),
        **given,
    )


def _evaluate_module(
    module: nn.Module,
    images: Any,
    labels: Any,
    classes: Sequence[str] | None,
    request: EvaluateRequest,
    reporter: TrainReporter,
    *,
    measures: bool = True,
) -> Evaluation:
    from torch import nn

    from hardener.evaluation.run import evaluate_module
    from hardener.evaluation.sample import hold
    from hardener.evaluation.subject import memory_subject

    if not isinstance(module, nn.Module):
        raise HardenerError(f"a model is a run, an ONNX file or a torch module; got {type(module).__name__}.")
    if images is None:
        raise HardenerError("a module in memory needs images and labels, or a DataLoader that yields both.")
    held = hold(*(_gathered(images, request.samples) if labels is None else (images, labels)))
    return _first_process(
        evaluate_module(memory_subject(module, held, classes=classes), request, reporter, measures=measures)
    )


def _gathered(loader: Iterable[Any], most: int) -> tuple[Tensor, Tensor]:
    """Take minibatches until there are `most` images: what a loader yields may be endless."""
    import torch

    if isinstance(loader, torch.Tensor) or not isinstance(loader, Iterable) or hasattr(loader, "shape"):
        raise HardenerError("labels are missing: pass evaluate(module, images, labels), or a DataLoader of both.")
    images, labels, count = [], [], 0
    for batch in loader:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise HardenerError("a DataLoader must yield (images, labels).")
        images.append(torch.as_tensor(batch[0]).cpu())
        labels.append(torch.as_tensor(batch[1]).cpu())
        count += len(images[-1])
        if count >= most:
            break
    if not images:
        raise HardenerError("the DataLoader yields nothing.")
    return torch.cat(images)[:most], torch.cat(labels)[:most]


def _first_process(found: Evaluation | None) -> Evaluation:
    if found is None:
        raise HardenerError("only torchrun's first process has the result; the others work for it.")
    return found
