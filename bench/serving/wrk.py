"""wrk, the load generator of Debian (`apt-get install wrk`), told to send one prepared request."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hammer import Load, run

_SCRIPT = """
local file = assert(io.open("{body}", "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "{content_type}"
function done(summary, latency, requests)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{{"requests": %d, "seconds": %.6f, "failed": %d, "p50_ms": %.3f, "p99_ms": %.3f}}\\n',
    summary.requests, summary.duration / 1e6,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True)
class Rate:
    """Answers with a good status a second, the times of all, and how many were not good."""

    per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    requests: int


def available() -> bool:
    """Is wrk installed?"""
    return shutil.which("wrk") is not None


def closed_loop(
    port: int,
    path: str,
    body: bytes,
    *,
    content_type: str,
    clients: int,
    seconds: float,
    own: bool = False,
    cores: str | None = None,
) -> Rate:
    """Send `body` again and again from some clients, each waiting for its answer; by wrk, or by our own generator."""
    if own or not available():
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        found = run(Load(port, [request], connections=clients, seconds=seconds), cores)
        good = found.statuses().get("200", 0)
        return Rate(found.per_s(), found.ms(50), found.ms(99), len(found.samples) - good, len(found.samples))
    with tempfile.TemporaryDirectory(prefix="hardener-bench-") as folder:
        (Path(folder) / "body").write_bytes(body)
        script = _SCRIPT.format(body=Path(folder) / "body", content_type=content_type)
        (Path(folder) / "post.lua").write_text(script)
        command = ["taskset", "-c", cores] if cores else []
        command += ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        command += ["-s", str(Path(folder) / "post.lua"), f"http://127.0.0.1:{port}{path}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    told = json.loads(done.stderr.strip().splitlines()[-1])
    good = told["requests"] - told["failed"]
    return Rate(good / told["seconds"], told["p50_ms"], told["p99_ms"], told["failed"], told["requests"])
