"""A bundle that cannot be served is refused, with what is wrong and what to do."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from bundles import linear_bundle

from hardener.config.bundle import Bundle, read_bundle
from hardener.errors import HardenerError
from serving.access import Rate
from serving.bundle_check import check_bundle
from serving.cuda_driver import cuda_devices, lock_pages
from serving.engine import BoundSession, Engine
from serving.service_state import ServiceState
from serving.settings import BundleSource, Settings, settings_from_environment

WEIGHTS = np.zeros((8, 8, 3, 2), np.float32)


def rewrite_model(folder: Path, content: bytes) -> None:
    """Replace the model file, and the hash that vouches for it."""
    (folder / "model.onnx").write_bytes(content)
    described = json.loads((folder / "bundle.json").read_text())
    described["model"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(described))


def refused(folder: Path, match: str) -> None:
    bundle = read_bundle(folder)
    with pytest.raises(HardenerError, match=match):
        Engine(folder, bundle, device="cpu")
    with pytest.raises(HardenerError, match=match):
        check_bundle(folder, device="cpu")


def test_a_model_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = linear_bundle(tmp_path, WEIGHTS, (0, 0))
    model = folder / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(HardenerError, match=r"is not the file that bundle\.json describes"):
        ServiceState(Settings(bundles=(BundleSource(folder),), device="cpu"))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"classes": ["a", "b", "c"]}, r"bundle.json names 3 classes"),
        ({"input": {"height": 9}}, r"\['batch', 8, 8, 3\], bundle.json says .* 9, 8, 3\]"),
        ({"input": {"resize": "stretch"}}, r"asks for the resize rule 'stretch'"),
        ({"input": {"channels": 1}}, r"\['batch', 8, 8, 3\], bundle.json says .* 8, 8, 1\]"),
    ],
)
def test_a_graph_unlike_its_description_is_refused(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    refused(linear_bundle(tmp_path, WEIGHTS, (0, 0), changes=changes), match)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    folder = linear_bundle(tmp_path, WEIGHTS, (0, 0))
    rewrite_model(folder, b"no model")
    with pytest.raises(HardenerError, match="cannot be loaded by ONNX Runtime"):
        read_bundle(folder)


def test_other_names_a_fixed_batch_and_float_input_are_refused(tmp_path: Path) -> None:
    folder = linear_bundle(tmp_path, WEIGHTS, (0, 0))
    original = onnx.load(str(folder / "model.onnx"))

    model = onnx.ModelProto()
    model.CopyFrom(original)
    del model.graph.output[0]
    rewrite_model(folder, model.SerializeToString())
    refused(folder, "the service needs")

    model.CopyFrom(original)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    rewrite_model(folder, model.SerializeToString())
    refused(folder, r"takes tensor\(uint8\) \[1, 8, 8, 3\]")

    model.CopyFrom(original)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    rewrite_model(folder, model.SerializeToString())
    refused(folder, r"takes tensor\(float\)")


@pytest.mark.parametrize("pinned", [False, True])
def test_bound_buffers_answer_as_a_plain_run_does(tmp_path: Path, pinned: bool) -> None:
    """On the CPU, where ONNX Runtime has the same calls; a batch after a larger one must not see its rows."""
    generator = np.random.default_rng(0)
    folder = linear_bundle(tmp_path, generator.normal(size=(8, 8, 3, 4)).astype(np.float32), (0, 0, 0, 0))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    bound = BoundSession(session, (8, 8, 3), device="cpu", pinned=pinned)
    kept = []
    for count in (1, 5, 32, 3, 8, 5):
        images = generator.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        kept.append((bound.run(images[::-1]), session.run(["logits", "probabilities"], {"images": images[::-1]})))
    with ThreadPoolExecutor(1) as other:
        answer = other.submit(bound.run, images).result()
    kept.append((answer, session.run(["logits", "probabilities"], {"images": images})))
    for found, wanted in kept:
        for one, other_one in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one[: len(other_one)], other_one, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(cuda_devices() > 0, reason="there is a GPU")
def test_memory_is_not_said_to_be_pinned_where_it_is_not(tmp_path: Path) -> None:
    assert not lock_pages(np.zeros(4096, np.uint8))
    folder = linear_bundle(tmp_path, WEIGHTS, (0, 0))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    bound = BoundSession(session, WEIGHTS.shape[:3], device="cpu", pinned=True)
    bound.run(np.zeros((1, *WEIGHTS.shape[:3]), np.uint8))
    assert not bound.all_pinned


@pytest.mark.skipif(cuda_devices() > 0, reason="there is a GPU")
def test_cuda_is_not_silently_replaced_by_the_cpu(tmp_path: Path) -> None:
    folder = linear_bundle(tmp_path, WEIGHTS, (0, 0))
    with pytest.raises(HardenerError, match=r"CUDA|no GPU"):
        Engine(folder, read_bundle(folder), device="cuda")
    assert Engine(folder, read_bundle(folder), device="auto").provider == "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("HARDENER_BUNDLE", "", "HARDENER_BUNDLE is not set"),
        ("HARDENER_DEVICE", "tpu", "auto, cpu or cuda; got 'tpu'"),
        ("HARDENER_DRAWS", "0", r"--draws \(HARDENER_DRAWS\) must be a whole number from 1 to 100000; got '0'"),
        ("HARDENER_RATE", "0", "HARDENER_RATE must be requests a second, .* as 5 or 0.5:10; got '0'"),
        ("HARDENER_CORS", "a.example", "HARDENER_CORS takes .* https://host .*; got 'a.example'"),
        ("HARDENER_CLOSED", "metrics,door", "HARDENER_CLOSED takes metrics, docs, page; got 'door'"),
        ("HARDENER_LOG", "xml", "HARDENER_LOG must be text or json; got 'xml'"),
        ("HARDENER_LANES", "many", "HARDENER_LANES must be a whole number from 1 to 256; got 'many'"),
    ],
)
def test_a_setting_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, match: str) -> None:
    monkeypatch.setenv("HARDENER_BUNDLE", "somewhere")
    monkeypatch.setenv(name, value)
    with pytest.raises(HardenerError, match=match):
        settings_from_environment()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    values = {
        "BUNDLE": os.pathsep.join(["somewhere", "b=elsewhere", str(tmp_path)]),
        "DEFAULT": "b",
        "DEVICE": "cpu",
        "DRAWS": "64",
        "QUERIES": "50",
        "REPORT_SECONDS": "2.5",
        "LANES": "3",
        "WORKERS": "2",
        "TOKENS": "tokens.txt",
        "TOKEN_HASHES": "me 00ff",
        "RATE": "5:20",
        "CORS": "https://a.example, https://b.example",
        "CLOSED": "metrics,page",
        "LOG": "json",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"HARDENER_{name}", value)
    assert settings_from_environment() == Settings(
        bundles=(BundleSource(Path("somewhere")), BundleSource(Path("elsewhere"), "b"), BundleSource(tmp_path)),
        default="b",
        device="cpu",
        draws=64,
        queries=50,
        report_seconds=2.5,
        lanes=3,
        workers=2,
        tokens=Path("tokens.txt"),
        token_hashes="me 00ff",
        rate=Rate(5, 20),
        cors=("https://a.example", "https://b.example"),
        closed=frozenset({"metrics", "page"}),
        log="json",
    )


def test_a_folder_with_an_equals_sign_in_its_name_is_a_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "eps=8"
    folder.mkdir()
    monkeypatch.setenv("HARDENER_BUNDLE", str(folder))
    assert settings_from_environment().bundles == (BundleSource(folder),)


@pytest.mark.parametrize("only", [1, 4])
def test_a_file_for_one_number_of_images_answers_fewer_as_well(tmp_path: Path, only: int) -> None:
    plain = Engine(*bundle_of(tmp_path / "plain"), device="cpu")
    folder = linear_bundle(tmp_path / "fixed", WEIGHTS, (0, 0), changes={"input": {"batch": only}})
    model = onnx.load(str(folder / "model.onnx"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = only
    rewrite_model(folder, model.SerializeToString())
    engine = Engine(folder, read_bundle(folder), device="cpu")
    assert engine.max_batch == engine.report_chunk == only
    images = np.random.default_rng(1).integers(0, 256, (only, 8, 8, 3), dtype=np.uint8)
    for count in range(1, only + 1):
        np.testing.assert_allclose(engine.answers(images[:count]), plain.answers(images[:count]), rtol=1e-6)


def bundle_of(folder: Path) -> tuple[Path, Bundle]:
    made = linear_bundle(folder, WEIGHTS, (0, 0))
    return made, read_bundle(made)
