"""What one writes in an afternoon: FastAPI and ONNX Runtime. `PEER_MODEL=model.onnx uvicorn peer_fastapi:app`.

Its functions are plain ones, so FastAPI runs them in its thread pool and ONNX Runtime's runs lie side by side.
"""

import io
import os

import numpy as np
import onnxruntime
from fastapi import FastAPI, UploadFile
from PIL import Image

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(
    os.environ["PEER_MODEL"], sess_options=options, providers=["CPUExecutionProvider"]
)
_, HEIGHT, WIDTH, _ = session.get_inputs()[0].shape
session.run(["probabilities"], {"images": np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)})
app = FastAPI()


@app.post("/predict")  # type: ignore[untyped-decorator]
def predict(image: UploadFile) -> dict[str, float]:
    """Answer with the five likeliest classes."""
    picture = Image.open(io.BytesIO(image.file.read())).convert("RGB")
    if picture.size != (WIDTH, HEIGHT):
        picture = picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    probabilities = session.run(["probabilities"], {"images": np.asarray(picture)[None]})[0][0]
    best = probabilities.argsort()[::-1][:5]
    return {f"class-{index:03d}": float(probabilities[index]) for index in best}


@app.get("/readyz")  # type: ignore[untyped-decorator]
def readyz() -> str:
    """Say that the model is loaded."""
    return "ok"
