"""The servers of others that load.py measures beside ours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from load_bench import Bench
from server_process import ROOT, Server, free_port, serving


@dataclass(frozen=True)
class _Peer:
    field: str
    command: Callable[[str, int, int], list[str]]


def _bentoml(python: str, port: int, workers: int) -> list[str]:
    command = [python, "-m", "bentoml", "serve", "peer_bentoml:Peer", "--host", "127.0.0.1", "--port", str(port)]
    return [*command, "--working-dir", str(ROOT / "bench/serving"), "--timeout-graceful-shutdown", "5"]


def _fastapi(python: str, port: int, workers: int) -> list[str]:
    command = [python, "-m", "uvicorn", "peer_fastapi:app", "--host", "127.0.0.1", "--port", str(port)]
    return [*command, "--workers", str(workers), "--no-access-log", "--log-level", "warning"]


PEERS = {"bentoml": _Peer("images", _bentoml), "fastapi": _Peer("image", _fastapi)}


def serve_peer(bench: Bench, name: str, bundle: str) -> contextlib.AbstractContextManager[Server]:
    """Start a peer with a worker a core, so that it too uses them all."""
    port = free_port()
    model = bench.bundle(bundle) / "model.onnx"
    return serving(
        PEERS[name].command(bench.asked.peer_python, port, bench.lanes),
        port=port,
        environment={"PEER_MODEL": str(model), "PEER_WORKERS": str(bench.lanes)},
        cores=bench.cores,
        cwd=ROOT / "bench/serving",
    )
