"""What the scenarios of faults.py share: rules, the memory of a server, good traffic."""

from __future__ import annotations

import argparse
import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hammer
from hammer import Load
from rich.console import Console
from server_process import Server, uss_bytes
from workload import bundles, multipart, post, upload

MIB = 1024 * 1024
GOOD = [post("/predict", multipart(upload()))]
GOOD_PER_S = 20.0


@dataclass(frozen=True)
class Rule:
    """Something that has to hold, and what was counted."""

    scenario: str
    what: str
    found: str
    holds: bool


@dataclass
class Suite:
    """The settings of a run, and what it found so far."""

    asked: argparse.Namespace
    console: Console
    rules: list[Rule] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=dict)
    scenario: str = ""

    def rule(self, what: str, found: object, holds: bool) -> None:
        """Note whether something holds."""
        self.rules.append(Rule(self.scenario, what, str(found), holds))
        mark = "[green]holds[/]" if holds else "[bold red]BROKEN[/]"
        self.console.print(f"  {mark}  {what}: ", end="")
        self.console.print(str(found), markup=False, highlight=False)

    def note(self, text: str) -> None:
        """Print something that no rule is about."""
        self.console.print(f"         {text}", markup=False, highlight=False)

    def bundle(self, name: str) -> Path:
        """Return a bundle, made where it is missing."""
        return bundles(self.asked.work, name)[name]

    def some(self, whole: float, quick: float) -> float:
        """Return the first, or the second of a quick run."""
        return quick if self.asked.quick else whole


class MemoryWatch:
    """Samples the memory of a server's processes while a scenario runs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.megabytes: list[float] = []

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            self.megabytes.append(self._server.uss_bytes() / MIB)


def good_traffic(suite: Suite, beside: hammer.Result, alone: hammer.Result) -> None:
    """Check that good requests beside bad ones were all answered, and note how fast."""
    statuses = beside.statuses()
    suite.rule("good traffic beside it is served", statuses, set(statuses) == {"200"})
    suite.note(
        f"its p50 and p99: {beside.ms(50):.0f} and {beside.ms(99):.0f} ms, "
        f"alone {alone.ms(50):.0f} and {alone.ms(99):.0f} ms" + (f"; {beside.unsent} not sent" if beside.unsent else "")
    )


def still_well(suite: Suite, server: Server) -> None:
    """Check that afterwards the server is ready, answers, and has written no traceback."""
    statuses = hammer.run(Load(server.port, GOOD, connections=2, seconds=30, count=20)).statuses()
    suite.rule("afterwards it answers", statuses, statuses == {"200": 20})
    traces = server.output().count("Traceback (most recent call last)")
    suite.rule("its log holds no traceback", traces, traces == 0)
    if traces:
        suite.note(server.output().partition("Traceback (most recent call last)")[2][-1500:])


def settled(suite: Suite, server: Server) -> float:
    """Return the workers' memory in MB after some good requests and a pause, so that no timer holds a request."""
    hammer.run(Load(server.port, GOOD, connections=8, seconds=30, count=200))
    time.sleep(suite.some(45, 5))
    return sum(map(uss_bytes, server.workers())) / MIB


def wait(done: Callable[[], bool], seconds: float) -> float | None:
    """Return after how many seconds it was done; None: it was not."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if done():
            return time.monotonic() - began
        time.sleep(0.1)
    return None


def fingerprint(server: Server) -> str:
    """Return the fingerprint of the model that is served; empty where nobody answers."""
    try:
        status, body = server.get("/model")
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    return str(json.loads(body)["fingerprint"]) if status == 200 else f"status {status}"
