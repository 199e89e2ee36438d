"""What the terminal shows, and the one door through which errors leave."""

from __future__ import annotations

import errno
import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from hardener.errors import HardenerError, Told

if TYPE_CHECKING:
    from hardener.training.metrics import EpochMetrics, TrainReporter

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
PROGRESS_EVERY_S = 10.0
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
P = ParamSpec("P")
R = TypeVar("R")


def door(command: Callable[P, R]) -> Callable[P, R]:
    """Turn every error of a command into one line and an exit code; a traceback comes only with --debug."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            _say("stopped", "interrupted")
            raise typer.Exit(130) from None
        except HardenerError as error:
            if isinstance(error, Told):
                if debugging():
                    err.print(traceback.format_exc(), markup=False)
            elif error.exit_code == 130:
                _say("stopped", str(error))
            else:
                _say("error", str(error))
            raise typer.Exit(error.exit_code) from None
        except OSError as error:
            if error.errno in _NO_SPACE:
                where = f" for {error.filename}" if error.filename else ""
                _say(
                    "error",
                    f"no space left on the disk{where}. Free some, or choose another place with --out.",
                )
                raise typer.Exit(2) from None
            if isinstance(error, PermissionError | FileNotFoundError | IsADirectoryError | NotADirectoryError):
                _say("error", f"{error.strerror}: {error.filename}.")
                raise typer.Exit(2) from None
            _unexpected(error)
        except Exception as error:
            _unexpected(error)

    return guarded


def _unexpected(error: Exception) -> NoReturn:
    if type(error).__name__ == "OutOfMemoryError":
        _say("error", "the device ran out of memory. Lower it with --batch-size.")
    else:
        hint = "" if debugging() else " This should not happen; --debug shows where it came from."
        _say("error", f"{type(error).__name__}: {error}.{hint}")
    raise typer.Exit(1) from None


def debugging() -> bool:
    """Say whether --debug was given."""
    return os.environ.get("HARDENER_DEBUG", "") not in {"", "0"}


def _say(kind: str, text: str) -> None:
    if debugging():
        err.print(traceback.format_exc(), markup=False)
    if logs_json():
        _log({"error": "error", "stopped": "warning"}[kind], message=text)
        return
    style = {"error": "bold red", "stopped": "bold yellow"}[kind]
    err.print(Text.assemble((f"{kind}: ", style), text), soft_wrap=True)


def logs_json() -> bool:
    """Say whether --log-format json was given: what else is text on stderr is then one JSON object a line."""
    return os.environ.get("HARDENER_LOG_FORMAT", "") == "json"


def _quiet() -> bool:
    return os.environ.get("HARDENER_QUIET", "") not in {"", "0"}


def _log(level: str, **fields: object) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(json.dumps({"time": stamp, "level": level, **fields}), file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Say what is being done, on stderr; not with --quiet."""
    reporter().say(text)


def reporter() -> TrainReporter:
    """Return what shows progress: rich on a terminal, JSON lines with --log-format json, warnings alone if quiet."""
    if logs_json():
        return _JsonReporter(quiet=_quiet())
    return _Quiet() if _quiet() else RichReporter()


class RichReporter:
    """Shows progress with rich on stderr: bars on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self._console = err

    def say(self, text: str) -> None:
        """Print a fact."""
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a fact that must not be missed."""
        self._console.print(Text.assemble(("warning: ", "yellow"), text), soft_wrap=True)

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Show a bar with rate and time left."""
        return self._bar(what, total, unit)

    @contextmanager
    def _bar(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            _Rate(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(
            *columns,
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            speed_estimate_period=600,  # an epoch's pause for validation must not look like a crawl
        ) as progress:
            task = progress.add_task(what, total=total)
            yield lambda done: progress.advance(task, done)

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Print an epoch's line."""
        clean, robust = percent(metrics.clean_accuracy), percent(metrics.robust_accuracy)
        self._console.print(
            f"epoch {metrics.epoch:>3}/{epochs}  loss {metrics.loss:6.3f}  "
            f"[cyan]clean {clean:>7}[/]  [magenta]quick robust {robust:>7}[/]  "
            f"target mass {metrics.target_mass:.3f}  {metrics.images_per_s:>7,.0f} images/s  {metrics.seconds:5.1f} s"
            + (f"  [yellow]{100 * metrics.waiting:.0f} % waiting for images[/]" if metrics.waiting > 0.05 else "")
            + ("  [green]best[/]" if is_best else "")
            + ("  [red]taken back[/]" if metrics.rolled_back else ""),
            soft_wrap=True,
        )


class _Quiet(RichReporter):
    """Shows warnings alone."""

    def say(self, text: str) -> None:
        """Drop the text."""

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Count nothing."""
        return nullcontext(lambda done: None)

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Show nothing."""


class _JsonReporter:
    """Writes a JSON object a line on stderr, for machines that collect logs."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Log a fact."""
        if not self._quiet:
            _log("info", message=text)

    def warn(self, text: str) -> None:
        """Log a fact that must not be missed."""
        _log("warning", message=text)

    @contextmanager
    def track(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Log how far the work is, at most every ten seconds, and its end."""
        done, told = 0, time.monotonic()

        def advance(more: int) -> None:
            nonlocal done, told
            done += more
            if time.monotonic() - told > PROGRESS_EVERY_S:
                told = time.monotonic()
                self._progress(what, done, total, unit)

        yield advance
        self._progress(what, done, total, unit)

    def _progress(self, what: str, done: int, total: int, unit: str) -> None:
        if not self._quiet:
            _log("info", event="progress", what=what, done=done, total=total, unit=unit)

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Log an epoch."""
        if not self._quiet:
            _log("info", event="epoch", epochs=epochs, best=is_best, **vars(metrics))


class _Rate(ProgressColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Show the rate once it is known."""
        return Text("" if task.speed is None else f"{task.speed:,.0f} {self._unit}/s", style="dim")


def percent(share: float) -> str:
    """Write a fraction as people read it."""
    return f"{100 * share:.1f} %"
