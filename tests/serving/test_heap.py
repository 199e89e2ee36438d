"""Memory goes back to the system, also that of threads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# without the call below, 192 MB stay
SCRIPT = """
from concurrent.futures import ThreadPoolExecutor
from serving.heap import give_large_blocks_back

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

give_large_blocks_back()

def work(size):
    blocks = [bytes(size) for _ in range(40)]
    for block in blocks:
        block.find(b"x")  # so that every page is there
    return bytearray(2000)  # something small stays above the blocks

before = resident()
with ThreadPoolExecutor(2) as threads:
    kept = []
    for size in (2_200_000, 3_000_000, 4_000_000):
        kept += threads.map(work, [size] * 4)
    print((resident() - before) // 1_000_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc, which Linux has")
def test_large_blocks_of_threads_do_not_stay() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 20
