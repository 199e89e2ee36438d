"""The floor: ONNX Runtime in a bare loop with the service's own decoder and nothing else.

Each lane decodes a batch of JPEGs, runs the model, and begins again; the lanes are threads on one session, as in the
service, or processes. Prints JSON: images a second of all lanes together, the median time of one batch, and processor
milliseconds an image.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from hardener.data.decode import decode_image

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")


@dataclass(frozen=True)
class Floor:
    """What the bare loop does."""

    per_s: float
    batch_ms: float
    cpu_ms: float


def floor(
    model: Path,
    image: Path,
    *,
    batch: int,
    lanes: int,
    seconds: float,
    processes: bool = False,
    decode: bool = True,
    cores: str | None = None,
) -> Floor:
    """Run the loop in a fresh process."""
    command = ["taskset", "-c", cores] if cores else []
    command += [sys.executable, str(Path(__file__).resolve()), str(model), str(image), "--batch", str(batch)]
    command += ["--lanes", str(lanes), "--seconds", str(seconds)]
    command += (["--processes"] if processes else []) + ([] if decode else ["--no-decode"])
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    return Floor(**json.loads(done.stdout))


def open_session(model: Path) -> onnxruntime.InferenceSession:
    """Open a session with the service's settings: one thread, no spinning."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(model), sess_options=options, providers=["CPUExecutionProvider"])


def _lane(
    session: onnxruntime.InferenceSession,
    data: bytes,
    asked: argparse.Namespace,
    begin: Callable[[], object],
    found: Callable[[list[float]], None],
) -> None:
    _, height, width, channels = session.get_inputs()[0].shape

    def images() -> NDArray[np.uint8]:
        rows = [
            decode_image(data, height=height, width=width, channels=channels, formats=_FORMATS)
            for _ in range(asked.batch)
        ]
        return np.stack(rows)

    ready = images()
    for _ in range(2):
        session.run(["probabilities"], {"images": ready})
    begin()
    times: list[float] = []
    end = time.perf_counter() + asked.seconds
    while (now := time.perf_counter()) < end:
        batch = images() if asked.decode else ready
        session.run(["probabilities"], {"images": batch})[0].argmax(axis=1)
        times.append(time.perf_counter() - now)
    found(times)


def _process(asked: argparse.Namespace, barrier: Any, answers: Any) -> None:
    used = time.process_time()

    def begin() -> None:
        nonlocal used
        barrier.wait()
        used = time.process_time()

    def found(times: list[float]) -> None:
        answers.put((times, time.process_time() - used))

    _lane(open_session(asked.model), asked.image.read_bytes(), asked, begin, found)


def _in_processes(asked: argparse.Namespace) -> tuple[list[list[float]], float]:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(asked.lanes), context.Queue()
    running = [context.Process(target=_process, args=(asked, barrier, answers)) for _ in range(asked.lanes)]
    for process in running:
        process.start()
    told = [answers.get(timeout=asked.seconds + 60) for _ in running]
    for process in running:
        process.join()
    return [times for times, _ in told], sum(used for _, used in told)


def _in_threads(asked: argparse.Namespace) -> tuple[list[list[float]], float]:
    session, data = open_session(asked.model), asked.image.read_bytes()
    barrier, lists = threading.Barrier(asked.lanes + 1), list[list[float]]()
    running = [
        threading.Thread(target=_lane, args=(session, data, asked, barrier.wait, lists.append))
        for _ in range(asked.lanes)
    ]
    for thread in running:
        thread.start()
    barrier.wait()
    used = time.process_time()
    for thread in running:
        thread.join()
    return lists, time.process_time() - used


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("image", type=Path)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--processes", action="store_true", help="lanes are processes, each with its own session")
    parser.add_argument("--no-decode", dest="decode", action="store_false", help="the model alone")
    asked = parser.parse_args()
    lists, used = (_in_processes if asked.processes else _in_threads)(asked)
    images = asked.batch * sum(map(len, lists))
    told = {
        # of each lane its own time: the last batch ends after the bell
        "per_s": sum(asked.batch * len(times) / sum(times) for times in lists),
        "batch_ms": 1000 * statistics.median(time for times in lists for time in times),
        "cpu_ms": 1000 * used / images,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
