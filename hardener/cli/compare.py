"""`hardener compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardener.cli.console import door, out
from hardener.cli.options import RUNS, Runs
from hardener.errors import HardenerError

if TYPE_CHECKING:
    from hardener.reports.comparison_record import Comparison


@door
def compare(
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Two runs or more; differences are to the first.", show_default=False),
    ] = None,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where compare.png and compare.html go.")] = Path(
        "compare"
    ),
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the comparison here as well.")
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Put evaluated runs side by side: a table with paired differences, a radar chart and a page.

    Runs are compared under each threat model under which all were evaluated on
    the same images; of each run its newest such evaluation counts. Differences
    are to the first run, image by image: Newcombe's paired 95 % interval (1998,
    method 10) and McNemar's exact test.
    """
    from hardener.config.files import check_writable, write_json
    from hardener.config.run_folder import find_run
    from hardener.reports.comparison import compare as compare_runs
    from hardener.reports.comparison_page import write_comparison

    if json_file is not None and not json_file.parent.is_dir():
        raise HardenerError(f"no such folder: {json_file.parent}, for --json {json_file}.")
    check_writable(to / "compare.html", *([] if json_file is None else [json_file]))
    comparison = compare_runs([find_run(target, runs) for target in targets or []])
    picture, page = write_comparison(comparison, to)
    if json_file is not None:
        write_json(json_file, comparison.model_dump(by_alias=True))
    show(comparison)
    out.print(f"written: {page} and {picture}", markup=False, soft_wrap=True)


def show(comparison: Comparison) -> None:
    """Print a comparison as one table, with what must not be missed below."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from hardener.reports.comparison_page import remarks, table_blocks

    threat = comparison.threats[0]
    table = Table(
        title=f"{len(comparison.runs)} runs on the same images of {threat.images}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("")
    for run in comparison.runs:
        table.add_column(Text(run.name), overflow="fold")
    for block in table_blocks(comparison):
        table.add_section()
        table.add_row(Text(block.title, style="bold"))
        for row in block.rows:
            style = "dim" if row.minor else ""
            label = Text(f"  {row.label}" if row.minor else row.label, style=style)
            table.add_row(label, *(Text(cell, style=style) for cell in row.cells))
    out.print(table)
    for note in comparison.notes:
        out.print(Text.assemble(("note: ", "yellow"), note), soft_wrap=True)
    for remark in remarks(comparison):
        out.print(Text(remark, style="dim"), soft_wrap=True)
