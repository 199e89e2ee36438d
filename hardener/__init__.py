"""Train an image classifier to be robust, say with evidence how robust it is, export it to ONNX and serve it."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reads it when it is imported

__version__ = "0.2.0"
