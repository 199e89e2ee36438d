"""The service as users start it: BentoML, a port, signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from bundles import image_bytes, linear_bundle

from hardener.config.answer import Prediction

ROOT = Path(__file__).parents[2]
WEIGHTS = np.random.default_rng(0).normal(size=(16, 16, 3, 2)).astype(np.float32)


@contextmanager
def server(bundle: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the service on a free port; end it where the test did not."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {name: value for name, value in os.environ.items() if name != "BENTOML_CONTAINERIZED"}
    environment |= {"HARDENER_BUNDLE": str(bundle), "HARDENER_DEVICE": "cpu", "BENTOML_DO_NOT_TRACK": "True"}
    environment |= variables
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:HardenerService"]
    command += ["--host", "127.0.0.1", "--port", port]
    command += ["--timeout-graceful-shutdown", "5", "--working-dir", str(ROOT)]
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            process.terminate()  # the supervisor alone can end its workers
            process.communicate(timeout=30)


def wait_until_ready(process: subprocess.Popen[str], url: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=30).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"the server is not ready; exit code {process.poll()}")


def test_the_service_answers_reports_counts_and_ends_on_sigterm(tmp_path: Path) -> None:
    image = image_bytes(np.full((40, 30, 3), 90, np.uint8), "JPEG")
    with server(linear_bundle(tmp_path, WEIGHTS, (0, 0))) as (process, url):
        wait_until_ready(process, url)
        with httpx.Client(base_url=url, timeout=30) as client:
            answer = client.post("/predict", files={"image": image}, data={"report": "true"})
            assert answer.status_code == 200, answer.text
            assert Prediction.model_validate_json(answer.content).report is not None
            assert 'hardener_reports_total{model="linear"} 1.0' in client.get("/metrics").text.splitlines()
            assert client.get("/healthz").status_code == 200
            for method, path, status in (("GET", "/predict", 405), ("GET", "/nothing", 404)):
                problem = client.request(method, path)
                assert (problem.status_code, problem.json()["status"]) == (status, status)
            assert client.post("/predict", content=bytes(21 * 1024 * 1024)).status_code == 415
            form = {"files": {"image": bytes(21 * 1024 * 1024)}}
            assert client.post("/predict", **form).status_code == 413  # type: ignore[arg-type]
            assert "googletagmanager" not in client.get("/").text
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 0, output
        assert time.monotonic() - started < 6
        assert "Traceback" not in output


def test_a_broken_bundle_ends_the_start_with_one_line(tmp_path: Path) -> None:
    folder = linear_bundle(tmp_path, WEIGHTS, (0, 0))
    (folder / "model.onnx").write_bytes(b"broken")
    with server(folder) as (process, _):
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "is not the file that bundle.json describes" in lines[0]
    assert "Traceback" not in output


def test_the_service_loads_no_torch_and_outlasts_its_own_deadlines() -> None:
    script = """
import sys
from serving.service import HardenerService
from serving.settings import Settings
loaded = {"torch", "torchvision", "hardener.cli"} & set(sys.modules)
assert not loaded, loaded
assert not HardenerService.apis
assert HardenerService.config["traffic"]["timeout"] > Settings.max_report_seconds + Settings.predict_timeout_s
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
