"""BentoML's own way to batch: a batchable API over a list of images.

`PEER_MODEL=model.onnx bentoml serve peer_bentoml:Peer` starts it. `max_latency_ms` is long, because its dispatcher
refuses with 503 what it believes to come later.
"""

import os

import bentoml
import numpy as np
import onnxruntime
from PIL import Image


@bentoml.service(workers=int(os.environ.get("PEER_WORKERS", "1")), traffic={"timeout": 60})
class Peer:
    """A model behind BentoML's adaptive batching."""

    def __init__(self) -> None:
        """Load the model and run it once."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            os.environ["PEER_MODEL"], sess_options=options, providers=["CPUExecutionProvider"]
        )
        _, self._height, self._width, _ = self._session.get_inputs()[0].shape
        self._session.run(["probabilities"], {"images": np.zeros((1, self._height, self._width, 3), np.uint8)})

    @bentoml.api(batchable=True, max_batch_size=8, max_latency_ms=60_000)  # type: ignore[untyped-decorator]
    def predict(self, images: list[Image.Image]) -> list[dict[str, float]]:
        """Answer each with the five likeliest classes."""
        size = (self._width, self._height)
        rgb = [image.convert("RGB") for image in images]
        rows = [
            np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)) for image in rgb
        ]
        answers = []
        for probabilities in self._session.run(["probabilities"], {"images": np.stack(rows)})[0]:
            best = probabilities.argsort()[::-1][:5]
            answers.append({f"class-{index:03d}": float(probabilities[index]) for index in best})
        return answers
