"""What signals do to a running server under real traffic: reload, stop, and the death of a worker."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from bundles import image_bytes, linear_bundle
from test_server import server, wait_until_ready

IMAGE = image_bytes(np.full((16, 16, 3), 90, np.uint8), "JPEG")
WEIGHTS = np.zeros((16, 16, 3, 2), np.float32)
CLIENTS = 4


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
        end = time.monotonic() + 60
        while len(self.answers) < target:
            assert time.monotonic() < end, "no answers come"
            time.sleep(0.01)

    def close(self) -> None:
        """End the clients."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._end.is_set():
                try:
                    answer = client.post("/predict", files={"image": IMAGE})
                except httpx.TransportError as error:
                    self.failures.append(error)
                    time.sleep(0.05)
                    continue
                known = answer.status_code == 200
                self.answers.append((answer.status_code, answer.json()["index"] if known else None))


@contextmanager
def under_traffic(bundle: Path, workers: int) -> Iterator[tuple[subprocess.Popen[str], Traffic]]:
    with server(bundle, HARDENER_WORKERS=str(workers)) as (process, url):
        wait_until_ready(process, url)
        traffic = Traffic(url)
        try:
            traffic.more(20)
            yield process, traffic
        finally:
            traffic.close()


def worker_pids(process: subprocess.Popen[str]) -> set[int]:
    return {
        child.pid for child in psutil.Process(process.pid).children() if "_bentoml_impl" in " ".join(child.cmdline())
    }


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_reload_under_traffic_loses_no_request_and_survives_a_broken_bundle(tmp_path: Path, workers: int) -> None:
    with under_traffic(animal_bundle(tmp_path, 0), workers) as (process, traffic):
        pids = worker_pids(process)
        assert len(pids) == workers
        animal_bundle(tmp_path, 1)
        process.send_signal(signal.SIGHUP)
        while traffic.answers[-10 * CLIENTS :].count((200, 1)) < 10 * CLIENTS:
            traffic.more(1)
        (tmp_path / "model.onnx").write_bytes(b"broken")
        process.send_signal(signal.SIGHUP)
        traffic.more(200)
        assert worker_pids(process) == pids
        assert traffic.failures == []
        assert set(traffic.answers) == {(200, 0), (200, 1)}
        assert traffic.answers[-1] == (200, 1)
        process.terminate()
        output, _ = process.communicate(timeout=20)
    errors = [line for line in output.splitlines() if "the models were not exchanged" in line]
    assert len(errors) == workers
    assert sum("reloaded linear (111111111111)" in line for line in output.splitlines()) == workers
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_killed_worker_comes_back_and_the_other_one_answers(tmp_path: Path) -> None:
    with under_traffic(animal_bundle(tmp_path, 0), 2) as (process, traffic):
        before = worker_pids(process)
        victim = min(before)
        psutil.Process(victim).kill()
        traffic.more(100)
        end = time.monotonic() + 30
        while len(worker_pids(process) - {victim}) < 2:
            assert time.monotonic() < end, "the worker does not come back"
            time.sleep(0.05)
        traffic.more(100)
        assert len(traffic.failures) <= CLIENTS  # those that the victim had in work
        assert {status for status, _ in traffic.answers} == {200}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_under_traffic_answers_what_was_sent(tmp_path: Path, workers: int) -> None:
    with under_traffic(animal_bundle(tmp_path, 0), workers) as (process, traffic):
        process.terminate()
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert {status for status, _ in traffic.answers} == {200}
    assert {type(error) for error in traffic.failures} == {httpx.ConnectError}  # refused, so nothing was lost
    assert "Traceback" not in output
