"""`hardener doctor` on this machine, and on machines that are made to lack something."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from hardener.cli import doctor as room
from hardener.cli import self_test
from hardener.cli.app import app


def test_this_machine_passes_its_self_test(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["doctor", "--json", "--out", str(tmp_path / "runs")])
    assert found.exit_code == 0, found.output
    findings = {finding["name"]: finding for finding in json.loads(found.stdout)}
    assert findings["torch"]["found"] == torch.__version__.partition("+")[0]
    assert {findings[name]["status"] for name in ("training step", "attack", "export", "ONNX Runtime")} == {"ok"}
    assert "lower the loss" in findings["training step"]["found"]


def test_each_fault_is_counted_and_comes_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(device: str) -> str:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(self_test, "_train", broken)
    monkeypatch.setattr(room, "LITTLE_DISK", 1e18)
    monkeypatch.setattr(room, "PACKAGES", ("torch", "no-such-package"))
    found = CliRunner().invoke(app, ["doctor", "--out", str(tmp_path)])
    assert found.exit_code == 1
    words = " ".join(found.output.split())
    assert "no-such-package fault not installed" in words
    assert "RuntimeError: no such kernel" in words
    assert "choose another place with --out" in words
    assert "4 faults: do what stands behind each arrow." in words


def test_a_driver_without_a_gpu_in_torch_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(torch.version, "cuda", None)
    gpu = [finding for finding in room._devices() if finding.name == "GPU"]
    assert [finding.status for finding in gpu] == ["fault"]
    assert "install a CUDA build of torch" in gpu[0].advice
