"""What people see of work: on a terminal bars and lines, for machines JSON; used by the command line and the door."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.control import Control
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from hardener.words import odd_letter, one_line, percent, readable

if TYPE_CHECKING:
    from hardener.progress import EpochMetrics, TrainReporter

PROGRESS_EVERY_S = 10.0
LINE_EVERY_S = 30.0
_COMMAND = re.compile(r"`[^`]*hardener [^`]*`")
NARROW = 60  # columns below which a bar has no room


class _Readable(RenderHook):
    """Lets names of files and classes say nothing to a terminal: what is no text is shown as `\\x1b` and the like."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Hear of all that is printed."""
        return [item if isinstance(item, Control) else _Shown(item) for item in renderables]


@dataclass(frozen=True)
class _Shown:
    what: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.what, options):
            if segment.control or odd_letter(segment.text) is None:
                yield segment
            else:
                yield Segment(readable(segment.text), segment.style)


class _Folding(Console):
    """Prints a table that does not fit a narrow terminal as a list, and breaks lines there between words.

    A terminal that has gone ends no work.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(emoji=False, **settings)
        self.push_render_hook(_Readable())

    def print(self, *objects: Any, **settings: Any) -> None:
        """Print as rich does."""
        if len(objects) == 1 and isinstance(objects[0], Table) and self._is_too_wide(objects[0]):
            for line in _lines_of(objects[0]):
                self.print(line, soft_wrap=True)
            return
        if settings.get("soft_wrap") and self.is_terminal and self.width < NARROW:
            parts = _apart(objects)
            if len(parts) > 1:
                for part in parts:
                    self.print(part, **settings)
                return
            if not _is_typed(objects):
                del settings["soft_wrap"]  # lines that break inside words cannot be read
        with suppress(OSError) if self.stderr else nullcontext():
            super().print(*objects, **settings)

    def on_broken_pipe(self) -> None:
        """Fall silent where stderr has no reader any more; without one for stdout, end as rich does."""
        if not self.stderr:
            super().on_broken_pipe()
        self.quiet = True

    def _is_too_wide(self, table: Table) -> bool:
        return self.measure(table).minimum > self.width or (self.width < NARROW and len(table.columns) > 1)


def _is_typed(objects: Sequence[Any]) -> bool:
    """Tell whether a line holds a command, which is copied from the terminal as it stands."""
    return any("hardener " in str(found) for found in objects)


def _apart(objects: Sequence[Any]) -> list[Text]:
    """Return sentences and the commands between backticks in them, each for a line of its own."""
    if len(objects) != 1 or not isinstance(objects[0], Text):
        return []
    spans = [place for match in _COMMAND.finditer(objects[0].plain) for place in match.span()]
    parts = []
    for part in objects[0].divide(spans):
        begin = len(part.plain) - len(part.plain.lstrip("` .;,"))
        end = len(part.plain.rstrip("` "))
        parts += [part[begin:end]] if begin < end else []
    return parts


def _lines_of(table: Table) -> Iterator[RenderableType]:
    if table.title:
        yield table.title
    for row in zip(*(column.cells for column in table.columns), strict=True):
        first, *others = row
        yield first
        for column, cell in zip(table.columns[1:], others, strict=True):
            if not isinstance(cell, str | Text):
                yield cell
            elif cell:
                heading = (f"{column.header}: ", "dim") if column.header else ""
                yield Text.assemble("  ", heading, Text.from_markup(cell) if isinstance(cell, str) else cell)
    if table.caption:
        yield table.caption


out = _Folding(highlight=False)
err = _Folding(stderr=True, highlight=False)


def logs_json() -> bool:
    """Say whether --log-format json was given: what else is text on stderr is then one JSON object a line."""
    return os.environ.get("HARDENER_LOG_FORMAT", "") == "json"


def _quiet() -> bool:
    return os.environ.get("HARDENER_QUIET", "") not in {"", "0"}


def log(level: str, **fields: object) -> None:
    """Write one JSON object on stderr, with the time."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with suppress(OSError):  # whoever collected the logs has gone
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
    """Shows progress with rich on stderr: bars on a terminal; elsewhere lines, some of how far it is."""

    def __init__(self) -> None:
        self._console = err

    def say(self, text: str) -> None:
        """Print a fact."""
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a fact that must not be missed."""
        self._console.print(Text.assemble(("warning: ", "yellow"), text), soft_wrap=True)

    def show(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Print facts as a small table, or where no terminal wraps them as lines."""
        if not self._console.is_terminal:
            for name, text in [(title, ""), *rows]:
                self._console.print(Text(f"{name:<11} {text}".rstrip()), soft_wrap=True)
            return
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in rows:
            table.add_row(Text(name), Text(text))
        self._console.print(table)

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        """Show a bar with rate and time left, or write them in a line now and then."""
        return self._bar(what, total, unit) if self._console.is_terminal else self._lines(what, total, unit)

    @contextmanager
    def _lines(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        done, began = 0, time.monotonic()

        def advance(more: int) -> None:
            nonlocal done
            done += more

        def tell() -> None:
            took = time.monotonic() - began
            left = f", about {_duration(took * (total - done) / done)} left" if 0 < done < total else ""
            whole = f" of {total:,}" if total else ""
            self.say(f"{what}: {done:,}{whole} {unit} after {_duration(took)}{left}")

        with _every(LINE_EVERY_S, tell):
            yield advance

    @contextmanager
    def _bar(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        columns: tuple[ProgressColumn, ...] = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            _Rate(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        if not total:
            columns = (columns[0], TextColumn(f"{{task.completed:,.0f}} {one_line(unit)}"), TimeElapsedColumn())
        elif self._console.width < NARROW:
            columns = (columns[2], columns[-1])
        with Progress(
            *columns,
            console=self._console,
            transient=True,
            speed_estimate_period=600,  # an epoch's pause for validation must not look like a crawl
        ) as progress:
            task = progress.add_task(one_line(what), total=total or None)
            yield lambda done: progress.advance(task, done)

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Print an epoch's line."""
        clean, robust = percent(metrics.clean_accuracy), percent(metrics.robust_accuracy)
        self._console.print(
            f"epoch {metrics.epoch:>3}/{epochs}  loss {metrics.loss:6.3f}  "
            f"[cyan]clean {clean:>7}[/]  "
            + ("" if metrics.balanced_accuracy is None else f"balanced {percent(metrics.balanced_accuracy):>7}  ")
            + f"[magenta]quick robust {robust:>7}[/]  "
            + ("" if metrics.eps is None else f"eps {metrics.eps:.4f}  ")
            + f"target mass {metrics.target_mass:.3f}  {metrics.images_per_s:>7,.0f} images/s  {metrics.seconds:5.1f} s"
            + (f"  [yellow]{100 * metrics.waiting:.0f} % waiting for images[/]" if metrics.waiting > 0.05 else "")
            + ("  [green]best[/]" if is_best else "")
            + ("  [red]taken back[/]" if metrics.rolled_back else ""),
            soft_wrap=True,
        )


class _Quiet(RichReporter):
    """Shows warnings alone."""

    def say(self, text: str) -> None:
        """Drop the text."""

    def show(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Drop the facts."""

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
            log("info", message=text)

    def warn(self, text: str) -> None:
        """Log a fact that must not be missed."""
        log("warning", message=text)

    def show(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Log facts."""
        if not self._quiet:
            log("info", event=title, facts=[{"name": name, "value": text} for name, text in rows])

    @contextmanager
    def track(self, what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        """Log how far the work is, every ten seconds, and its end."""
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more

        with _every(PROGRESS_EVERY_S, lambda: self._progress(what, done, total, unit)):
            yield advance
        self._progress(what, done, total, unit)

    def _progress(self, what: str, done: int, total: int, unit: str) -> None:
        if not self._quiet:
            log("info", event="progress", what=what, done=done, total=total, unit=unit)

    def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
        """Log an epoch."""
        if not self._quiet:
            log("info", event="epoch", epochs=epochs, best=is_best, **vars(metrics))


@contextmanager
def _every(seconds: float, tell: Callable[[], None]) -> Iterator[None]:
    """Call `tell` again and again while the block runs, also where it says nothing itself."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(seconds):
            tell()

    thread = threading.Thread(target=work, daemon=True, name="progress")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class _Rate(ProgressColumn):
    """Units a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Show the rate once it is known."""
        return Text("" if task.speed is None else f"{task.speed:,.0f} {self._unit}/s", style="dim")
