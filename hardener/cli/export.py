"""`hardener export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hardener.cli.console import RichReporter, door, err, out, percent
from hardener.cli.options import RUNS, Runs


@door
def export(
    target: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run. (default: the newest)", show_default=False)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Images to compare on. (default: the run's own)")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="How many images to compare on.")] = 128,
    runs: Runs = RUNS,
) -> None:
    """Export a run to ONNX, compare the file with the model on real images, and write the bundle."""
    from hardener.config.run_folder import find_run

    run = find_run(target, runs)
    err.print(f"[dim]exporting {run.path} …[/]", soft_wrap=True)
    from hardener.export.run import export as export_run

    bundle = export_run(run, RichReporter(), data=data, samples=samples)
    parity = bundle.parity
    out.print(
        f"[bold]{run.bundle / bundle.model.file}[/], {bundle.model.bytes / 1e6:.1f} MB, opset {bundle.model.opset}",
        soft_wrap=True,
    )
    out.print(
        f"compared with the model on {parity.images} images: largest logit difference "
        f"{parity.largest_logit_difference:.2g} (tolerance {parity.tolerance:.2g}), same answer on "
        f"{percent(parity.argmax_agreement)}",
        soft_wrap=True,
    )
    out.print(f"next: hardener serve {run.path}", soft_wrap=True)
