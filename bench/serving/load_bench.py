"""What the rows of load.py share: the settings of a run, its figures, and what they are shown with."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import raw
import wrk
from rich.console import Console
from rich.table import Table
from server_process import Server, hardener_serve
from workload import BOUNDARY, bundles, multipart, upload

FORM = f"multipart/form-data; boundary={BOUNDARY}"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, and what was to be reached."""

    row: str
    what: str
    value: float
    unit: str
    goal: str = ""
    reached: bool | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass
class Bench:
    """The settings of a run, and what it found so far."""

    asked: argparse.Namespace
    console: Console
    figures: list[Figure] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long one load lasts."""
        return float(self.asked.seconds)

    @property
    def rounds(self) -> range:
        """The turns."""
        return range(self.asked.rounds)

    @property
    def generator_cores(self) -> str | None:
        """Where the load comes from: a client has its own machine, where a row's figure would count its work too."""
        return self.asked.generator_cores or self.cores

    @property
    def cores(self) -> str | None:
        """What taskset takes."""
        return self.asked.cores  # type: ignore[no-any-return]

    @property
    def lanes(self) -> int:
        """How many cores the server has, and so lanes."""
        return _count(self.cores)

    @property
    def path(self) -> str:
        """Where the load goes: the peers answer with five classes, so ours is asked for five as well."""
        return f"/predict?{self.asked.query}" if self.asked.query else "/predict"

    def bundle(self, name: str) -> Path:
        """Return a bundle by name: one of the user's, or made here."""
        given = {"float32": self.asked.float32, "int8": self.asked.int8}.get(name)
        return Path(given).resolve() if given else bundles(self.asked.work, name)[name]

    def image(self) -> Path:
        """Return the file that is uploaded."""
        path: Path = self.asked.work / "upload.jpg"
        path.write_bytes(upload())
        return path

    def serve(self, name: str, **options: Any) -> contextlib.AbstractContextManager[Server]:
        """Serve a bundle."""
        environment = options.pop("environment", {})
        if self.asked.workers:
            environment |= {"HARDENER_WORKERS": str(self.asked.workers)}
        return hardener_serve(self.bundle(name), cores=self.cores, environment=environment, **options)

    def floor(self, name: str, **options: Any) -> raw.Floor:
        """Run the bare loop on a bundle's model."""
        settings = {"seconds": self.seconds, "cores": self.cores, "processes": self.asked.raw == "processes"} | options
        return raw.floor(self.bundle(name) / "model.onnx", self.image(), **settings)

    def load(
        self, server: Server, clients: int, *, path: str = "", field: str = "image", seconds: float = 0
    ) -> wrk.Rate:
        """Send the upload from some clients."""
        rate = wrk.closed_loop(
            server.port,
            path or self.path,
            multipart(upload(), field=field),
            content_type=FORM,
            clients=clients,
            seconds=seconds or self.seconds,
            own=self.asked.generator == "own",
            cores=self.cores,
        )
        if rate.failed:
            raise RuntimeError(f"{rate.failed} of {rate.requests} requests were not answered well\n{server.output()}")
        return rate

    def add(self, row: str, what: str, value: float, unit: str, goal: str = "", **detail: Any) -> None:
        """Note a figure; `goal` begins with >= or <= and a number, or is empty."""
        reached = None
        if goal:
            sign, number = goal.split()[:2]
            reached = value >= float(number) if sign == ">=" else value <= float(number)
        self.figures.append(Figure(row, what, value, unit, goal, reached, detail))
        mark = {None: "", True: "  reached", False: "  NOT reached"}[reached]
        self.console.print(f"  {what}: {value:.4g} {unit} {goal}{mark}", highlight=False)


def _count(cores: str | None) -> int:
    """How many cores `taskset -c` would take."""
    if cores is None:
        return len(os.sched_getaffinity(0))
    spans = [part.partition("-") for part in cores.split(",")]
    return sum(int(last or first) - int(first) + 1 for first, _, last in spans)


def machine(asked: argparse.Namespace) -> dict[str, Any]:
    """Say where and how this was measured."""
    from importlib.metadata import PackageNotFoundError, version

    def found(name: str) -> str | None:
        with contextlib.suppress(PackageNotFoundError):
            return version(name)
        return None

    info = Path("/proc/cpuinfo").read_text().splitlines()
    names = ("onnxruntime", "onnxruntime-gpu", "bentoml", "starlette", "uvicorn", "uvloop", "httptools", "pillow")
    return {
        "processor": next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), ""),
        "cores": len(os.sched_getaffinity(0)),
        "used_cores": asked.cores or "all",
        "generator_cores": asked.generator_cores or asked.cores or "all",
        "load_before": os.getloadavg(),
        "python": platform.python_version(),
        "versions": {name: number for name in names if (number := found(name))},
        "generator": "wrk" if wrk.available() and asked.generator == "wrk" else "own",
        "rounds": asked.rounds,
        "seconds": asked.seconds,
        "query": asked.query,
    }


def show(console: Console, figures: Sequence[Figure]) -> None:
    """Print the table."""
    table = Table("row", "what", "figure", "to reach", "")
    for item in figures:
        mark = {None: "", True: "yes", False: "NO"}[item.reached]
        table.add_row(item.row, item.what, f"{item.value:.3g} {item.unit}".strip(), item.goal, mark)
    console.print(table)
