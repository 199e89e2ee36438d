"""What signals do to a running server under real traffic: reload, the death of a worker, and stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from bundles import image_bytes, linear_bundle
from running import PATIENCE_S, ROOT, RunningServer, server

IMAGE = image_bytes(np.full((16, 16, 3), 90, np.uint8), "JPEG")
WEIGHTS = np.zeros((16, 16, 3, 2), np.float32)
CLIENTS = 4
STARTED = "Completed async startup hook: listen_for_reloads"  # by each worker


def animal_bundle(folder: Path, animal: int) -> Path:
    """Write a bundle that answers class 0, or 1, to every image."""
    return linear_bundle(folder, WEIGHTS, (5.0 - 5 * animal, 5.0 * animal), changes={"fingerprint": str(animal) * 64})


class Traffic:
    """Clients that ask one request after another, and note what became of each."""

    def __init__(self, url: str) -> None:
        self.answers: list[tuple[int, int | None]] = []  # status, and the class that was answered
        self.failures: list[httpx.TransportError] = []
        self._url, self._end = url, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def more(self, count: int) -> None:
        """Wait for `count` further answers."""
        target = len(self.answers) + count
        wait_until(lambda: len(self.answers) >= target, "no answers come")

    def close(self) -> None:
        """End the clients."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=PATIENCE_S) as client:
            while not self._end.is_set():
                try:
                    answer = client.post("/predict", files={"image": IMAGE})
                except httpx.TransportError as error:
                    self.failures.append(error)
                    time.sleep(0.05)
                    continue
                known = answer.status_code == 200
                self.answers.append((answer.status_code, answer.json()["index"] if known else None))


def wait_until(happened: Callable[[], bool], otherwise: str) -> None:
    """Wait for an event of which nobody tells."""
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, otherwise
        time.sleep(0.01)


@contextmanager
def under_traffic(bundle: Path, workers: int) -> Iterator[tuple[RunningServer, Traffic]]:
    with server(bundle, HARDENER_WORKERS=str(workers)) as running:
        running.wait_until_ready()
        running.wait_for(STARTED, times=workers)  # ready is said as soon as one of them is
        traffic = Traffic(running.url)
        try:
            traffic.more(20)
            yield running, traffic
        finally:
            traffic.close()


def worker_pids(running: RunningServer) -> set[int]:
    children = psutil.Process(running.process.pid).children()
    return {child.pid for child in children if "_bentoml_impl" in " ".join(child.cmdline())}


def reload_and_survive_a_broken_bundle(running: RunningServer, traffic: Traffic, bundle: Path, workers: int) -> None:
    pids = worker_pids(running)
    assert len(pids) == workers
    animal_bundle(bundle, 1)
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("reloaded linear (111111111111)", times=workers)
    before = len(traffic.answers)
    traffic.more(20 * CLIENTS)
    after = traffic.answers[before:]
    assert after.count((200, 0)) <= CLIENTS  # those that were in work when the last worker had the new one
    assert after[-1] == (200, 1)
    (bundle / "model.onnx").write_bytes(b"broken")
    running.process.send_signal(signal.SIGHUP)
    running.wait_for("the models were not exchanged", times=workers)
    before = len(traffic.answers)
    traffic.more(20 * CLIENTS)
    assert set(traffic.answers[before:]) == {(200, 1)}
    assert set(traffic.answers) == {(200, 0), (200, 1)}
    assert traffic.failures == []
    assert worker_pids(running) == pids
    assert running.count("reloaded linear") == running.count("the models were not exchanged") == workers


def lose_a_worker(running: RunningServer, traffic: Traffic, bundle: Path) -> None:
    animal_bundle(bundle, 1)  # the one that comes back loads what is there now
    before = worker_pids(running)
    victim = min(before)
    psutil.Process(victim).kill()
    traffic.more(100)
    running.wait_for(STARTED, times=3)
    assert len(worker_pids(running) - {victim}) == 2
    traffic.more(100)
    assert len(traffic.failures) <= CLIENTS  # those that the victim had in work
    assert {status for status, _ in traffic.answers} == {200}


def stop(running: RunningServer, traffic: Traffic) -> None:
    lost = len(traffic.failures)
    running.process.terminate()
    assert running.wait_for_end() == 0
    wait_until(lambda: len(traffic.failures) > lost, "nobody is refused")
    assert {status for status, _ in traffic.answers} == {200}
    # refused, so nothing was lost; but the kernel may take a connection between the server's last look and its end
    others = [error for error in traffic.failures[lost:] if not isinstance(error, httpx.ConnectError)]
    assert len(others) <= 1, others
    assert "Traceback" not in running.output


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_under_traffic_a_reload_a_broken_bundle_a_dead_worker_and_a_stop_lose_no_request(
    tmp_path: Path, workers: int
) -> None:
    bundle = animal_bundle(tmp_path, 0)
    with under_traffic(bundle, workers) as (running, traffic):
        reload_and_survive_a_broken_bundle(running, traffic, bundle, workers)
        if workers == 2:
            lose_a_worker(running, traffic, bundle)
        stop(running, traffic)


@pytest.mark.slow
def test_a_reload_that_is_asked_for_while_a_worker_starts_is_not_lost(tmp_path: Path) -> None:
    script = """
import asyncio, os, signal, sys
from serving import service
made = service.HardenerService.inner()
os.kill(os.getpid(), signal.SIGHUP)  # the models are loaded, and nobody listens yet
reloads = []
async def reload():
    reloads.append(1)
made._state.reload = reload
asyncio.run(type(made).listen_for_reloads(made))
made.close()
assert reloads == [1], reloads
"""
    environment = os.environ | {"HARDENER_BUNDLE": str(animal_bundle(tmp_path, 0)), "HARDENER_DEVICE": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
