"""The room itself: it reads records, so it needs no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hardener.reports
import hardener.statistics


def test_no_report_and_no_statistic_loads_torch() -> None:
    modules = [
        f"{room.__name__}.{path.stem}"
        for room in (hardener.reports, hardener.statistics)
        for path in sorted(Path(str(room.__file__)).parent.glob("*.py"))
        if path.stem != "__init__"
    ]
    assert len(modules) > 10
    code = (
        f"import sys, importlib\nfor name in {modules!r}: importlib.import_module(name)\n"
        "loaded = {'torch', 'torchvision', 'matplotlib', 'onnx', 'onnxruntime'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
