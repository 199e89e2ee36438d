"""`hardener export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardener.cli.console import door, literal, note, out, reporter, stoppable
from hardener.cli.options import (
    RUNS,
    ClassDepth,
    Ignore,
    ImagesRoot,
    LabelColumn,
    LabelFrom,
    PathColumn,
    Runs,
    SkipBad,
    SplitColumn,
    asked_reading,
)
from hardener.errors import HardenerError, did_you_mean
from hardener.words import percent

if TYPE_CHECKING:
    from hardener.config.bundle import Bundle
    from hardener.config.run_folder import RunFolder
    from hardener.exporters.quantize import Quantized

_KINDS, _LAYOUTS = ("int8",), ("triton",)


@door
@stoppable
def export(
    target: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run. (default: the newest)", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="What `train --data` takes, to compare on. (default: the run's own)"),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="How many images to compare on. (default: 128; with --quantize 300, --quick 100)"),
    ] = None,
    quantize: Annotated[
        str | None,
        typer.Option(metavar="int8", help="Write a second bundle in int8, and measure what it cost."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="With --quantize: fewer images and attacks.")] = False,
    layout: Annotated[
        str | None,
        typer.Option(metavar="triton", help="Lay what was exported out for NVIDIA Triton and KServe as well."),
    ] = None,
    skip_bad_images: SkipBad = False,
    ignore: Ignore = None,
    class_depth: ClassDepth = None,
    label_from: LabelFrom = None,
    path_column: PathColumn = None,
    label_column: LabelColumn = None,
    split_column: SplitColumn = None,
    images_root: ImagesRoot = None,
    runs: Runs = RUNS,
) -> None:
    """Export a run to ONNX, compare the file with the model on real images, and write the bundle.

    --quantize int8 writes RUN/bundle-int8 besides: calibrated on training
    images, for CPUs. Both files are then attacked and certified alike, and
    a table says what int8 cost. --layout triton writes RUN/triton. Images are
    read as the run read its own, where no flag says otherwise.
    """
    from hardener.config.found_bundle import left_behind
    from hardener.config.run_folder import find_run

    if quantize not in (None, *_KINDS):
        raise HardenerError(f"--quantize knows {', '.join(_KINDS)}; got {quantize!r}.{did_you_mean(quantize, _KINDS)}")
    if layout not in (None, *_LAYOUTS):
        raise HardenerError(f"--layout knows {', '.join(_LAYOUTS)}; got {layout!r}.{did_you_mean(layout, _LAYOUTS)}")
    if quick and quantize is None:
        raise HardenerError("--quick is for --quantize int8.")
    run = find_run(target, runs)
    columns = (path_column, label_column, split_column)
    reading = asked_reading(ignore, class_depth, label_from, columns, images_root)
    note(f"exporting {run.path} …")
    from hardener.exporters.run import export as export_run

    shown = reporter()
    count = samples if samples is not None and quantize is None else 128
    bundle = export_run(run, shown, data=data, samples=count, reading=reading, skip_bad=skip_bad_images)
    _say_exported(run, bundle)
    speed = None
    if quantize is not None:
        from hardener.exporters.quantize import export_int8

        made = export_int8(
            run, bundle, shown, data=data, samples=samples, quick=quick, reading=reading, skip_bad=skip_bad_images
        )
        _say_quantized(run, made)
        speed = made.speed
    if layout is not None:
        from hardener.exporters.triton import REPOSITORY, SERVICE_FILE, write_triton

        names = write_triton([run.bundle] if quantize is None else [run.bundle, run.int8_bundle], run.triton)
        out.print(
            f"[bold]{literal(run.triton / REPOSITORY)}[/]: a model repository with {' and '.join(names)}; for KServe "
            f"{literal(run.triton / SERVICE_FILE)}",
            soft_wrap=True,
        )
    for older in left_behind(run):
        shown.warn(older)
    _say_next(run, speed)


def _say_next(run: RunFolder, speed: float | None) -> None:
    """Name what to serve; `speed` is how often int8 was as fast as float32, None where there is no int8."""
    slower = speed is not None and speed < 1
    if slower:
        reporter().warn(
            f"int8 is slower than float32 here: {speed:.1f} times as fast. Serve float32 on such a machine."
        )
    commands = {"next": run.path} if slower or speed is None else {}
    if speed is not None:
        commands["where int8 is faster, next" if slower else "next"] = run.int8_bundle
    for when, served in commands.items():
        out.print(f"{when}: {shlex.join(['hardener', 'serve', str(served)])}", markup=False, soft_wrap=True)


def _say_exported(run: RunFolder, bundle: Bundle) -> None:
    parity = bundle.parity
    out.print(
        f"[bold]{literal(run.bundle / bundle.model.file)}[/], {bundle.model.bytes / 1e6:.1f} MB, "
        f"opset {bundle.model.opset}",
        soft_wrap=True,
    )
    out.print(
        f"compared with the model on {parity.images} images: largest logit difference "
        f"{parity.largest_logit_difference:.2g} (tolerance {parity.tolerance:.2g}), same answer on "
        f"{percent(parity.argmax_agreement)}",
        soft_wrap=True,
    )


def _say_quantized(run: RunFolder, made: Quantized) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from hardener.evaluation.deployed import DRAWS, difference, share

    cost, comparison = made.bundle.quantization, made.comparison
    assert cost is not None, "an int8 bundle says what it cost"
    out.print(
        f"[bold]{literal(run.int8_bundle / made.bundle.model.file)}[/], {made.bundle.model.bytes / 1e6:.1f} MB; about "
        f"{made.speed:.1f} times as fast on this CPU (one thread, batches of 8)",
        soft_wrap=True,
    )
    table = Table("%", "n", "float32", "int8", "change", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    first, second = comparison.first, comparison.second
    table.add_row("same answer", str(cost.samples), "", _figure(share(comparison.agreeing)), "")
    for name, one, other in (
        ("clean", first.clean, second.clean),
        (f"robust, {comparison.threat}", first.robust, second.robust),
        (f"certified, l2 {comparison.certified_radius:g}", first.certified, second.certified),
    ):
        table.add_row(name, str(len(one)), _figure(share(one)), _figure(share(other)), _points(difference(one, other)))
    out.print(table)
    out.print(
        f"In brackets: 95 % intervals. Robust: the worst case over {', '.join(comparison.attacks)} and what fooled the "
        f"other file. Certified: smoothed with noise {comparison.noise_sigma:g}, at most {DRAWS} "
        "draws. Calibrated on "
        f"{cost.calibration_images} training images"
        + (f"; stayed float32: the last layer and {cost.float32_layers} others." if cost.float32_layers else "."),
        soft_wrap=True,
    )
    if cost.top1_agreement < 0.99:
        changed = percent(1 - cost.top1_agreement)
        reporter().warn(f"int8 answers differently on {changed} of the images. Where that counts, serve float32.")


def _figure(found: tuple[float, tuple[float, float]]) -> str:
    value, (low, high) = found
    return f"{100 * value:.1f} ({100 * low:.0f}–{100 * high:.0f})"


def _points(found: tuple[float, tuple[float, float]]) -> str:
    value, (low, high) = found
    return f"{100 * value:+.1f} ({100 * low:+.1f}, {100 * high:+.1f})"
