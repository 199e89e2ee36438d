"""What signals do to a running server under real traffic: reload, the death of a worker, and stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
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
def under_traffic(bundle: Path, workers: int, drain: str) -> Iterator[tuple[RunningServer, Traffic]]:
    with server(bundle, HARDENER_WORKERS=str(workers), HARDENER_DRAIN_S=drain) as running:
        running.wait_until_ready()
        running.wait_for(STARTED, times=workers)  # ready is said as soon as one of them is
        traffic = Traffic(running.url)
        try:
            traffic.more(20)
            yield running, traffic
        finally:
            traffic.close()


def worker_pids(running: RunningServer) -> set[int]:
    found = set()
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(running.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                found |= {child.pid} if "_bentoml_impl" in " ".join(child.cmdline()) else set()
    return found


def spoil_the_model(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"broken")


def spoil_the_card(bundle: Path) -> None:
    (bundle / "model_card.md").write_bytes(b"\xff\xfe\0")


def spoil_the_answers(bundle: Path) -> None:
    linear_bundle(bundle, WEIGHTS, (float("nan"), 0.0))


SPOILED = [
    (spoil_the_model, "is not the file that bundle.json describes"),
    (spoil_the_card, "model_card.md cannot be read: it is no UTF-8 text"),
    (spoil_the_answers, "the model's answer to an image is not finite"),
]


def reload_and_survive_broken_bundles(running: RunningServer, traffic: Traffic, bundle: Path, workers: int) -> None:
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
    for spoil, said in SPOILED:
        animal_bundle(bundle, 0)
        (bundle / "model_card.md").unlink(missing_ok=True)
        spoil(bundle)
        running.process.send_signal(signal.SIGHUP)
        running.wait_for(said)
    assert running.count("the models were not exchanged") == len(SPOILED)  # the supervisor says it, once
    before = len(traffic.answers)
    traffic.more(20 * CLIENTS)
    assert set(traffic.answers[before:]) == {(200, 1)}
    assert set(traffic.answers) == {(200, 0), (200, 1)}
    assert traffic.failures == []
    assert worker_pids(running) == pids
    assert running.count("reloaded linear") == workers


def lose_all_workers(running: RunningServer, traffic: Traffic, bundle: Path) -> None:
    """The folder is broken by now; those that come serve what was accepted."""
    before = worker_pids(running)
    for number, victim in enumerate(sorted(before)):
        psutil.Process(victim).kill()
        traffic.more(100)
        running.wait_for(STARTED, times=3 + number)
    assert len(worker_pids(running)) == 2
    assert not worker_pids(running) & before
    asked = len(traffic.answers)
    traffic.more(100)
    assert set(traffic.answers[asked:]) == {(200, 1)}
    assert len(traffic.failures) <= 2 * CLIENTS  # those that the victims had in work
    assert {status for status, _ in traffic.answers} == {200}


def stop(running: RunningServer, traffic: Traffic) -> None:
    """The service goes on for a while, no longer ready, and then refuses; nothing that it took is lost."""
    lost = len(traffic.failures)
    running.process.terminate()
    wait_until(lambda: httpx.get(f"{running.url}/readyz", timeout=PATIENCE_S).status_code == 503, "it stays ready")
    asked = len(traffic.answers)
    traffic.more(20)
    assert httpx.get(f"{running.url}/livez", timeout=PATIENCE_S).status_code == 200
    assert len(traffic.failures) == lost, "it stopped before the drain was over"
    assert len(traffic.answers) > asked
    assert running.wait_for_end() == 0
    wait_until(lambda: len(traffic.failures) > lost, "nobody is refused")
    assert {status for status, _ in traffic.answers} == {200}
    # refused, so nothing was lost; but the kernel may take a connection between the server's last look and its end
    others = [error for error in traffic.failures[lost:] if not isinstance(error, httpx.ConnectError)]
    assert len(others) <= 1, others
    assert "Traceback" not in running.output


@pytest.mark.slow
def test_under_traffic_reloads_dead_workers_and_a_stop_lose_no_request(tmp_path: Path) -> None:
    bundle = animal_bundle(tmp_path, 0)
    with under_traffic(bundle, workers=2, drain="1.5") as (running, traffic):
        reload_and_survive_broken_bundles(running, traffic, bundle, 2)
        lose_all_workers(running, traffic, bundle)
        stop(running, traffic)


class HalfRequest:
    """An upload that waits for its second half."""

    def __init__(self, running: RunningServer, request_id: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2])), PATIENCE_S)
        head = f"POST /predict HTTP/1.1\r\nHost: h\r\nX-Request-Id: {request_id}\r\nContent-Type: image/jpeg\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(IMAGE)}\r\n\r\n".encode() + IMAGE[:100])

    def finish(self) -> bytes:
        """Send the rest; return what came back."""
        self._socket.sendall(IMAGE[100:])
        return self.answer()

    def answer(self) -> bytes:
        """Return what comes before the connection ends."""
        with self._socket:
            found = b""
            while piece := self._socket.recv(65536):
                found += piece
            return found


def figure(running: RunningServer, name: str) -> float:
    lines = httpx.get(f"{running.url}/metrics", timeout=PATIENCE_S).text.splitlines()
    (found,) = (line for line in lines if line.startswith(f"{name} "))
    return float(found.split()[1])


def lose_a_request(running: RunningServer) -> None:
    """A worker is killed with a request in work: its id is told, and counted."""
    half = HalfRequest(running, "the-lost-one")
    wait_until(lambda: figure(running, "hardener_requests_in_flight") >= 2, "it is not in work")
    time.sleep(0.3)  # the question itself is in work too, until shortly after its answer
    (victim,) = worker_pids(running)
    psutil.Process(victim).kill()
    assert half.answer() == b""
    running.wait_for("the-lost-one")
    running.wait_for(STARTED, times=2)
    running.wait_until_ready()
    (told,) = (line for line in running.output.splitlines() if "worker_died" in line)
    died = json.loads(told)
    assert (died["pid"], died["how"].split(",")[0], died["lost_requests"]) == (victim, "was ended by SIGKILL", 1)
    (told,) = (line for line in running.output.splitlines() if "request_lost" in line)
    assert json.loads(told)["request"] == "POST /predict the-lost-one from 127.0.0.1"
    names = ("hardener_worker_deaths_total", "hardener_worker_restarts_total", "hardener_lost_requests_total")
    assert [figure(running, name) for name in names] == [1, 1, 1]


def lose_the_supervisor(running: RunningServer) -> None:
    """No worker outlives it."""
    workers = [psutil.Process(pid) for pid in worker_pids(running)]
    running.process.kill()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert len(gone) == len(workers) == 1
    assert not alive


@pytest.mark.slow
def test_what_a_dead_worker_took_along_is_told_and_no_worker_outlives_the_supervisor(tmp_path: Path) -> None:
    bundle = animal_bundle(tmp_path / "bundle", 0)
    places = {"TMPDIR": str(tmp_path), "HARDENER_LOG": "json", "HARDENER_STOP_S": "0.5"}
    with server(bundle, **places) as running:
        running.wait_until_ready()
        lose_a_request(running)
        half = HalfRequest(running, "in-work")
        wait_until(lambda: figure(running, "hardener_requests_in_flight") >= 2, "it is not in work")
        lose_the_supervisor(running)
        assert half.answer()[:12] in {b"HTTP/1.1 503", b""}
        for line in running.output.splitlines():
            json.loads(line)


@pytest.mark.slow
@pytest.mark.long
def test_a_request_in_work_is_finished_and_what_a_killed_server_left_is_gone(tmp_path: Path) -> None:
    bundle = animal_bundle(tmp_path / "bundle", 0)
    with server(bundle, TMPDIR=str(tmp_path)) as running:
        running.wait_until_ready()
        lose_the_supervisor(running)
    assert len(list(tmp_path.glob("hardener-accepted-*"))) == 1
    with server(bundle, TMPDIR=str(tmp_path)) as running:
        running.wait_until_ready()
        (left,) = tmp_path.glob("hardener-accepted-*")
        assert left.stat().st_mode & 0o777 == 0o700
        half = HalfRequest(running, "under-way")
        wait_until(lambda: figure(running, "hardener_requests_in_flight") >= 2, "it is not in work")
        running.process.terminate()
        assert half.finish()[:12] == b"HTTP/1.1 200"
        assert running.wait_for_end() == 0
    assert list(tmp_path.glob("hardener-accepted-*")) == []


@pytest.mark.slow
@pytest.mark.long
def test_workers_that_die_again_and_again_end_the_service_with_one_line(tmp_path: Path) -> None:
    with server(animal_bundle(tmp_path, 0), HARDENER_MAX_QUICK_DEATHS="2") as running:
        killed: set[int] = set()
        while running.process.poll() is None and len(killed) < 3:
            for pid in worker_pids(running) - killed:
                killed.add(pid)
                psutil.Process(pid).kill()
            time.sleep(0.02)
        assert running.wait_for_end() == 1
    assert len(killed) == 2
    assert running.count("error: 2 workers ended within seconds of their start") == 1
    assert "Traceback" not in running.output


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
