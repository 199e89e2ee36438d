"""Start a server as its users do, look at its processes, and end every one of them. Linux alone: it reads /proc."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Server:
    """A started server: its processes, what they use, and what they said."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.start_s = 0.0  # from the command to the first 200 of the ready path
        self._seen: dict[int, str] = {}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def pids(self) -> list[int]:
        """Return the command's process and all its living descendants."""
        children: dict[int, list[int]] = {}
        for pid, fields in _every_stat():
            children.setdefault(int(fields[1]), []).append(pid)
        found, left = [], [self.process.pid]
        while left:
            pid = left.pop()
            found.append(pid)
            left += children.get(pid, [])
        living = [pid for pid in found if _stat(pid) is not None]
        self._seen |= {pid: _born(pid) for pid in living}
        return living

    def workers(self) -> list[int]:
        """Return the processes that answer requests: those without children that hold the most memory."""
        sizes = {pid: uss_bytes(pid) for pid in self.pids() if pid != self.process.pid}
        most = max(sizes.values(), default=0)
        return sorted(pid for pid, size in sizes.items() if size > most / 2)

    def cpu_s(self) -> float:
        """Return the processor seconds of all its living processes so far."""
        stats = [_stat(pid) for pid in self.pids()]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats if fields is not None) / _TICKS_A_SECOND

    def uss_bytes(self) -> int:
        """Return the memory that would be free again if it ended: the sum over its processes."""
        return sum(uss_bytes(pid) for pid in self.pids())

    def output(self) -> str:
        """Return what it wrote so far."""
        return self.log.read_text(errors="replace")

    def get(self, path: str, timeout_s: float = 5.0) -> tuple[int, bytes]:
        """Send one GET on a connection of its own.

        Raises:
            OSError, http.client.HTTPException: no answer.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait_until_ready(self, path: str = "/readyz", timeout_s: float = 60.0) -> None:
        """Return once `path` answers 200.

        Raises:
            RuntimeError: it ended, or is not ready in time; with what it said.
        """
        end = time.monotonic() + timeout_s
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get(path)[0] == 200:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"the server is not ready; exit code {self.process.poll()}\n{self.output()[-3000:]}")

    def stop(self, timeout_s: float = 20.0) -> float:
        """End it by SIGTERM, and what is left of it by SIGKILL; return the seconds that it took."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.pids()
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout_s)
        took = time.monotonic() - started
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid, born in self._seen.items():
            if _born(pid) == born:  # it outlived the supervisor; a number given anew is another's
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return took


@contextlib.contextmanager
def serving(
    command: Sequence[str],
    *,
    port: int,
    environment: dict[str, str] | None = None,
    cores: str | None = None,
    ready: str | None = "/readyz",
    cwd: Path = ROOT,
) -> Iterator[Server]:
    """Start a command that serves on `port`, wait until it is ready, and end it afterwards, whatever happens.

    Args:
        cores: what `taskset -c` takes; None leaves it free.
        ready: the path that answers 200 then; None does not wait.
    """
    folder = Path(tempfile.mkdtemp(prefix="hardener-bench-"))
    prefix = ["setpriv", "--pdeathsig", "TERM", "--"] + (["taskset", "-c", cores] if cores else [])
    started = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, *command],
            cwd=cwd,
            env=_environment() | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so that a Ctrl-C ends this script first, and this script the server
        )
    server = Server(process, port, folder / "log")
    try:
        if ready is not None:
            server.wait_until_ready(ready)
            server.start_s = time.monotonic() - started
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def hardener_serve(
    *bundles: str | Path,
    environment: dict[str, str] | None = None,
    cores: str | None = None,
    options: Sequence[str] = (),
    ready: str | None = "/readyz",
) -> contextlib.AbstractContextManager[Server]:
    """`hardener serve BUNDLE…` on a free port."""
    port = free_port()
    command = [sys.executable, "-m", "hardener", "serve", *map(str, bundles), "--port", str(port), *options]
    return serving(command, port=port, environment=environment, cores=cores, ready=ready)


def free_port() -> int:
    """Return a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def uss_bytes(pid: int) -> int:
    """Return the memory that is a process's own; 0 when it is gone."""
    found = _rollup(pid)
    return 1024 * (found.get("Private_Clean", 0) + found.get("Private_Dirty", 0))


def end_on_sigterm() -> None:
    """Let SIGTERM end this script as Ctrl-C does, through every `finally`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def _environment() -> dict[str, str]:
    """Of this process, without what would change how the server starts; the package is that of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HARDENER_", "BENTOML_"))}
    return kept | {"PYTHONPATH": str(ROOT), "HARDENER_DEVICE": "cpu", "BENTOML_DO_NOT_TRACK": "True"}


def _rollup(pid: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:  # gone
        return {}
    return {name.rstrip(":"): int(size) for name, size, *_ in map(str.split, lines)}


def _every_stat() -> Iterator[tuple[int, list[str]]]:
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and (fields := _stat(int(entry))) is not None:
            yield int(entry), fields


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the name: state, parent, …; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields


def _born(pid: int) -> str:
    fields = _stat(pid)
    return "" if fields is None else fields[19]
