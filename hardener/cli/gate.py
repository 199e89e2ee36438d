"""`hardener gate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hardener.cli.console import door, literal, out
from hardener.cli.options import RUNS, Runs
from hardener.errors import HardenerError

if TYPE_CHECKING:
    from hardener.reports.gate import Judgement


@door
def gate(
    target: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="A run. (default: the newest)", show_default=False)
    ] = None,
    minimum: Annotated[
        list[str] | None,
        typer.Option("--min", metavar="MEASURE=SHARE", help="At least this, such as linf-8/255=0.40; repeatable."),
    ] = None,
    max_drop: Annotated[
        list[str] | None,
        typer.Option("--max-drop", metavar="MEASURE=SHARE", help="Lost at most this since --against; repeatable."),
    ] = None,
    requirements: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Conditions in YAML. (default: RUN/requirements.yaml, if it is there and none are given)",
        ),
    ] = None,
    against: Annotated[str | None, typer.Option(metavar="RUN", help="The run that --max-drop compares with.")] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the outcome as JUnit XML.")] = None,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it as Markdown; added at the end of $GITHUB_STEP_SUMMARY if that."),
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Let a run pass, exit code 0, or not, exit code 1; 2 for a mistake, such as an evaluation still to be made.

    MEASURE is clean, NORM-EPS, mean-NORM-EPS (the mean over all eps up to that
    one), a threat without a norm (spatial), balanced, balanced-NORM-EPS or
    balanced-THREAT (the mean over classes, where these are uneven), corruptions
    (mean accuracy) or certified-RADIUS. The newest evaluation that has it
    counts, if it is of the weights that the run has now. The images that the run
    held out come before other data, which is named where it counts.

    Luck lets nothing pass. --min needs the LOWER end of the 95 % interval: the
    exact one, or Hoeffding's for means. --max-drop needs the UPPER end of
    the 95 % interval of the drop: Newcombe's paired one (1998, method 10) for
    clean and robust accuracy where both runs were evaluated on the same images;
    else, conservatively, the upper end of the other run's 97.5 % interval minus
    the lower end of this run's.

    A robust accuracy whose verdict is inconclusive meets no condition, nor does
    any figure of images that the run has seen in training.
    """
    from hardener.config.files import check_writable
    from hardener.config.run_folder import find_run
    from hardener.reports.condition import conditions_in, parse_condition
    from hardener.reports.gate import judge
    from hardener.reports.gate_files import write_junit, write_summary

    conditions = [parse_condition("min", text) for text in minimum or []]
    conditions += [parse_condition("max-drop", text) for text in max_drop or []]
    run = find_run(target, runs)
    if requirements is None and not conditions and run.requirements.is_file():
        requirements = run.requirements
    conditions += [] if requirements is None else conditions_in(requirements)
    for option, file in (("--junit", junit), ("--summary", summary)):
        if file is not None and not file.parent.is_dir():
            raise HardenerError(f"no such folder: {file.parent}, for {option} {file}.")
        if file is not None:
            check_writable(file)
    judgement = judge(run, conditions, None if against is None else find_run(against, runs))
    if junit is not None:
        write_junit(judgement, junit)
    if summary is not None:
        write_summary(judgement, summary)
    show(judgement)
    if judgement.failed:
        raise typer.Exit(1)


def show(judgement: Judgement) -> None:
    """Print a line for each condition, what must not be missed, and whether the run passes."""
    for outcome in judgement.outcomes:
        style, word = ("green", "holds") if outcome.passed else ("bold red", "failed")
        out.print(f"[{style}]{word:<6}[/] {literal(f'{outcome.condition}: {outcome.line}')}", soft_wrap=True)
    for note in judgement.notes:
        out.print(f"[yellow]note:[/] {literal(note)}", soft_wrap=True)
    failed, total = len(judgement.failed), len(judgement.outcomes)
    said = f"passes: {'the condition holds' if total == 1 else f'all {total} conditions hold'}"
    if failed:
        said = f"does not pass: {failed} of {total} conditions failed"
    out.print(f"gate: {judgement.run} {said}", markup=False, soft_wrap=True)
