"""The service as users start it: BentoML, a port, one line for what is wrong at the start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
from bundles import image_bytes, linear_bundle
from running import ROOT, server

from hardener.config.answer import Prediction

WEIGHTS = np.random.default_rng(0).normal(size=(16, 16, 3, 2)).astype(np.float32)


def test_the_service_answers_reports_counts_and_ends_on_sigterm(tmp_path: Path) -> None:
    image = image_bytes(np.full((40, 30, 3), 90, np.uint8), "JPEG")
    variables = {"HARDENER_MAX_HEADERS": "50", "FORWARDED_ALLOW_IPS": "*"}
    with server(linear_bundle(tmp_path, WEIGHTS, (0, 0)), **variables) as running:
        running.wait_until_ready()
        assert running.count("FORWARDED_ALLOW_IPS='*' is not read") == 1
        with httpx.Client(base_url=running.url, timeout=60) as client:
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
            many = client.get("/healthz", headers={f"x-{number}": "1" for number in range(60)})
            assert (many.status_code, many.json()["detail"]) == (431, "the request has more than 50 headers.")
        running.process.terminate()
        assert running.wait_for_end() == 0, running.output
        assert "Traceback" not in running.output


def test_a_broken_bundle_ends_the_start_with_one_line(tmp_path: Path) -> None:
    folder = linear_bundle(tmp_path, WEIGHTS, (0, 0))
    (folder / "model.onnx").write_bytes(b"broken")
    with server(folder) as running:
        assert running.wait_for_end() == 2
    lines = [line for line in running.output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "is not the file that bundle.json describes" in lines[0]
    assert "Traceback" not in running.output


def test_the_service_loads_no_torch_and_outlasts_its_own_deadlines() -> None:
    script = """
import sys
from serving.service import HardenerService
from serving.settings import Settings
loaded = {"torch", "torchvision", "hardener.cli"} & set(sys.modules)
assert not loaded, loaded
assert not HardenerService.apis
# where BentoML's app is in between, for its traces, it answers nothing by itself: /schema.json would need no token
import asyncio
from serving import service
seen = []
async def ours(scope, receive, send):
    seen.append(scope["path"])
service._mounted.app = ours
((guard, options),) = HardenerService.middlewares
asyncio.run(guard(None, **options)({"type": "http", "path": "/schema.json"}, None, None))
assert seen == ["/schema.json"]
assert HardenerService.config["traffic"]["timeout"] > Settings.max_report_seconds + Settings.predict_timeout_s
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
