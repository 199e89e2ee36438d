"""The Python door: what `import hardener` offers. Each function is the command of the same name, for programs.

All are silent by default; `progress=True` draws the bars of the command line. Mistakes raise `HardenerError`, whose
message says what to do. Results are the records that the command line writes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

from hardener.api.options import (
    RUNS,
    EvaluateOptions,
    Run,
    TrainOptions,
    ends_of,
    evaluate_request,
    foreign_model,
    refuse_of_files,
    refuse_strays,
    run_of,
    train_request,
)
from hardener.config.bundle import Bundle
from hardener.config.dossier_record import Dossier
from hardener.config.evaluation_record import Evaluation
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.models.code.user_code import explaining
from hardener.progress import SilentTraining, TrainReporter
from hardener.reports.comparison_record import Comparison
from hardener.reports.gate import Judgement

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hardener.evaluation.plan import EvaluateRequest
    from hardener.models.normalize import ImageClassifier


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
    from hardener.training.run import train as work

    return work(train_request(model, data, options), _reporter(progress))


@explaining()
def load(run: Run, *, runs: str | Path = RUNS) -> ImageClassifier:
    """Return a run's model with its best weights, on the CPU, in eval mode.

    Returns:
        A module that takes images (N, C, H, W), float in [0, 1], and returns logits (N, K). Normalisation is inside;
        `classes` holds the names.
    Raises:
        HardenerError: no such run, or one that is not trained yet.
    Warns:
        UserWarning: the run's code is not as it was in training.
    """
    from hardener.models.trained import changed_code, open_classifier

    found = run_of(run, runs)
    record = found.read_record()
    if (changed := changed_code(found, record)) is not None:
        warnings.warn(changed, stacklevel=3)  # past what explains errors
    return open_classifier(found, record)


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
        target: a run, whose record and report are also written into it; an ONNX file; a model file or name whose
            weights `init` names; or a module that takes images (N, C, H, W) in [0, 1] and returns logits (N, K), which
            is left as it was found.
        images: for a module: a tensor or an array (N, C, H, W), float in [0, 1] or uint8, or a torch DataLoader that
            yields (images, labels).
        labels: (N,), whole numbers; None with a DataLoader.
        data: for all but a module: images to attack; by default the run's own test split.
        classes: for a module: the names of its classes.
        progress: draw bars on stderr.
        options: see `EvaluateOptions`.
    Raises:
        HardenerError: a mistake in what was asked for.
    """
    request = evaluate_request(options, data)
    reporter = _reporter(progress)
    if not isinstance(target, str | Path | RunFolder):
        refuse_strays(options, "a module in memory")
        refuse_of_files(options, data)
        return _evaluate_module(target, images, labels, classes, request, reporter)
    if images is not None or labels is not None:
        raise HardenerError("images and labels are for a module in memory; a run's are named by data=DIR.")
    if classes is not None:
        raise HardenerError("classes are for a module in memory; a model in files has its own.")
    from hardener.evaluation.run import evaluate_foreign, evaluate_onnx, evaluate_run_at
    from hardener.training.surrogate import with_surrogate

    made: tuple[Evaluation, Path | None] | None
    foreign = None if isinstance(target, RunFolder) else foreign_model(target, options)
    if foreign is not None:
        made = evaluate_foreign(foreign, request, reporter)
    elif not isinstance(target, RunFolder) and str(target).endswith(".onnx"):
        refuse_strays(options, str(target), ("normalize", "range"))
        normalize = options.get("normalize") or "none"
        made = evaluate_onnx(Path(target), request, reporter, normalize=normalize, ends=ends_of(options))
    else:
        refuse_strays(options, "a run", ("image_size",))
        run = run_of(target, RUNS)
        made = evaluate_run_at(run, with_surrogate(run, request, reporter), reporter)
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
    refuse_strays(options, "a module in memory")
    refuse_of_files(options)
    request = evaluate_request(options, None)
    if request.sections:
        raise HardenerError(
            "audit measures nothing besides: leave measures and radii out, or call hardener.evaluate with them."
        )
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
    from hardener.config.found_bundle import left_behind
    from hardener.exporters.run import export as work

    found, where, reporter = run_of(run, runs), None if data is None else Path(data), _reporter(progress)
    bundle = work(found, reporter, data=where)
    if quantize is not None:
        from hardener.exporters.quantize import export_int8

        bundle = export_int8(found, bundle, reporter, data=where, quick=quick).bundle
    for older in left_behind(found):
        reporter.warn(older)
    return bundle


def compare(*runs: Run) -> Comparison:
    """Put evaluated runs side by side, with paired differences.

    Raises:
        HardenerError: fewer than two runs, or evaluations that cannot be compared.
    """
    from hardener.reports.comparison import compare as work

    return work([run_of(run, RUNS) for run in runs])


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
    from hardener.reports.condition import parse_condition
    from hardener.reports.gate import judge

    conditions = [parse_condition("min", f"{name}={bound}") for name, bound in (minimum or {}).items()]
    conditions += [parse_condition("max-drop", f"{name}={bound}") for name, bound in (max_drop or {}).items()]
    return judge(run_of(run, RUNS), conditions, None if against is None else run_of(against, RUNS))


def dossier(
    run: Run,
    out: str | Path | None = None,
    *,
    against: Run | None = None,
    purpose: str | Path | None = None,
    requirements: str | Path | None = None,
    since: str | Path | None = None,
) -> Dossier:
    """Gather what is known of a run for whoever must sign, and write it where `out` says; nothing is measured.

    Args:
        out: the page, a file .html, with its JSON beside it; None writes nothing.
        against: a baseline, or the run before, whose figures stand beside.
        purpose: what the owner says of the model; the run's own purpose.yaml by default, if there is one.
        requirements: what it must reach; the run's own requirements.yaml by default, if there is one.
        since: the JSON of the last dossier; the one that `out` replaces by default.
    Raises:
        HardenerError: a file that is not there or does not say what it should, or a run beside that was not evaluated.
    """
    from hardener.reports.dossier.make import ask, make_dossier
    from hardener.reports.dossier.written import check_page, write_dossier

    page, files = None if out is None else Path(out), {"purpose": purpose, "requirements": requirements, "since": since}
    if page is not None:
        check_page(page)
    named = {key: None if path is None else Path(path) for key, path in files.items()}
    found = run_of(run, RUNS)
    asked = ask(found, page, against=None if against is None else run_of(against, RUNS), **named)
    made = make_dossier(found, asked)
    if page is not None:
        write_dossier(made, page, None)
    return made


def attack(name: str) -> Callable[..., Tensor]:
    """Return an attack by its name: `attack(model, images, labels, *, norm, eps, ...)` -> adversarial images.

    Raises:
        HardenerError: no such attack; the nearest name is offered.
    """
    from hardener.attacks import ATTACKS
    from hardener.catalog import resolve

    found: Callable[..., Tensor] = resolve(ATTACKS, name, "attack")
    return found


def _reporter(progress: bool) -> TrainReporter:
    if not progress:
        return SilentTraining()
    from hardener.terminal import RichReporter

    return RichReporter()


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
