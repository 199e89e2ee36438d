"""Bundles -> a model repository of NVIDIA Triton, and a KServe InferenceService that serves it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from hardener.config.bundle import Bundle, read_bundle
from hardener.config.files import written_whole
from hardener.errors import HardenerError
from hardener.exporters.bento import bento_name

REPOSITORY, SERVICE_FILE = "models", "inference-service.yaml"
_LARGEST_BATCH = 32
_PREFERRED = (4, 8, 16, 32)
_DELAY_US = 1000  # that a request waits for others at most
_TIMEOUT_US = 10_000_000  # as `hardener serve` answers or refuses
_QUEUE = 256


def write_triton(bundles: Sequence[Path], target: Path) -> list[str]:
    """Write `target/models/NAME/`, one for each bundle, and `target/inference-service.yaml`, whole or not at all.

    A model has `config.pbtxt`, `labels.txt` and `1/model.onnx`. Triton takes decoded images: uint8 (N, H, W, C) of the
    bundle's size; decoding, scaling by the bundle's rule and reports are the client's, or those of `hardener serve`.

    Args:
        bundles: folders with `bundle.json`.
        target: what stands there is replaced.
    Returns:
        The models' names.
    Raises:
        HardenerError: no bundle, a changed one, or two that come to the same name.
    """
    read = [(folder, read_bundle(folder)) for folder in bundles]
    names = [bento_name(bundle.name) for _, bundle in read]
    if len(set(names)) < len(names):
        raise HardenerError(f"two bundles come to the same name: {', '.join(names)}. Name their runs differently.")
    with written_whole(target) as folder:
        folder.mkdir()
        for name, (source, bundle) in zip(names, read, strict=True):
            place = folder / REPOSITORY / name
            (place / "1").mkdir(parents=True)
            shutil.copyfile(source / bundle.model.file, place / "1" / "model.onnx")
            (place / "config.pbtxt").write_text(model_config(name, bundle), encoding="utf-8")
            labels = "".join(f"{' '.join(label.split())}\n" for label in bundle.classes)
            (place / "labels.txt").write_text(labels, encoding="utf-8")
        (folder / SERVICE_FILE).write_text(inference_service(names[0]), encoding="utf-8")
    return names


_BATCHING = f"""\
dynamic_batching {{
  preferred_batch_size: [ {", ".join(map(str, _PREFERRED))} ]
  max_queue_delay_microseconds: {_DELAY_US}
  default_queue_policy {{
    timeout_action: REJECT
    default_timeout_microseconds: {_TIMEOUT_US}
    allow_timeout_override: true
    max_queue_size: {_QUEUE}
  }}
}}
"""


def _dims(*sizes: int) -> str:
    return f"[ {', '.join(map(str, sizes))} ]"


def model_config(name: str, bundle: Bundle) -> str:
    """Return `config.pbtxt`: text in protobuf's form of Triton's message `ModelConfig`."""
    spec, classes = bundle.input, len(bundle.classes)
    whole = [] if spec.batch is None else [spec.batch]  # Triton cannot batch what takes one number of images only
    size = _dims(*whole, spec.height, spec.width, spec.channels)
    answer = _dims(*whole, classes)
    # int8 is made for CPUs; a GPU takes it apart into float32 again
    kind = "KIND_CPU" if bundle.quantization is not None else "KIND_AUTO"
    return f"""\
name: {json.dumps(name)}
platform: "onnxruntime_onnx"
max_batch_size: {0 if whole else _LARGEST_BATCH}
input [
  {{
    name: "images"
    data_type: TYPE_UINT8
    dims: {size}
  }}
]
output [
  {{
    name: "logits"
    data_type: TYPE_FP32
    dims: {answer}
    label_filename: "labels.txt"
  }},
  {{
    name: "probabilities"
    data_type: TYPE_FP32
    dims: {answer}
    label_filename: "labels.txt"
  }}
]
instance_group [ {{ kind: {kind} count: 1 }} ]
{"" if whole else _BATCHING}\
# 1: by heuristics. The default tries all algorithms of cuDNN, again for every new batch size.
parameters {{ key: "cudnn_conv_algo_search" value: {{ string_value: "1" }} }}
model_warmup [
  {{
    name: "zeros"
    batch_size: 1
    inputs {{
      key: "images"
      value: {{ data_type: TYPE_UINT8 dims: {size} zero_data: true }}
    }}
  }}
]
"""


def inference_service(name: str) -> str:
    """Return the manifest of a KServe InferenceService; its `storageUri` is to be filled in."""
    manifest = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {
            "predictor": {
                "minReplicas": 1,
                # Triton is not ready from SIGTERM on, and ends when the requests in work are done
                "terminationGracePeriodSeconds": 60,
                "model": {
                    "modelFormat": {"name": "onnx"},
                    "runtime": "kserve-tritonserver",
                    "protocolVersion": "v2",
                    "storageUri": "pvc://CLAIM/models",
                    "resources": {
                        "requests": {"cpu": "1", "memory": "1Gi"},
                        "limits": {"cpu": "2", "memory": "2Gi"},
                    },
                },
            }
        },
    }
    return (
        f"# Copy the folder `{REPOSITORY}` to a volume or a bucket and put its address in `storageUri`. The runtime\n"
        "# `kserve-tritonserver` comes with KServe. For a GPU add `nvidia.com/gpu: 1` to both kinds of resources.\n"
    ) + yaml.safe_dump(manifest, sort_keys=False)
