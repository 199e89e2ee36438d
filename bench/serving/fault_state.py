"""Scenarios of faults.py about what is served and who serves it: overwritten bundles, dead processes, a stop."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

from fault_suite import Suite, fingerprint, still_well, wait
from server_process import Server, hardener_serve
from spoiled_bundles import CARD_NO_TEXT, NAN_ANSWERS
from workload import multipart, upload


def accepted(suite: Suite) -> None:
    """Overwrite the bundle in place under a running service, kill its workers, and reload onto broken ones."""
    with tempfile.TemporaryDirectory(prefix="hardener-bench-") as folder:
        current = Path(folder) / "current"
        shutil.copytree(suite.bundle("null"), current)
        with hardener_serve(current, environment={"HARDENER_WORKERS": "2"}) as server:
            before = fingerprint(server)
            with (current / "model.onnx").open("r+b") as file:
                file.write(b"broken")
            for victim in server.workers():
                os.kill(victim, signal.SIGKILL)
                replaced = wait(lambda dead=victim: len(set(server.workers()) - {dead}) == 2, 30)  # type: ignore[misc]
                suite.rule("a killed worker is replaced", "no" if replaced is None else f"after {replaced:.1f} s",
                           replaced is not None)  # fmt: skip
            time.sleep(3)
            served = {fingerprint(server) for _ in range(40)}
            suite.rule("the workers that came serve what was accepted", served, served == {before})
            for name, spoil, said in (CARD_NO_TEXT, NAN_ANSWERS):
                shutil.rmtree(current)
                shutil.copytree(suite.bundle("null"), current)
                spoil(current)
                server.process.send_signal(signal.SIGHUP)
                told = wait(lambda words=said: words in server.output(), 20)  # type: ignore[misc]
                served = {fingerprint(server) for _ in range(20)}
                how = f"{served}, {'said' if told else 'silent'}"
                suite.rule(
                    f"a reload onto {name} changes nothing and says why", how, served == {before} and told is not None
                )
            still_well(suite, server)


def _half_sent(server: Server, request_id: str) -> http.client.HTTPConnection:
    """Send an upload but for its last bytes."""
    body = multipart(upload())
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.putrequest("POST", "/predict")
    connection.putheader("X-Request-Id", request_id)
    connection.putheader("Content-Type", "multipart/form-data; boundary=" + body[2:].split(b"\r\n")[0].decode())
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:-20])
    time.sleep(0.3)
    return connection


def _finish(connection: http.client.HTTPConnection) -> int | str:
    try:
        connection.send(multipart(upload())[-20:])
        return connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    finally:
        connection.close()


def _figure(server: Server, name: str) -> float:
    lines = server.get("/metrics")[1].decode().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), -1)


def processes(suite: Suite) -> None:
    """Kill a worker with a request in work, the supervisor, and every worker that comes; stop with one in work."""
    with hardener_serve(suite.bundle("null"), environment={"HARDENER_LOG": "json"}) as server:
        lost = _half_sent(server, "the-lost-request")
        os.kill(server.workers()[0], signal.SIGKILL)
        suite.rule("its client sees the end of the connection", answer := _finish(lost), not isinstance(answer, int))
        server.wait_until_ready()
        lines = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
        died = [line for line in lines if line.get("event") == "worker_died"]
        named = [line for line in lines if "the-lost-request" in str(line.get("request"))]
        suite.rule("one line tells of the death, one names the request", (len(died), len(named)),
                   (len(died), len(named)) == (1, 1))  # fmt: skip
        names = ("hardener_worker_deaths_total", "hardener_worker_restarts_total", "hardener_lost_requests_total")
        counts = [_figure(server, name) for name in names]
        suite.rule("deaths, restarts and lost requests are counted", counts, counts == [1, 1, 1])
        workers = server.workers()
        server.process.kill()
        gone = wait(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in workers), 15)
        suite.rule("no worker outlives a killed supervisor", "alive" if gone is None else f"gone after {gone:.1f} s",
                   gone is not None)  # fmt: skip
    with hardener_serve(suite.bundle("null"), environment={"HARDENER_DRAIN_S": "3"}) as server:
        half = _half_sent(server, "under-way")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        suite.rule("after SIGTERM it is not ready", status := server.get("/readyz")[0], status == 503)
        suite.rule("and takes requests", status := server.get("/model")[0], status == 200)
        suite.rule("a request in work is finished", answer := _finish(half), answer == 200)
        began = time.monotonic()
        ended = server.process.wait(20)
        suite.rule("exit code 0 after the drain", f"{ended} after {1 + time.monotonic() - began:.1f} s", ended == 0)
    with hardener_serve(suite.bundle("null"), environment={"HARDENER_MAX_QUICK_DEATHS": "3"}) as server:
        killed: set[int] = set()
        end = time.monotonic() + 60
        while server.process.poll() is None and time.monotonic() < end:
            for pid in set(server.pids()) - killed - {server.process.pid}:
                killed.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        said = server.output().count("The service gives up")
        code = server.process.poll()
        how = f"exit {code} after {len(killed)} deaths, {said} line"
        suite.rule("workers that die at once end the service", how, (code, said, len(killed)) == (1, 1, 3))
