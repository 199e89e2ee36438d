"""`hardener convert`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from hardener.cli.console import door, literal, note, out, reporter, stoppable
from hardener.cli.options import ImagesRoot
from hardener.words import in_list


@door
@stoppable
def convert(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="COCO, Pascal VOC, YOLO, TFRecord, LMDB, HDF5, …")],
    target: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder, for class folders.")],
    images_root: ImagesRoot = None,
) -> None:
    """Write a data set that is not read as it is into class folders; of boxes, what lies in them."""
    note(f"converting {source} …")
    from hardener.data.conversions.run import convert as work

    counts = work(source, target, images_root, reporter())
    few = ", ".join(f"{in_list(name)} {count:,}" for name, count in counts.most_common(5))
    more = f", … {len(counts) - 5} more" if len(counts) > 5 else ""
    out.print(f"[bold]{literal(target)}[/]: {counts.total():,} images of {len(counts)} classes", soft_wrap=True)
    out.print(few + more, markup=False, soft_wrap=True)
    out.print(f"next: hardener inspect {shlex.quote(str(target))}", markup=False, soft_wrap=True)
