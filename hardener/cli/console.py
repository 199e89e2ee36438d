"""What the terminal shows, and the one door through which errors leave."""

from __future__ import annotations

import errno
import functools
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.markup import escape
from rich.text import Text

from hardener.cli.retyped import retyped
from hardener.errors import HardenerError, Told
from hardener.terminal import RichReporter, err, log, logs_json, note, out, reporter
from hardener.words import percent

__all__ = [
    "RichReporter",
    "debugging",
    "door",
    "err",
    "note",
    "out",
    "percent",
    "reporter",
    "silence_libraries",
    "stoppable",
]

_ending = threading.Event()  # an error is being told: a signal must not cut its words short
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MADE_IN_OUT = {"train", "ablate", "dossier"}  # to other commands --out is where runs are found
_OF_FILES = PermissionError | FileNotFoundError | IsADirectoryError | NotADirectoryError
P = ParamSpec("P")
R = TypeVar("R")


def door(command: Callable[P, R]) -> Callable[P, R]:
    """Turn every error of a command into one line and an exit code; a traceback comes only with --debug."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        _ending.clear()
        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt:
            _say("stopped", "interrupted")
            raise typer.Exit(130) from None
        except HardenerError as error:
            _ending.set()
            if isinstance(error, Told):
                if debugging():
                    err.print(traceback.format_exc(), markup=False)
            elif error.exit_code == 130:
                _say("stopped", str(error))
            else:
                _say("error", f"{error}{_followed(error.options)}")
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # whoever read the output has gone, as `| head` does
            raise
        except OSError as error:
            if error.errno in _NO_SPACE:
                where = f" for {error.filename}" if error.filename else ""
                other = ", or choose another place with --out" if command.__name__ in _MADE_IN_OUT else ""
                _say("error", f"no space left on the disk{where}. Free some{other}.")
                raise typer.Exit(2) from None
            if error.errno == errno.ENAMETOOLONG:
                name = os.path.basename(os.fsdecode(error.filename or ""))
                _say("error", f"a name is too long for the file system ({len(name):,} characters): {name[:60]}…")
                raise typer.Exit(2) from None
            _unexpected(error)
        except Exception as error:
            _unexpected(error)

    return guarded


def stoppable(command: Callable[P, R]) -> Callable[P, R]:
    """Let SIGTERM, and the end of the terminal, stop a command as Ctrl-C does; once, so that it can put away."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        before: dict[int, Any] = {}

        def stop(number: int, _: FrameType | None) -> None:
            if _ending.is_set():
                return
            for each in before:
                signal.signal(each, signal.SIG_IGN)
            raise KeyboardInterrupt

        if threading.current_thread() is threading.main_thread():
            for number in (int(signal.SIGTERM), int(signal.SIGHUP)):
                if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves it
                    before[number] = signal.signal(number, stop)
        try:
            return command(*args, **kwargs)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return guarded


def silence_libraries() -> None:
    """Keep from the user what libraries say to programmers; with --debug, or where PYTHONWARNINGS asks, it is shown."""
    if debugging() or "--debug" in sys.argv:
        return
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # without one, Python prints warnings of loggers on stderr
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")


def literal(value: object) -> str:
    """Return a name or a path so that what looks like markup in it is printed as it stands."""
    return escape(str(value))


def _unexpected(error: Exception) -> NoReturn:
    from hardener.models.code.user_code import explained

    told = explained(error)
    if told is not None:
        _say("error", str(told))
        raise typer.Exit(told.exit_code) from None
    if isinstance(error, _OF_FILES) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        _say("error", f"{error.strerror}: {error.filename}.")
        raise typer.Exit(2) from None
    if type(error).__name__ == "OutOfMemoryError":
        _say("error", "the device ran out of memory. Lower it with --batch-size.")
    else:
        hint = "" if debugging() else " This should not happen; --debug shows where it came from."
        _say("error", f"{type(error).__name__}: {error}.{hint}")
    raise typer.Exit(1) from None


def _followed(options: str) -> str:
    """Return the whole command that follows an error's advice, on a line of its own."""
    command = retyped(options) if options else ""
    return f"\nType:\n  {command}" if command else ""


def debugging() -> bool:
    """Say whether --debug was given."""
    return os.environ.get("HARDENER_DEBUG", "") not in {"", "0"}


def _say(kind: str, text: str) -> None:
    if debugging():
        err.print(traceback.format_exc(), markup=False)
    if logs_json():
        log({"error": "error", "stopped": "warning"}[kind], message=text)
        return
    style = {"error": "bold red", "stopped": "bold yellow"}[kind]
    err.print(Text.assemble((f"{kind}: ", style), text), soft_wrap=True)
