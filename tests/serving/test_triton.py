"""The layout for Triton and KServe. No Triton is here; tritonclient, where it is installed, brings its messages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml
from bundles import linear_bundle

from hardener.config.bundle import read_bundle
from hardener.errors import HardenerError
from hardener.exporters.triton import model_config, write_triton

WEIGHTS = np.random.default_rng(0).normal(size=(4, 6, 3, 2)).astype(np.float32)


def parsed(text: str) -> dict[str, Any]:
    """Read what `model_config` uses of protobuf's text form: messages, lists, strings, names and numbers."""
    tokens = re.findall(r'"[^"]*"|[\[\]{}:,]|[\w.]+', re.sub(r"#.*", "", text))

    def message(end: str | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while tokens and tokens[0] != end:
            name = tokens.pop(0)
            if tokens[0] == ":":
                tokens.pop(0)
            found[name] = value()
        if end is not None:
            assert tokens.pop(0) == end
        return found

    def value() -> Any:
        token = tokens.pop(0)
        if token == "{":
            return message("}")
        if token == "[":
            items = []
            while tokens[0] != "]":
                items.append(value())
                if tokens[0] == ",":
                    tokens.pop(0)
            tokens.pop(0)
            return items
        return token.strip('"') if not token.isdecimal() else int(token)

    return message(None)


def test_the_configuration_is_what_the_file_takes_and_gives(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle", WEIGHTS, (0, 0), classes=["cat", "big  dog"])
    assert write_triton([bundle], tmp_path / "triton") == ["linear"]
    place = tmp_path / "triton" / "models" / "linear"
    files = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    assert files == ["1/model.onnx", "config.pbtxt", "labels.txt"]
    assert (place / "labels.txt").read_text() == "cat\nbig dog\n"
    config = parsed((place / "config.pbtxt").read_text())
    session = onnxruntime.InferenceSession(str(place / "1" / "model.onnx"), providers=["CPUExecutionProvider"])
    kinds = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}
    (images,) = session.get_inputs()
    assert config["input"] == [{"name": images.name, "data_type": kinds[images.type], "dims": images.shape[1:]}]
    assert [(entry["name"], entry["data_type"], entry["dims"]) for entry in config["output"]] == [
        (node.name, kinds[node.type], node.shape[1:]) for node in session.get_outputs()
    ]
    assert (config["name"], config["platform"]) == ("linear", "onnxruntime_onnx")
    assert max(config["dynamic_batching"]["preferred_batch_size"]) <= config["max_batch_size"]
    assert config["dynamic_batching"]["default_queue_policy"]["timeout_action"] == "REJECT"
    assert config["model_warmup"][0]["inputs"]["value"]["dims"] == images.shape[1:]


def test_triton_itself_would_read_the_configuration(tmp_path: Path) -> None:
    messages = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="pip install tritonclient[grpc]")
    from google.protobuf import text_format  # type: ignore[import-untyped]

    bundle = read_bundle(linear_bundle(tmp_path, WEIGHTS, (0, 0)))
    config = text_format.Parse(model_config("linear", bundle), messages.ModelConfig())
    assert (list(config.input[0].dims), config.max_batch_size, len(config.output)) == ([4, 6, 3], 32, 2)


def test_the_inference_service_names_the_model_and_a_place_to_fill_in(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle", WEIGHTS, (0, 0), changes={"name": "My Model"})
    write_triton([bundle], tmp_path / "triton")
    manifest = yaml.safe_load((tmp_path / "triton" / "inference-service.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    assert manifest["metadata"] == {"name": "my-model"}
    model = manifest["spec"]["predictor"]["model"]
    assert (model["runtime"], model["protocolVersion"]) == ("kserve-tritonserver", "v2")
    assert model["storageUri"].endswith("/models")


def test_two_of_one_name_and_a_changed_bundle_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    first = linear_bundle(tmp_path / "a", WEIGHTS, (0, 0), changes={"name": "m_1"})
    second = linear_bundle(tmp_path / "b", WEIGHTS, (0, 0), changes={"name": "m-1"})
    with pytest.raises(HardenerError, match="two bundles come to the same name: m-1, m-1"):
        write_triton([first, second], tmp_path / "triton")
    (second / "model.onnx").write_bytes(b"changed")
    with pytest.raises(HardenerError, match="is not the file that bundle.json describes"):
        write_triton([second], tmp_path / "triton")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_file_for_8_images_is_configured_without_batching(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle", WEIGHTS, (0, 0), changes={"input": {"batch": 8}})
    config = parsed(model_config("fixed", read_bundle(bundle)))
    assert config["max_batch_size"] == 0
    assert "dynamic_batching" not in config
    assert config["input"][0]["dims"] == [8, 4, 6, 3]
    assert [output["dims"] for output in config["output"]] == [[8, 2], [8, 2]]
