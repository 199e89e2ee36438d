"""The scenario of faults.py about memory: the worst images of all kinds at once, in a container's limit of 1 GiB."""

from __future__ import annotations

import signal
import sys
import threading
import time

import hammer
from decode_memory import written
from fault_suite import MIB, Suite, still_well
from hammer import Load
from hostile_images import jpeg_of, png_of
from memory_limit import MemoryLimit, memory_limit
from server_process import Server, free_port, serving
from workload import multipart, post, upload

GIB = 1024 * MIB
RIGHT = {"200", "413", "422", "429", "503", "504"}
# those that take most to decode, a kind each
NOISE = ("JPEG, CMYK, progressive", "PNG, palette with a clear colour", "PNG, gray, 16 bit", "WebP, lossless", "BMP")


def many_values(text: bytes, count: int) -> bytes:
    """Return a request of JSON that holds a value many times: each takes more memory than it has bytes."""
    return post("/predict", b'{"image":"","top_k":[%s1]}' % (text * count), content_type="application/json")


def wide() -> bytes:
    """Return a request of JSON in which one letter makes all others four bytes each."""
    return post("/predict", b'{"image":"%s\\ud83d\\ude00"}' % (b"A" * 18 * MIB), content_type="application/json")


def worst(suite: Suite) -> list[tuple[str, bytes]]:
    """Return the worst files of each format and mode that a request may bring."""
    files = [
        ("PNG, 1 x 49,999,999", png_of(1, 49_999_999)),
        ("PNG, 7,000 x 7,000, 16 bit colour", png_of(7000, 7000, 16, 2)),
        ("PNG, 7,000 x 7,000, 8 bit colour", png_of(7000, 7000, 8, 2)),
        ("PNG, 7,000 x 7,000, 1 bit", png_of(7000, 7000)),
        ("JPEG, gray, 7,000 x 7,000", jpeg_of(7000, 7000)),
        ("15 MB behind a good JPEG", upload() + bytes(15 * MIB)),
    ]
    for kind in NOISE:
        path = suite.asked.work / f"noise-{kind.replace(', ', '-').replace(' ', '-')}"
        if not path.is_file():
            path.write_bytes(_largest(kind))
        files.append((f"{kind}, noise, {path.stat().st_size / MIB:.0f} MB", path.read_bytes()))
    return files


def _largest(kind: str, side: int = 1000) -> bytes:
    """Return a file of a kind that is nearly as large as a body may be; the size of noise grows as its pixels do."""
    data = written(kind, side)
    return data if len(data) > 15 * MIB else written(kind, int(side * (18 * MIB / len(data)) ** 0.5))


class _Peak:
    def __init__(self, group: MemoryLimit) -> None:
        self.bytes = 0
        self._group, self._done = group, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> float:
        self._done.set()
        self._thread.join()
        return self.bytes / MIB

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.bytes = max(self.bytes, self._group.held_bytes())


def memory(suite: Suite) -> None:
    """Send the worst images, alone and together, with reports and reloads, to a service in 1 GiB."""
    files = worst(suite)
    port = free_port()
    with memory_limit(GIB) as group:
        command = [sys.executable, "-m", "hardener", "serve", str(suite.bundle("float32")), "--port", str(port)]
        with serving(group.inside(command), port=port) as server:
            begun = set(server.workers())
            suite.note(f"ready: {group.held_bytes() / MIB:.0f} MB")
            requests = [(name, post("/predict", multipart(data))) for name, data in files]
            requests += [
                ("JSON, 6 million empty lists", many_values(b"[],", 6_000_000)),
                ("JSON, one letter outside of Latin-1", wide()),
            ]
            for name, request in requests:
                _storm(suite, group, server, name, [request], suite.some(8, 3))
            mixed = [request for _, request in requests]
            report = post("/report", multipart(upload()))
            batch = [post("/predict", data, content_type="image/png") for _, data in files[:4]]
            _storm(
                suite, group, server, "all at once, with reports", [*mixed, report, *batch, report], suite.some(60, 10)
            )
            load = hammer.start(Load(port, mixed, connections=16, seconds=suite.some(15, 6), timeout_s=60))
            peak = _Peak(group)
            try:
                for _ in range(3):
                    time.sleep(suite.some(4, 1.5))
                    server.process.send_signal(signal.SIGHUP)
                statuses = load.result().statuses()
            finally:
                load.stop()
                most = peak.close()
            found = f"at most {most:.0f} MB, {statuses}"
            suite.rule("three reloads meanwhile: answered, or refused in words", found, set(statuses) <= RIGHT)
            killed = group.killed()
            suite.rule("the kernel ended no process for want of memory", killed, killed == 0)
            now = set(server.workers())
            suite.rule("no worker died", "the same" if now == begun else f"{begun}, then {now}", now == begun)
            still_well(suite, server)


def _storm(suite: Suite, group: MemoryLimit, server: Server, name: str, requests: list[bytes], seconds: float) -> None:
    peak = _Peak(group)
    found = hammer.run(Load(server.port, requests, connections=16, seconds=seconds, timeout_s=60))
    most, statuses = peak.close(), found.statuses()
    suite.counts.setdefault("memory", {})[name] = {"peak_mib": round(most), "statuses": statuses}
    suite.rule(f"{name}: in 1 GiB", f"at most {most:.0f} MB, {statuses}", bool(statuses) and set(statuses) <= RIGHT)
