"""Waiting images -> batches: plain requests first, reports in small chunks, no idle pause while a lane is free."""

from __future__ import annotations

import asyncio
import enum
import functools
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUIET_TURNS = 4
"""Turns of the event loop without a new request, some ten microseconds each, after which it has come to rest."""
PixelBatch = NDArray[np.uint8]
Answers = NDArray[np.float32]


class QueueFull(Exception):
    """More images wait than the queue holds."""


class Priority(enum.IntEnum):
    """Plain requests go before a report's images."""

    PLAIN = 0
    REPORT = 1


@dataclass(eq=False)
class _Job:
    images: PixelBatch
    answer: asyncio.Future[Answers]
    queued: bool = True


class Batcher:
    """Runs `run` in `lanes` threads. Its state belongs to one event loop, so it needs no lock.

    A batch starts when it is full, or when the loop has nothing else to do; free lanes share what waits. So the answers
    that a batch has just given are written before the next one starts, and requests that are here already are decoded
    and travel along: a larger batch costs less an image, and no core is idle meanwhile.

    Where the loop need not share a lane's core, a full batch is handed out before a lane is free: the lane goes on at
    once even while the loop decodes.

    A job leaves the queue when its waiter does: a cancelled request and one past its deadline cost no run.
    """

    def __init__(
        self,
        run: Callable[[PixelBatch], Answers],
        *,
        lanes: int,
        max_batch: int,
        report_chunk: int,
        max_waiting: int,
        one_core: bool = False,
        on_batch: Callable[[int], None] = lambda size: None,
    ) -> None:
        """Start idle.

        Args:
            run: (N, H, W, C) -> (N, ...), in any thread.
            max_batch: images in one run.
            report_chunk: images in one run for reports; a plain request may have to wait behind it.
            max_waiting: images of plain requests that wait; of reports, the caller bounds the number.
            one_core: loop and model take turns on one core, so a full batch too waits until the loop is done: the model
                is not disturbed then.
            on_batch: hears the size of every batch that was run.
        """
        self.report_chunk = report_chunk
        self._run = run
        self._free_lanes = lanes  # below zero: batches are handed out that no lane has begun
        self._most_ahead = 0 if one_core else lanes
        self._most = {Priority.PLAIN: max_batch, Priority.REPORT: report_chunk}
        self._max_waiting = max_waiting
        self._one_core = one_core
        self._on_batch = on_batch
        self._threads = ThreadPoolExecutor(lanes, thread_name_prefix="lane")
        self._arrived = 0
        self._looking = False
        self._queues: dict[Priority, deque[_Job]] = {priority: deque() for priority in Priority}
        self._queued = dict.fromkeys(Priority, 0)
        self._ahead: deque[list[_Job]] = deque()

    async def submit(self, images: PixelBatch, priority: Priority = Priority.PLAIN) -> Answers:
        """Wait for the answer to some images, which travel in one batch.

        Args:
            images: (n, H, W, C); for a report n <= `report_chunk`.
        Returns:
            (n, ...).
        Raises:
            QueueFull: at once, and nothing was queued.
            Exception: what `run` raised for these images.
        """
        assert len(images) <= self._most[priority], f"{len(images)} images do not fit in one batch"
        if priority is Priority.PLAIN:
            self.check_room(len(images))
        job = _Job(images, asyncio.get_running_loop().create_future())
        self._queues[priority].append(job)
        self._queued[priority] += len(images)
        self._arrived += 1
        self._wake()
        try:
            return await job.answer
        finally:
            if job.queued:  # the waiter was cancelled
                self._queues[priority].remove(job)
                self._note_left(job, priority)

    def check_room(self, count: int = 1) -> None:
        """Refuse some images of a plain request that could not wait now.

        Raises:
            QueueFull: there is no room for them.
        """
        if self.waiting(Priority.PLAIN) + count > self._max_waiting:
            raise QueueFull

    def waiting(self, priority: Priority) -> int:
        """Count the images that wait, those in batches that no lane has begun among them."""
        ahead = self._ahead if priority is Priority.PLAIN else ()
        return self._queued[priority] + sum(
            len(job.images) for batch in ahead for job in batch if not job.answer.done()
        )

    def close(self, *, wait: bool = True) -> None:
        """End the lanes; what runs is finished, what waits is not started."""
        self._threads.shutdown(wait=wait, cancel_futures=True)

    def _wake(self) -> None:
        """Start what fills a batch now, and look after the rest when the event loop has nothing else to do."""
        if self._a_batch_is_queued() and not self._one_core:
            self._start_batches()
        if not self._looking and self._free_lanes > 0:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look, self._arrived, 0)

    def _look(self, arrived: int, quiet_turns: int) -> None:
        """Count the loop's turns since a request came; after a few, start what waits."""
        quiet_turns = quiet_turns + 1 if arrived == self._arrived else 0
        if quiet_turns < QUIET_TURNS:
            asyncio.get_running_loop().call_soon(self._look, self._arrived, quiet_turns)
            return
        self._looking = False
        self._start_batches()

    def _a_batch_is_queued(self) -> bool:
        return self._queued[Priority.PLAIN] >= self._most[Priority.PLAIN]

    def _start_batches(self) -> None:
        while batch := self._take_batch():
            if self._free_lanes <= 0:
                self._ahead.append(batch)
            self._free_lanes -= 1
            running = self._threads.submit(self._answer_waited_for, batch)
            asyncio.wrap_future(running).add_done_callback(functools.partial(self._finish, batch))

    def _take_batch(self) -> list[_Job]:
        """Take what a free lane should run, or a full batch for the next lane; nothing where there is neither."""
        if self._free_lanes <= 0 and not (self._a_batch_is_queued() and self._free_lanes > -self._most_ahead):
            return []
        batch: list[_Job] = []
        for priority in Priority:
            room = min(self._most[priority], math.ceil(self._queued[priority] / max(1, self._free_lanes)))
            queue = self._queues[priority]
            while queue and (len(queue[0].images) <= room or not batch):
                job = queue.popleft()
                self._note_left(job, priority)
                if not job.answer.done():  # its waiter, cancelled in this turn, had no time to take it away
                    batch.append(job)
                    room -= len(job.images)
            # of one kind: report images in a plain batch would lengthen the plain answers; nor do they go ahead
            if batch or self._free_lanes <= 0:
                break
        return batch

    def _note_left(self, job: _Job, priority: Priority) -> None:
        job.queued = False
        self._queued[priority] -= len(job.images)

    def _answer_waited_for(self, batch: list[_Job]) -> list[Answers | Exception]:
        """Answer a batch, and take out of it what was cancelled before this lane began."""
        batch[:] = [job for job in batch if not job.answer.done()]
        return self._answer_each(batch) if batch else []

    def _answer_each(self, batch: list[_Job]) -> list[Answers | Exception]:
        try:
            answers = self._run(np.concatenate([job.images for job in batch]))
        except Exception as error:  # whatever it is, it goes to the waiter of the image that caused it
            if len(batch) == 1:
                return [error]
            return [self._answer_each([job])[0] for job in batch]
        ends = np.cumsum([len(job.images) for job in batch])[:-1]
        return list(np.split(answers, ends))

    def _finish(self, batch: list[_Job], done: asyncio.Future[list[Answers | Exception]]) -> None:
        self._free_lanes += 1
        if self._ahead:  # the lane has begun with the first of these
            self._ahead.popleft()
        if done.cancelled():  # by `close`
            for job in batch:
                job.answer.cancel()
            return
        if batch:
            self._on_batch(sum(len(job.images) for job in batch))
        for job, answer in zip(batch, done.result(), strict=True):
            if job.answer.done():
                continue
            if isinstance(answer, Exception):
                job.answer.set_exception(answer)
            else:
                job.answer.set_result(answer)
        self._wake()
