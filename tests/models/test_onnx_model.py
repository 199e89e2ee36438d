from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from hardener.config.bundle import sha256_of
from hardener.errors import Failure, HardenerError
from hardener.evaluation.robust_accuracy import AttackPlan, robust_accuracy
from hardener.exporters.onnx import export_onnx
from hardener.models.normalize import ImageClassifier
from hardener.models.onnx.model import open_onnx
from hardener.threat import ThreatModel

SHAPE = (3, 8, 6)
CLASSES = ["cat", "dog", "owl"]
Exported = tuple[ImageClassifier, Path]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A network and the file that `hardener export` writes of it."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3))
    classifier = ImageClassifier(network, mean=(0.5,) * 3, std=(0.1,) * 3, classes=CLASSES).eval()
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    facts = {"classes": json.dumps(CLASSES), "input_size": json.dumps([8, 6, 3])}
    export_onnx(classifier, path, height=8, width=6, channels=3, metadata=facts)
    return classifier, path


def weights_of(shape: Sequence[int] = SHAPE) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(int(np.prod(shape)), 3)).astype(np.float32)


def linear_file(
    path: Path,
    shape: Sequence[int | str | None],
    *,
    last: Sequence[str] = (),
    kind: int = TensorProto.FLOAT,
    outputs: Sequence[str] = ("scores",),
    answer: Sequence[int | str | None] | None = ("batch", 3),
    inputs: Sequence[str] = ("x",),
    facts: dict[str, str] | None = None,
) -> Path:
    """Write a file with the logits flatten(x) @ weights_of(SHAPE), and then the operators `last`."""
    nodes = [
        helper.make_node("Cast", [inputs[0]], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["product"]),
    ]
    here = "product"
    for place, operator in enumerate(last):
        nodes.append(helper.make_node(operator, [here], [f"after{place}"]))
        here = f"after{place}"
    nodes += [helper.make_node("Identity", [here], [name]) for name in outputs]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, answer) for name in outputs],
        [numpy_helper.from_array(weights_of(), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, facts or {})
    onnx.save(model, str(path))
    return path


def products(images: Tensor) -> Tensor:
    return images.flatten(1) @ torch.from_numpy(weights_of())


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_an_exported_file_answers_as_the_network_does(exported: Exported, batch: int) -> None:
    classifier, path = exported
    found = open_onnx(path)
    images = torch.randint(0, 256, (batch, *SHAPE)).float() / 255
    with torch.no_grad():
        torch.testing.assert_close(found(images), classifier(images), atol=1e-5, rtol=1e-4)


def test_an_exported_file_says_its_classes_size_and_fingerprint(exported: Exported) -> None:
    _, path = exported
    found = open_onnx(path)
    assert found.classes == ("cat", "dog", "owl")
    assert found.image_shape == (8, 6, 3)
    assert found.fingerprint == sha256_of(path)
    assert found.takes_bytes
    assert not found.training


def test_a_file_of_bytes_sees_the_nearest_of_256_levels(exported: Exported) -> None:
    classifier, path = exported
    found = open_onnx(path)
    levels = torch.randint(1, 255, (4, *SHAPE)).float()
    below_half = levels + 0.98 * (torch.rand(levels.shape) - 0.5)
    torch.testing.assert_close(found(below_half / 255), found(levels / 255), atol=0, rtol=0)
    with torch.no_grad():
        assert not torch.allclose(classifier(below_half / 255), classifier(levels / 255), atol=1e-4)


def test_the_answer_has_no_gradient_and_the_images_stay(exported: Exported) -> None:
    found = open_onnx(exported[1])
    images = torch.rand(2, *SHAPE, requires_grad=True)
    kept = images.detach().clone()
    assert not found(images).requires_grad
    assert torch.equal(images, kept)


def test_a_foreign_file_with_float_images_is_understood(tmp_path: Path) -> None:
    found = open_onnx(linear_file(tmp_path / "m.onnx", ["batch", *SHAPE]))
    images = torch.rand(5, *SHAPE)
    torch.testing.assert_close(found(images), products(images), atol=1e-5, rtol=1e-5)
    assert (found.classes, found.image_shape, found.takes_bytes) == ((), (8, 6, 3), False)


def test_channels_may_come_last_as_floats_and_first_as_bytes(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (2, *SHAPE)).float() / 255
    last = open_onnx(linear_file(tmp_path / "last.onnx", ["batch", 8, 6, 3]))
    torch.testing.assert_close(last(images), products(images.permute(0, 2, 3, 1)), atol=1e-5, rtol=1e-5)
    first = open_onnx(linear_file(tmp_path / "first.onnx", ["batch", 3, 8, 6], kind=TensorProto.UINT8))
    torch.testing.assert_close(first(images), 255 * products(images), atol=1e-2, rtol=1e-4)


def test_a_file_of_any_size_takes_any_size(tmp_path: Path) -> None:
    found = open_onnx(linear_file(tmp_path / "m.onnx", ["batch", 3, "height", "width"]))
    assert found.image_shape == (None, None, 3)
    images = torch.rand(2, 3, 12, 4)  # as many pixels as the weights want
    torch.testing.assert_close(found(images), products(images), atol=1e-5, rtol=1e-5)
    with pytest.raises(Failure, match=r"ONNX Runtime cannot run .*m.onnx on \(1, 3, 5, 5\): "):
        found(torch.rand(1, 3, 5, 5))


@pytest.mark.parametrize("count", [0, 1, 4, 7, 8])
def test_a_fixed_batch_is_fed_in_full_pieces(tmp_path: Path, count: int) -> None:
    found = open_onnx(linear_file(tmp_path / "m.onnx", [4, *SHAPE], answer=(4, 3)))
    images = torch.rand(count, *SHAPE)
    torch.testing.assert_close(found(images), products(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("last", "outputs"), [(["Softmax"], ["y"]), (["Softmax", "Identity"], ["y"])])
def test_of_probabilities_the_logarithm_is_returned(tmp_path: Path, last: list[str], outputs: list[str]) -> None:
    found = open_onnx(linear_file(tmp_path / "m.onnx", ["batch", *SHAPE], last=last, outputs=outputs))
    images = torch.rand(5, *SHAPE) / 10
    torch.testing.assert_close(found(images), products(images).log_softmax(1), atol=1e-5, rtol=1e-4)


def test_a_probability_of_zero_stays_finite(tmp_path: Path) -> None:
    path = linear_file(tmp_path / "m.onnx", ["batch", *SHAPE], last=["Softmax"], kind=TensorProto.UINT8)
    assert bool(open_onnx(path)(torch.rand(5, *SHAPE)).isfinite().all())


def test_logits_are_taken_where_both_are_offered(tmp_path: Path) -> None:
    path = linear_file(tmp_path / "m.onnx", ["batch", *SHAPE], outputs=["probabilities", "logits"])
    images = torch.rand(2, *SHAPE)
    torch.testing.assert_close(open_onnx(path)(images), products(images), atol=1e-5, rtol=1e-5)


def test_an_answer_whose_shape_the_file_does_not_say_is_checked_when_it_comes(tmp_path: Path) -> None:
    found = open_onnx(linear_file(tmp_path / "m.onnx", ["batch", *SHAPE], last=["Squeeze"], answer=None))
    images = torch.rand(2, *SHAPE)
    torch.testing.assert_close(found(images), products(images), atol=1e-5, rtol=1e-5)
    with pytest.raises(
        HardenerError, match=r"answers with an array of shape \(3,\); a classifier answers with \(N, K\)"
    ):
        found(images[:1])


@pytest.mark.parametrize("told", ["no json", '["a", "b"]', '{"0": "a"}'])
def test_class_names_that_do_not_fit_are_left_out(tmp_path: Path, told: str) -> None:
    path = linear_file(tmp_path / "m.onnx", ["batch", *SHAPE], facts={"classes": told, "input_size": told})
    found = open_onnx(path)
    assert (found.classes, found.image_shape) == ((), (8, 6, 3))


def test_weights_beside_the_file_count_for_its_fingerprint(tmp_path: Path) -> None:
    prints = []
    for scale in (1, 2):
        model = onnx.load(str(linear_file(tmp_path / "plain.onnx", ["batch", *SHAPE])))
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(scale * weights_of(), "weights"))
        path = tmp_path / "m.onnx"
        (tmp_path / "m.data").unlink(missing_ok=True)
        onnx.save(model, str(path), save_as_external_data=True, location="m.data", size_threshold=0)
        found = open_onnx(path)
        images = torch.rand(2, *SHAPE)
        torch.testing.assert_close(found(images), scale * products(images), atol=1e-5, rtol=1e-5)
        prints.append((sha256_of(path), found.fingerprint))
    assert prints[0][0] == prints[1][0]
    assert prints[0][1] != prints[1][1]
    (tmp_path / "m.data").unlink()
    with pytest.raises(HardenerError, match="cannot be loaded by ONNX Runtime: "):
        open_onnx(path)


def test_answers_alone_are_enough_to_break_a_file(tmp_path: Path) -> None:
    found = open_onnx(linear_file(tmp_path / "m.onnx", ["batch", *SHAPE], kind=TensorProto.UINT8))
    images = torch.randint(0, 256, (12, *SHAPE)).float() / 255
    labels = found(images).argmax(dim=1)
    threat = ThreatModel("linf", 0.1)
    for name, least, most in (("spsa", 0, 3), ("pgd", 12, 12)):  # pgd sees no gradient and gets nowhere
        plan = AttackPlan(name, {"random_start": False} if name == "pgd" else {"queries": 500})
        result = robust_accuracy(found, images, labels, [plan], threat, generator=torch.Generator().manual_seed(0))
        assert least <= int(result.robust_correct.sum()) <= most


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HardenerError, match=r"there is no file .*m.onnx. An ONNX file is written by `hardener export"):
        open_onnx(tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"", b"not an ONNX file at all", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(HardenerError, match="is not an ONNX model, or it is truncated"):
        open_onnx(path)


def test_a_truncated_file_is_refused(exported: Exported, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(exported[1].read_bytes()[:-100])
    with pytest.raises(HardenerError, match=r"is not an ONNX model, or it is truncated|cannot be loaded by ONNX"):
        open_onnx(path)


def test_a_graph_that_onnx_runtime_refuses_is_one_clear_error(tmp_path: Path) -> None:
    path = linear_file(tmp_path / "m.onnx", ["batch", *SHAPE], last=["NoSuchOperator"])
    with pytest.raises(HardenerError, match=r"m.onnx cannot be loaded by ONNX Runtime: .*NoSuchOperator"):
        open_onnx(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": ["batch", 144]}, r"takes x as tensor\(float\) \['batch', 144\]; a classifier of images takes four"),
        ({"shape": ["batch", *SHAPE], "kind": TensorProto.INT64}, r"tensor\(int64\) .*; images are floats in \[0, 1\]"),
        ({"shape": ["batch", *SHAPE], "inputs": ["x", "z"]}, r"has 2 inputs \(x, z\); a classifier of images has one"),
        (
            {"shape": ["batch", *SHAPE], "outputs": ["a", "b"]},
            r"has 2 outputs \(a, b\); a classifier has one, or names",
        ),
        (
            {"shape": ["batch", *SHAPE], "last": ["ReduceMax"], "answer": [1, 1]},
            r"one for each of at least two classes",
        ),
    ],
)
def test_a_file_that_is_no_image_classifier_says_why(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = linear_file(tmp_path / "m.onnx", **changes)
    with pytest.raises(HardenerError, match=message):
        open_onnx(path)


def test_images_of_another_size_are_refused(exported: Exported) -> None:
    with pytest.raises(HardenerError, match=r"takes images of 8x6x3 \(height, width, channels\); got 6x8x1"):
        open_onnx(exported[1])(torch.rand(1, 1, 6, 8))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_not_replaced_silently(exported: Exported) -> None:
    with pytest.raises(HardenerError, match=r"Install onnxruntime-gpu|fell back to the CPU") as caught:
        open_onnx(exported[1], on_gpu=True)
    assert "--device cpu" in str(caught.value)
