"""The batcher's promises, with a model that can be held, watched and made to fail."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from serving.batcher import Batcher, Priority, QueueFull

Numbers = NDArray[np.uint8]


PATIENCE_S = 60  # of a test that would fail in any case


class HeldModel:
    """Answers each image with its first value; waits for `release`; fails on a batch that holds a 13."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started = threading.Event()
        self.release = threading.Event()

    def run(self, images: Numbers) -> NDArray[np.float32]:
        self.batches.append(images[:, 0].tolist())
        self.started.set()
        assert self.release.wait(PATIENCE_S)
        if 13 in images:
            raise ArithmeticError("13")
        return images.astype(np.float32)


def wait_for_batches(model: HeldModel, count: int) -> None:
    """Wait while the event loop does nothing."""
    end = time.monotonic() + PATIENCE_S
    while len(model.batches) < count and time.monotonic() < end:
        time.sleep(0.001)


def images(*numbers: int) -> Numbers:
    return np.array(numbers, np.uint8)[:, None]


@contextmanager
def batcher(model: HeldModel, **settings: Any) -> Iterator[Batcher]:
    defaults: dict[str, Any] = {"lanes": 1, "max_batch": 4, "report_chunk": 2, "max_waiting": 8}
    made = Batcher(model.run, **(defaults | settings))
    try:
        yield made
    finally:
        model.release.set()
        made.close()


async def busy(made: Batcher, model: HeldModel) -> asyncio.Task[NDArray[np.float32]]:
    """Occupy the lane; what comes now has to wait."""
    first = asyncio.create_task(made.submit(images(0)))
    await asyncio.to_thread(model.started.wait, PATIENCE_S)
    return first


async def queued(made: Batcher, *jobs: tuple[Numbers, Priority]) -> list[asyncio.Task[NDArray[np.float32]]]:
    tasks = [asyncio.create_task(made.submit(job, priority)) for job, priority in jobs]
    await asyncio.sleep(0)
    return tasks


async def all_busy(made: Batcher, model: HeldModel, waiting: int) -> list[asyncio.Task[NDArray[np.float32]]]:
    """Occupy the lane with image 0, and let plain requests for the images 1, 2, … wait."""
    first = await busy(made, model)
    return [first, *await queued(made, *((images(1 + n), Priority.PLAIN) for n in range(waiting)))]


def test_plain_requests_go_first_and_reports_follow_in_small_chunks() -> None:
    model = HeldModel()

    async def scene(made: Batcher) -> None:
        first = await busy(made, model)
        jobs: list[tuple[Numbers, Priority]] = [(images(20 + n), Priority.REPORT) for n in range(4)]
        jobs += [(images(10 + n), Priority.PLAIN) for n in range(2)]
        tasks = await queued(made, *jobs)
        assert (made.waiting(Priority.PLAIN), made.waiting(Priority.REPORT)) == (2, 4)
        model.release.set()
        answers = await asyncio.gather(first, *tasks)
        assert [int(answer[0, 0]) for answer in answers] == [0, 20, 21, 22, 23, 10, 11]

    with batcher(model) as made:
        asyncio.run(scene(made))
    assert model.batches == [[0], [10, 11], [20, 21], [22, 23]]


def test_a_batch_holds_no_more_than_the_most_and_keeps_jobs_whole() -> None:
    model = HeldModel()

    async def scene(made: Batcher) -> None:
        first = await busy(made, model)
        tasks = await queued(
            made, *((images(n, n + 1, n + 2), Priority.PLAIN) for n in (1, 4)), (images(7), Priority.PLAIN)
        )
        model.release.set()
        answers = await asyncio.gather(first, *tasks)
        assert [answer[:, 0].tolist() for answer in answers] == [[0], [1, 2, 3], [4, 5, 6], [7]]

    with batcher(model) as made:
        asyncio.run(scene(made))
    assert model.batches == [[0], [1, 2, 3], [4, 5, 6, 7]]


def test_one_failing_job_fails_no_other() -> None:
    model = HeldModel()

    async def scene(made: Batcher) -> None:
        first = await busy(made, model)
        tasks = await queued(made, *((images(n), Priority.PLAIN) for n in (12, 13, 14)))
        model.release.set()
        answers = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert [isinstance(answer, ArithmeticError) for answer in answers] == [False, False, True, False]

    with batcher(model) as made:
        asyncio.run(scene(made))


def test_a_cancelled_job_is_not_run_and_makes_room() -> None:
    model = HeldModel()

    async def scene(made: Batcher) -> None:
        first = await busy(made, model)
        gone, kept = await queued(made, (images(1, 2), Priority.PLAIN), (images(3), Priority.PLAIN))
        gone.cancel()
        await asyncio.sleep(0)
        assert made.waiting(Priority.PLAIN) == 1
        model.release.set()
        await asyncio.gather(first, kept)

    with batcher(model) as made:
        asyncio.run(scene(made))
    assert model.batches == [[0], [3]]


def test_a_job_past_its_deadline_is_not_run() -> None:
    model = HeldModel()

    async def scene(made: Batcher) -> None:
        first = await busy(made, model)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(made.submit(images(1)), timeout=0.02)
        model.release.set()
        await first

    with batcher(model) as made:
        asyncio.run(scene(made))
    assert model.batches == [[0]]


def test_the_queue_is_bounded_for_plain_requests() -> None:
    model = HeldModel()

    async def scene(made: Batcher) -> None:
        first = await busy(made, model)
        tasks = await queued(made, (images(1, 2), Priority.PLAIN))
        with pytest.raises(QueueFull):
            await made.submit(images(3))
        model.release.set()
        await asyncio.gather(first, *tasks)

    with batcher(model, max_waiting=2) as made:
        asyncio.run(scene(made))


def test_lanes_run_at_the_same_time_and_an_idle_one_starts_at_once() -> None:
    together = threading.Barrier(2)

    def run(batch: Numbers) -> NDArray[np.float32]:
        together.wait(PATIENCE_S)  # breaks unless both lanes are inside
        return batch.astype(np.float32)

    async def scene(made: Batcher) -> None:
        answers = await asyncio.gather(made.submit(images(1)), made.submit(images(2)))
        assert [int(answer[0, 0]) for answer in answers] == [1, 2]

    made = Batcher(run, lanes=2, max_batch=4, report_chunk=2, max_waiting=8)
    try:
        asyncio.run(scene(made))
    finally:
        made.close()


def test_what_comes_while_the_loop_is_busy_travels_together() -> None:
    model = HeldModel()
    model.release.set()

    async def late(made: Batcher, number: int, turns: int) -> None:
        for _ in range(turns):  # as a request does that is read and decoded first
            await asyncio.sleep(0)
        await made.submit(images(number))

    async def scene(made: Batcher) -> None:
        await asyncio.gather(late(made, 1, 0), late(made, 2, 2), late(made, 3, 4))
        await late(made, 4, 0)

    with batcher(model) as made:
        asyncio.run(scene(made))
    assert model.batches == [[1, 2, 3], [4]]


def test_a_full_batch_waits_for_no_turn_and_a_trickle_does_not_hold_others_up() -> None:
    model = HeldModel()
    model.release.set()

    async def scene(made: Batcher) -> None:
        full = await queued(made, *((images(n), Priority.PLAIN) for n in (1, 2, 3, 4)))
        assert made.waiting(Priority.PLAIN) == 0
        await asyncio.gather(*full)
        waits = await queued(made, (images(5), Priority.PLAIN))
        assert made.waiting(Priority.PLAIN) == 1
        for _ in range(20):  # many turns in which nothing comes
            await asyncio.sleep(0)
        assert made.waiting(Priority.PLAIN) == 0
        await asyncio.gather(*waits)

    with batcher(model) as made:
        asyncio.run(scene(made))
    assert model.batches == [[1, 2, 3, 4], [5]]


def test_on_one_core_a_full_batch_too_waits_until_the_loop_is_done() -> None:
    model = HeldModel()
    model.release.set()

    async def scene(made: Batcher) -> None:
        tasks = await queued(made, *((images(n), Priority.PLAIN) for n in (1, 2, 3, 4)))
        assert made.waiting(Priority.PLAIN) == 4
        await asyncio.gather(*tasks)

    with batcher(model, one_core=True) as made:
        asyncio.run(scene(made))
    assert model.batches == [[1, 2, 3, 4]]


def test_free_lanes_share_what_waits() -> None:
    sizes: list[int] = []
    together = threading.Barrier(2)

    def run(batch: Numbers) -> NDArray[np.float32]:
        sizes.append(len(batch))
        together.wait(PATIENCE_S)
        return batch.astype(np.float32)

    async def scene(made: Batcher) -> None:
        await asyncio.gather(*(made.submit(images(n)) for n in range(4)))

    made = Batcher(run, lanes=2, max_batch=8, report_chunk=2, max_waiting=8)
    try:
        asyncio.run(scene(made))
    finally:
        made.close()
    assert sizes == [2, 2]


def test_a_lane_goes_on_with_a_full_batch_while_the_loop_is_busy() -> None:
    model = HeldModel()

    async def scene(made: Batcher) -> None:
        tasks = await all_busy(made, model, 4)
        assert made.waiting(Priority.PLAIN) == 4
        tasks[2].cancel()
        await asyncio.sleep(0)
        model.release.set()
        wait_for_batches(model, 2)
        assert model.batches == [[0], [1, 3, 4]]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[2], asyncio.CancelledError)
        assert made.waiting(Priority.PLAIN) == 0

    with batcher(model) as made:
        asyncio.run(scene(made))


def test_each_lane_has_one_batch_ahead_and_no_more() -> None:
    model = HeldModel()

    async def scene(made: Batcher) -> None:
        tasks = await all_busy(made, model, 12)
        model.release.set()
        wait_for_batches(model, 2)
        time.sleep(0.1)  # a third would come now
        assert model.batches == [[0], [1, 2, 3, 4]]
        await asyncio.gather(*tasks)

    with batcher(model, max_waiting=16) as made:
        asyncio.run(scene(made))


@pytest.mark.parametrize("lane_is_busy", [True, False])
def test_on_one_core_no_batch_starts_before_the_answers_of_the_last_are_given(lane_is_busy: bool) -> None:
    model = HeldModel()

    async def scene(made: Batcher) -> None:
        tasks = [await busy(made, model)] if lane_is_busy else []
        tasks += await queued(made, *((images(1 + n), Priority.PLAIN) for n in range(8)))
        await asyncio.to_thread(model.started.wait, PATIENCE_S)
        model.release.set()
        time.sleep(0.1)  # a second would come now
        assert len(model.batches) == 1
        await asyncio.gather(*tasks)

    with batcher(model, one_core=True) as made:
        asyncio.run(scene(made))
    assert model.batches[-1] == [5, 6, 7, 8]


def test_who_waits_for_a_batch_that_close_took_back_is_cancelled() -> None:
    model = HeldModel()

    async def scene(made: Batcher) -> None:
        tasks = await all_busy(made, model, 4)
        made.close(wait=False)
        model.release.set()
        async with asyncio.timeout(PATIENCE_S):
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [False, True, True, True, True]

    with batcher(model) as made:
        asyncio.run(scene(made))


def test_images_whose_waiters_left_a_batch_ahead_make_room_and_are_counted_in_no_batch() -> None:
    model, sizes = HeldModel(), list[int]()

    async def scene(made: Batcher) -> None:
        tasks = await all_busy(made, model, 4)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.sleep(0)
        assert made.waiting(Priority.PLAIN) == 0
        model.release.set()
        await tasks[0]
        assert await made.submit(images(9)) == 9

    with batcher(model, on_batch=sizes.append) as made:
        asyncio.run(scene(made))
    assert model.batches == [[0], [9]]
    assert sizes == [1, 1]
