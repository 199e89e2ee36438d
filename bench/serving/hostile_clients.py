"""Clients that send hostile requests, whole or a byte at a time, and note what becomes of each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterator

import hammer
from fault_suite import Suite
from hostile import Case, sent_slowly
from rich.table import Table


async def send_cases(port: int, todo: Iterator[Case], at_once: int = 16) -> dict[str, list[tuple[str, bool]]]:
    """Send each case on a connection of its own; return by kind the statuses and whether they were right."""
    told: dict[str, list[tuple[str, bool]]] = defaultdict(list)

    async def sender() -> None:
        for case in todo:
            status = await _send_case(port, case)
            told[case.kind].append((status, status in case.right))

    await asyncio.gather(*(sender() for _ in range(at_once)))
    return dict(sorted(told.items()))


async def _send_case(port: int, case: Case) -> str:
    connection: hammer.Connection | None = None
    try:
        async with asyncio.timeout(60):
            connection = await hammer.connect(port)
            if case.gone_after is not None:
                connection.send(case.request[: case.gone_after])
                await asyncio.sleep(0.02)
                return "gone"
            return (await connection.ask(case.request))[9:12].decode(errors="replace")
    except hammer.Ended as error:
        return "partial" if error.partial else "closed"
    except OSError:
        return "refused"
    except TimeoutError:
        return "timeout"
    finally:
        if connection is not None:
            connection.close()


async def hold_slowly(port: int, number: int, seconds: float) -> dict[str, list[tuple[str, float]]]:
    """Trickle; return by kind how each connection ended and after how many seconds, `held` where it did not."""
    ends: dict[str, list[tuple[str, float]]] = defaultdict(list)
    kinds = sent_slowly()

    async def one(kind: str, request: bytes, delay: float) -> None:
        await asyncio.sleep(delay)
        began = time.monotonic()
        status, writer = "held", None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            head = request.find(b"\r\n\r\n") + 4 if kind == "body" else min(60, len(request))
            writer.write(request[:head])
            answer = asyncio.ensure_future(reader.read(100))
            at = head
            while time.monotonic() - began < seconds and not answer.done():
                await asyncio.wait({answer}, timeout=1)
                if not answer.done() and at < len(request):
                    writer.write(request[at : at + 1])
                    at += 1
            if answer.done():
                told = answer.result()
                status = told[9:12].decode(errors="replace") if told else "closed"
            else:
                answer.cancel()
        except OSError:
            status = "closed"
        finally:
            if writer is not None:
                writer.close()
        ends[kind].append((status, time.monotonic() - began))

    jobs = [one(*next(kinds), 5 * index / number) for index in range(number)]
    await asyncio.gather(*jobs)
    return ends


def show_kinds(suite: Suite, told: dict[str, list[tuple[str, bool]]]) -> None:
    """Print the answers by kind."""
    table = Table("kind", "sent", "answers", "wrong")
    for kind, rows in told.items():
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(Counter(row[0] for row in rows).items()))
        wrong = sum(not right for _, right in rows)
        table.add_row(kind, str(len(rows)), answers, str(wrong) if wrong else "")
    suite.console.print(table)
    suite.counts[suite.scenario] = {kind: Counter(status for status, _ in rows) for kind, rows in told.items()}
