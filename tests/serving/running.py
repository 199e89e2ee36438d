"""The service as users start it: BentoML in processes of its own, on a port, with what it writes read as it comes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 120  # of a test that would fail in any case


class RunningServer:
    """A started service. What it writes is read by a thread, so that it never waits for a reader."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_until_ready(self) -> None:
        """Wait for the first 200 of /readyz."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=PATIENCE_S).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
        pytest.fail(f"the server is not ready; exit code {self.process.poll()}\n{self.output}")

    def wait_for(self, words: str, *, times: int = 1) -> None:
        """Wait until it has written some words in so many lines."""
        with self._more:
            found = self._more.wait_for(lambda: self.count(words) >= times, PATIENCE_S)
        assert found, f"{words!r} was written {self.count(words)} times, not {times}\n{self.output}"

    def wait_for_end(self) -> int:
        """Wait until its process has ended, and return the exit code; `output` is whole then."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def count(self, words: str) -> int:
        """Count the lines with some words."""
        return sum(words in line for line in self._lines)

    @property
    def output(self) -> str:
        """All that it has written."""
        return "".join(self._lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._more:
                    self._lines.append(line)
                    self._more.notify_all()


@contextmanager
def server(
    bundle: Path,
    *,
    python: str = sys.executable,
    service: str = "serving.service:HardenerService",
    folder: str = str(ROOT),
    **variables: str,
) -> Iterator[RunningServer]:
    """Start the service on a free port, as an interpreter imports it in `folder`; end it where the test did not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {
        "HARDENER_BUNDLE": str(bundle),
        "HARDENER_DEVICE": "cpu",
        "BENTOML_DO_NOT_TRACK": "True",
    }
    environment["HARDENER_DRAIN_S"] = "0"
    environment |= variables
    command = [python, "-m", "bentoml", "serve", service]
    command += ["--host", "127.0.0.1", "--port", port, "--working-dir", folder]
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    running = RunningServer(process, f"http://127.0.0.1:{port}")
    try:
        yield running
    finally:
        if process.poll() is None:
            process.terminate()  # the supervisor alone can end its workers
        running.wait_for_end()
