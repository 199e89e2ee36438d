"""A load generator of our own: one process, asyncio on bare sockets, kept-alive connections, every answer noted.

`start(load)` runs it in a process of its own, so that its work is not the measuring script's; `python hammer.py` is
that process, which reads a pickled `Load` from stdin and writes a pickled `Result` into the file that it is given.
"""

from __future__ import annotations

import asyncio
import pickle
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What to send.

    Args:
        requests: whole HTTP requests, sent in turn.
        connections: clients of a closed loop; at most so many connections of an open one.
        seconds, count: the end, whichever comes first.
        rate: requests/s that arrive by chance (Poisson) whatever the answers do; None: a client waits for its answer.
        fresh: a new connection for each request.
        keep: answers' bodies to keep, of the first so many.
    """

    port: int
    requests: Sequence[bytes]
    connections: int
    seconds: float
    count: int | None = None
    rate: float | None = None
    timeout_s: float = 60.0
    fresh: bool = False
    keep: int = 0


@dataclass(frozen=True)
class Sample:
    """One request: when it was begun and fully handed over (`time.time()`), how long it took, and what came.

    `late_s` is what passed between when it was due and when it was begun: the generator's own fault. `status` is that
    of HTTP, or `refused`, `closed` (no byte of an answer), `partial` or `timeout`.
    """

    begun: float
    sent: float
    seconds: float
    status: str
    retry_after: bool = False
    late_s: float = 0.0


@dataclass
class Result:
    """All that happened."""

    samples: list[Sample] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    started: float = 0.0  # time.time()
    seconds: float = 0.0
    unsent: int = 0  # arrivals of an open loop that found every connection in use

    def statuses(self) -> dict[str, int]:
        """Count the samples by status."""
        return dict(sorted(Counter(sample.status for sample in self.samples).items()))

    def per_s(self, status: str = "200") -> float:
        """Answers of one status a second."""
        return sum(sample.status == status for sample in self.samples) / self.seconds

    def per_s_within(self, first: float, last: float, status: str | None = "200") -> float:
        """Answers of one status (None: any) that came a second, between two times in seconds from the start."""
        times = [
            sample.begun + sample.seconds - self.started
            for sample in self.samples
            if status is None or sample.status == status
        ]
        return sum(first <= at < last for at in times) / (last - first)

    def begun_per_s(self, seconds: float) -> float:
        """Requests begun a second, in the first `seconds`."""
        return sum(sample.begun - self.started < seconds for sample in self.samples) / seconds

    def ms(self, percent: float, *statuses: str) -> float:
        """Return a percentile of the times of answers with one of `statuses` (default 200); nan without any."""
        times = [sample.seconds for sample in self.samples if sample.status in (statuses or ("200",))]
        return 1000 * percentile(times, percent)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile; nan of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(percent / 100 * len(ordered) + 0.5) - 1))]


def median(values: Sequence[float]) -> float:
    """Return the median; nan of nothing."""
    return statistics.median(values) if values else float("nan")


class Running:
    """A load that runs in a process of its own."""

    def __init__(self, load: Load, cores: str | None = None) -> None:
        prefix = ["setpriv", "--pdeathsig", "KILL", "--"] + (["taskset", "-c", cores] if cores else [])
        self._folder = tempfile.TemporaryDirectory(prefix="hardener-bench-")
        self._told = Path(self._folder.name) / "result"
        command = [*prefix, sys.executable, str(Path(__file__).resolve()), str(self._told)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)
        self._limit_s = load.seconds + load.timeout_s + 60
        assert self._process.stdin is not None, "it was asked for"
        self._process.stdin.write(pickle.dumps(load))
        self._process.stdin.close()

    def result(self) -> Result:
        """Wait for the end.

        Raises:
            RuntimeError: the generator itself failed.
        """
        try:
            if self._process.wait(self._limit_s) != 0:
                raise RuntimeError(f"the load generator ended with {self._process.returncode}")
            found = pickle.loads(self._told.read_bytes())
        finally:
            self.stop()
        assert isinstance(found, Result), "it is what the generator writes"
        return found

    def finish(self) -> Result:
        """End the load before its time; what is under way is still answered."""
        self._process.send_signal(signal.SIGINT)
        return self.result()

    def stop(self) -> None:
        """End it, with or without a result."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


def start(load: Load, cores: str | None = None) -> Running:
    """Begin a load in a process of its own."""
    return Running(load, cores)


def run(load: Load, cores: str | None = None) -> Result:
    """Run a load in a process of its own to its end."""
    return start(load, cores).result()


class Ended(Exception):
    """The connection ended before the whole answer; `partial` says whether some of it had come."""

    def __init__(self, *, partial: bool) -> None:
        super().__init__()
        self.partial = partial


class Connection(asyncio.Protocol):
    """One kept-alive connection: a request out, its answer in."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = 0
        self._answer: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._buffer += data
        if not self._needed:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[: end + 2])
            length = _LENGTH.search(head)
            self._needed = end + 4 + (int(length[1]) if length else 0)
            if _CLOSES.search(head):
                self.open = False
        if len(self._buffer) >= self._needed and self._answer is not None and not self._answer.done():
            self._answer.set_result(bytes(self._buffer[: self._needed]))
            if not self.open:
                self.close()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by asyncio."""
        self.open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Ended(partial=bool(self._buffer)))

    def send(self, data: bytes) -> None:
        """Send some bytes and expect nothing."""
        if self._transport is not None:
            self._transport.write(data)

    async def ask(self, request: bytes) -> bytes:
        """Send a request and wait for the whole answer.

        Raises:
            Ended: it will not come.
        """
        if not self.open or self._transport is None:
            raise Ended(partial=False)
        self._buffer.clear()
        self._needed = 0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """End it."""
        self.open = False
        if self._transport is not None:
            self._transport.close()


async def connect(port: int) -> Connection:
    """Open a connection to the loopback."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


class _Hammer:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._idle: list[Connection] = []
        self._number = 0
        self._finishing = False
        self.result = Result()

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._finish)
        self.result.started = time.time()
        started = time.perf_counter()
        if self._load.rate is None:
            await self._closed(started + self._load.seconds)
        else:
            await self._open(self._load.rate)
        self.result.seconds = time.perf_counter() - started
        for connection in self._idle:
            connection.close()

    async def _closed(self, end: float) -> None:
        most = self._load.count or sys.maxsize

        async def client() -> None:
            while not self._finishing and time.perf_counter() < end and self._number < most:
                sample = await self._ask(self._next(), time.time())
                if sample.status in {"refused", "closed"}:
                    await asyncio.sleep(0.02)  # a server that is gone is not asked ten thousand times a second

        await asyncio.gather(*(client() for _ in range(self._load.connections)))

    async def _open(self, rate: float) -> None:
        """Send when a request is due, not when the last one is answered."""
        chance = random.Random(0)
        running: set[asyncio.Task[Sample]] = set()
        started, at = time.time(), 0.0
        for _ in range(self._load.count or sys.maxsize):
            at += chance.expovariate(rate)
            if at > self._load.seconds:
                break
            pause = started + at - time.time()
            await asyncio.sleep(max(pause, 0))  # also when late, or no answer would ever be read
            if self._finishing:
                break
            if len(running) >= self._load.connections:
                self.result.unsent += 1
                continue
            task = asyncio.ensure_future(self._ask(self._next(), started + at))
            running.add(task)
            task.add_done_callback(running.discard)
        if running:
            await asyncio.wait(running)

    def _finish(self) -> None:
        self._finishing = True

    def _next(self) -> bytes:
        request = self._load.requests[self._number % len(self._load.requests)]
        self._number += 1
        return request

    async def _ask(self, request: bytes, due: float) -> Sample:
        status, answer, begun = "timeout", b"", time.time()
        sent = begun
        connection: Connection | None = None
        try:
            async with asyncio.timeout(self._load.timeout_s):
                connection = await self._connection()
                sent = time.time()
                answer = await connection.ask(request)
                status = answer[9:12].decode()
        except Ended as error:
            status = "partial" if error.partial else "closed"
        except OSError:
            status = "refused"
        except TimeoutError:
            if connection is not None:
                connection.close()
        retry_after = b"\nretry-after:" in answer[:2000].lower()
        sample = Sample(begun, sent, time.time() - begun, status, retry_after, begun - due)
        self.result.samples.append(sample)
        if len(self.result.bodies) < self._load.keep and status == "200":
            self.result.bodies.append(answer.partition(b"\r\n\r\n")[2])
        if connection is not None and connection.open:
            if self._load.fresh:
                connection.close()
            else:
                self._idle.append(connection)
        return sample

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        return await connect(self._load.port)


def with_loop(main: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a coroutine function on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())


def _main() -> None:
    hammer = _Hammer(pickle.load(sys.stdin.buffer))
    with_loop(hammer.run)
    Path(sys.argv[1]).write_bytes(pickle.dumps(hammer.result))


if __name__ == "__main__":
    sys.modules["hammer"] = sys.modules["__main__"]  # so that what it pickles is found under the importable name
    for kind in (Load, Sample, Result):
        kind.__module__ = "hammer"
    _main()
