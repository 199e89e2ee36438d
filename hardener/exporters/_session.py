"""An exported file, opened to be compared or timed."""

from __future__ import annotations

from pathlib import Path

import onnxruntime


def open_session(path: Path, *, threads: int = 0) -> onnxruntime.InferenceSession:
    """Open a file on the CPU; 0 threads: as many as ONNX Runtime takes by itself."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
