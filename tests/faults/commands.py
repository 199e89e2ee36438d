"""Commands in processes of their own, which real signals stop and real disks fail; nothing is imported twice for them.

A server imports the heavy parts once, and each command is a child that it forks.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any

PRELOADED = [
    "hardener.cli.app", "hardener.training.ablate", "hardener.exporters.run", "hardener.evaluation.run",
    "hardener.training.surrogate", "matplotlib.figure", "torch.utils.tensorboard", "torch._dynamo",
    "onnx", "onnxscript", "onnxruntime", "torch.onnx", "torch.export",
]  # fmt: skip

EVAL = ("--attack", "pgd", "--attack", "bim", "--samples", "4", "--precision", "float32", "--device", "cpu")
QUICK = (
    "--epochs", "2", "--batch-size", "8", "--device", "cpu",
    "--set", "validation.steps=1", "--set", "validation.samples=4",
)  # fmt: skip


@dataclass(frozen=True)
class Before:
    """What is done in the command's process before a function of hardener's is called for the nth time.

    Attributes:
        name: such as `hardener.evaluation.run:_audit`, or with a class `module:Class.method`.
        action: `signal NAME`, `wait FILE` until that file is gone, or `fill FILE` until its disk is full.
    """

    name: str
    action: str
    nth: int = 1


@dataclass
class Command:
    """A command under way."""

    process: ForkServerProcess
    folder: Path

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return (self.folder / "out").read_text(encoding="utf-8", errors="replace")

    @property
    def err(self) -> str:
        """What it has said on stderr so far."""
        return (self.folder / "err").read_text(encoding="utf-8", errors="replace")

    def ended(self) -> int:
        """Wait for its end and return its exit code; negative: the signal that killed it."""
        self.process.join()
        assert self.process.exitcode is not None
        assert "Traceback" not in self.err, self.err
        return self.process.exitcode


@dataclass
class Shell:
    """Starts commands."""

    folder: Path
    context: ForkServerContext = field(default_factory=lambda: multiprocessing.get_context("forkserver"))
    count: int = 0

    def __post_init__(self) -> None:
        self.context.set_forkserver_preload(PRELOADED)

    def start(
        self,
        *words: object,
        before: Before | None = None,
        user: int | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Command:
        """Start `hardener WORDS`."""
        self.count += 1
        own = self.folder / f"command-{self.count}"
        own.mkdir(parents=True)
        process = self.context.Process(target=_command, args=([*map(str, words)], own, before, user, dict(environment)))
        process.start()
        return Command(process, own)

    def run(self, *words: object, **settings: Any) -> Command:
        """Run `hardener WORDS` to its end; the settings are those of `start`."""
        command = self.start(*words, **settings)
        command.process.join()
        return command


def wait_for(what: Callable[[], bool], command: Command) -> None:
    """Wait until something holds, as long as the command lives."""
    while not what():
        assert command.process.exitcode is None, command.err
        time.sleep(0.01)


def _command(
    words: list[str], folder: Path, before: Before | None, user: int | None, environment: dict[str, str]
) -> None:
    os.environ.update(environment)
    for number, name in ((1, "out"), (2, "err")):
        opened = os.open(folder / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(opened, number)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if before is not None:
        _put_before(before)
    if user is not None:
        os.setgid(user)
        os.setuid(user)
    from hardener.__main__ import main

    sys.argv = ["hardener", *words]
    main()


def _put_before(before: Before) -> None:
    module, _, path = before.name.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for inner in owners:
        owner = getattr(owner, inner)
    call, left = getattr(owner, name), before.nth

    def replaced(*args: Any, **settings: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            _act(*before.action.split(" ", 1))
        return call(*args, **settings)

    setattr(owner, name, replaced)


def _act(what: str, operand: str) -> None:
    if what == "signal":
        os.kill(os.getpid(), getattr(signal, operand))
        return
    place = Path(operand)
    if what == "wait":
        place.write_text("waiting")
        while place.exists():
            time.sleep(0.01)
        return
    with place.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024))
        except OSError:
            pass
