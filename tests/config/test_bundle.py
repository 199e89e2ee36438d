"""A bundle may come from a stranger: what is not in its range, or leads out of its folder, is refused in words."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from google.protobuf.descriptor import Descriptor  # type: ignore[import-untyped]
from onnx import TensorProto, helper
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config import onnx_file
from hardener.config.bundle import LARGEST_CARD, Bundle, bundle_files, read_bundle, read_card, sha256_of
from hardener.config.onnx_file import NoOnnxFile, keeps_weights_elsewhere
from hardener.errors import HardenerError
from hardener.words import one_line

SHARES = {"samples": 9, "clean_accuracy": 0.5, "robust_accuracy": 0.25, "interval": [0, 1], "attacks": ["pgd"]}
EVALUATION = {"split": "test", "norm": "linf", "eps": 0.03, "evaluated_at": "2025-01-01T00:00:00Z"} | SHARES
DESCRIPTION: dict[str, Any] = {
    "schema": "hardener/bundle/1",
    "name": "a",
    "created_at": "2025-01-01T00:00:00Z",
    "hardener_version": "0.1.0",
    "recipe": "sprout",
    "fingerprint": "f" * 64,
    "model": {"file": "model.onnx", "sha256": "0" * 64, "bytes": 1, "opset": 18},
    "input": {"height": 8, "width": 8, "channels": 3, "resize": "cover-center-bilinear", "pixels": {}},
    "classes": ["cat", "dog"],
    "noise_sigma": 0.25,
    "parity": {"images": 1, "largest_logit_difference": 0.0, "tolerance": 1e-4, "argmax_agreement": 1},
    "evaluation": EVALUATION,
    "evaluations": [EVALUATION],
    "threat": {"norm": "l2", "eps": 0.5},
}


def write(folder: Path, description: Any = DESCRIPTION, model: onnx.ModelProto | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    onnx.save(model or helper.make_model(helper.make_graph([], "empty", [], [])), str(folder / "model.onnx"))
    description = copy.deepcopy(description)
    description["model"]["sha256"] = sha256_of(folder / "model.onnx")
    (folder / "bundle.json").write_text(json.dumps(description))
    return folder


def test_a_bundle_is_read_and_its_files_are_known(tmp_path: Path) -> None:
    folder = write(tmp_path)
    bundle = read_bundle(folder)
    assert bundle.noise_sigma == 0.25
    assert (read_card(folder), bundle_files(folder, bundle)) == (None, ["bundle.json", "model.onnx"])
    (folder / "model_card.md").write_text("# Ä", encoding="utf-8")
    assert read_card(folder) == "# Ä"
    assert bundle_files(folder, bundle)[-1] == "model_card.md"


def test_whole_numbers_may_stand_for_others_and_a_link_may_lead_to_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "there", DESCRIPTION | {"noise_sigma": 1})
    (tmp_path / "here").symlink_to("there")
    (tmp_path / "there" / "model.onnx").rename(tmp_path / "there" / "data")
    (tmp_path / "there" / "model.onnx").symlink_to("data")  # as Kubernetes mounts a ConfigMap
    assert read_bundle(tmp_path / "here").noise_sigma == 1


INPUT = DESCRIPTION["input"]
WRONG_IN: dict[str, tuple[dict[str, Any], dict[str, list[Any]]]] = {
    "threat": ({"norm": "linf", "eps": 0.1}, {"norm": ["l1", "", None], "eps": [-0.1, 8, "8/255", False]}),
    "evaluation": (
        EVALUATION,
        {
            "norm": ["l7"],
            "eps": [2, float("inf")],
            "clean_accuracy": [1.5],
            "robust_accuracy": [-0.1],
            "samples": [-1],
            "interval": [[0, 2]],
            "split": ["a\nb"],
            "attacks": [["\x1b"]],
        },
    ),
    "input": (
        INPUT,
        {
            "height": [0, 10**6, 8.0],
            "channels": [2, True],
            "batch": [0, 10**9],
            "resize": ["\n"],
            "pixels": [
                {"fit": "cut"},
                {"background": [0, 0, 256]},
                {"profiles": 1},
                {"range": [1, 1]},
                {"range": [-1e308, 1e308]},
                {"more": 1},
            ],
        },
    ),
    "parity": (DESCRIPTION["parity"], {key: [-1] for key in DESCRIPTION["parity"]}),
    "model": (DESCRIPTION["model"], {"file": ["../model.onnx", "/etc/passwd", "", ".", "\0"]}),
}
WRONG_ALONE: dict[str, list[Any]] = {
    "noise_sigma": [0, -1, 1e9, "0.25", True, [], float("nan"), float("inf")],
    "classes": [[], ["a", "a"], [""], [" "], ["a\x1b[2J"], ["a\nb"], ["\u202eb"], [1], "ab"],
    "name": ["", "a\r", "a" * 5000],
    "unknown": [1],
}
WRONG = [(key, value) for key, values in WRONG_ALONE.items() for value in values]
WRONG += [
    (key, good | {inner: value})
    for key, (good, wrong) in WRONG_IN.items()
    for inner, values in wrong.items()
    for value in values
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_value_out_of_its_range_is_refused_and_named(tmp_path: Path, key: str, value: Any) -> None:
    folder = write(tmp_path, DESCRIPTION | {key: value})
    with pytest.raises(HardenerError) as told:
        read_bundle(folder)
    message = str(told.value)
    assert key in message or "is no file of its folder" in message
    assert message == one_line(message)
    assert len(message) < 1500


def test_all_that_is_wrong_is_counted(tmp_path: Path) -> None:
    folder = write(tmp_path, DESCRIPTION | {"noise_sigma": 0, "classes": [], "name": "", "recipe": 1, "fingerprint": 2})
    with pytest.raises(HardenerError, match=r"name: .*; and 2 more\. Export again"):
        read_bundle(folder)


def outside(folder: Path, name: str) -> None:
    """Move a file out, and leave a link."""
    place = folder.parent / "elsewhere"
    (folder / name).rename(place)
    (folder / name).symlink_to(place)


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "model_card.md")


SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a linked model": (lambda folder: outside(folder, "model.onnx"), "is a link out of the bundle"),
    "a linked description": (lambda folder: outside(folder, "bundle.json"), "is a link out of the bundle"),
    "a linked card": (lambda folder: (folder / "model_card.md").symlink_to("/etc/passwd"), "is a link out of the"),
    "another link": (lambda folder: (folder / "x").symlink_to("../.."), "is a link out of the bundle"),
    "a link to nowhere": (lambda folder: (folder / "x").symlink_to("y"), "leads nowhere"),
    "a card in no known script": (lambda folder: (folder / "model_card.md").write_bytes(b"\xff"), "no UTF-8 text"),
    "a folder for a card": (lambda folder: (folder / "model_card.md").mkdir(), "is no file"),
    "a pipe for a card": (fifo, "is no file"),
    "a card too long": (lambda folder: (folder / "model_card.md").write_bytes(bytes(LARGEST_CARD + 1)), "not read"),
    "no model": (lambda folder: (folder / "model.onnx").unlink(), "lacks model.onnx"),
    "another model": (lambda folder: (folder / "model.onnx").write_bytes(b"x"), "is not the file that"),
    "a list": (lambda folder: (folder / "bundle.json").write_text("[]"), "is no bundle description"),
    "no JSON": (lambda folder: (folder / "bundle.json").write_bytes(b"\xff{"), "is no bundle description"),
    "a key that does something": (
        lambda folder: (folder / "bundle.json").write_text(
            (folder / "bundle.json").read_text().replace("{", '{"a\x7fb": 1, ', 1)
        ),
        r"a\\x7fb: Extra inputs",
    ),
    "deep JSON": (lambda folder: (folder / "bundle.json").write_text("[" * 99_999), "is no bundle description"),
}


@pytest.mark.parametrize(("spoil", "told"), SPOILED.values(), ids=SPOILED)
def test_a_spoiled_folder_is_refused(tmp_path: Path, spoil: Callable[[Path], Any], told: str) -> None:
    folder = write(tmp_path / "bundle")
    spoil(folder)
    with pytest.raises(HardenerError, match=told) as refused:
        read_bundle(folder)
    assert str(refused.value) == one_line(str(refused.value))


def external() -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights")
    return tensor


def models_with(tensor: TensorProto) -> dict[str, onnx.ModelProto]:
    """A tensor in each place that ONNX has for one."""
    nodes = [
        helper.make_node("A", [], ["b"], value=tensor),
        helper.make_node("A", [], ["b"], body=helper.make_graph([], "inner", [], [], [tensor])),
        helper.make_node("A", [], ["b"], values=[tensor]),
    ]
    found = {f"node {place}": helper.make_graph([node], "g", [], []) for place, node in enumerate(nodes)}
    found["initializer"] = helper.make_graph([], "g", [], [], [tensor])
    sparse = helper.make_graph([], "g", [], [])
    sparse.sparse_initializer.add().values.CopyFrom(tensor)
    models = {name: helper.make_model(graph) for name, graph in (found | {"sparse": sparse}).items()}
    function = helper.make_model(helper.make_graph([], "g", [], []))
    function.functions.append(helper.make_function("d", "f", [], [], [nodes[0]], []))
    training = helper.make_model(helper.make_graph([], "g", [], []))
    training.training_info.add().algorithm.CopyFrom(found["initializer"])
    return models | {"function": function, "training": training}


@pytest.mark.parametrize("place", models_with(external()))
def test_weights_in_another_file_are_seen_wherever_they_are_named(tmp_path: Path, place: str) -> None:
    with pytest.raises(HardenerError, match="keeps weights in another file"):
        read_bundle(write(tmp_path, model=models_with(external())[place]))
    inside = helper.make_tensor("location", TensorProto.FLOAT, [1], [1.0])
    read_bundle(write(tmp_path, model=models_with(inside)[place]))


def test_the_reader_knows_every_way_of_onnx_to_a_tensor() -> None:
    def ways(message: Descriptor, on_the_way: tuple[str, ...]) -> bool:
        return message.full_name == "onnx.TensorProto" or any(
            ways(field.message_type, (*on_the_way, message.full_name))
            for field in message.fields
            if field.message_type is not None and field.message_type.full_name not in on_the_way
        )

    def check(message: Descriptor, known: Any, seen: set[str]) -> None:
        if message.full_name in seen or message.full_name == "onnx.TensorProto":
            return
        seen.add(message.full_name)
        leading = {
            field.number: field.message_type
            for field in message.fields
            if field.message_type is not None and ways(field.message_type, ())
        }
        assert set(leading) == set(known), message.full_name
        for number, below in leading.items():
            check(below, known[number], seen)

    check(onnx.ModelProto.DESCRIPTOR, onnx_file._MODEL, set())


def test_the_file_of_a_spoiled_bundle_is_not_evaluated(tmp_path: Path) -> None:
    folder = write(tmp_path / "bundle")
    (folder / "x").symlink_to("/etc")
    found = CliRunner().invoke(app, ["eval", str(folder / "model.onnx"), "--data", str(tmp_path)])
    assert (found.exit_code, "is a link out of the bundle" in found.stderr) == (2, True), found.output


def test_bytes_that_are_no_onnx_file_are_not_taken_for_one(tmp_path: Path) -> None:
    whole = models_with(helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0]))["initializer"].SerializeToString()
    for data in (b"", whole[:-1], b"\x0b" + whole, b"\xff" * 30, b"\x3a\x7f" + whole):
        (tmp_path / "model.onnx").write_bytes(data)
        with pytest.raises(NoOnnxFile):
            keeps_weights_elsewhere(tmp_path / "model.onnx")


def test_what_is_written_is_what_is_read() -> None:
    bundle = Bundle.model_validate_json(json.dumps(DESCRIPTION), strict=True)
    assert Bundle.model_validate_json(bundle.model_dump_json(by_alias=True), strict=True) == bundle


def test_odd_letters_become_visible_and_others_stay() -> None:
    assert one_line("a\x1b[31m\n\u202e\udce9\x85") == r"a\x1b[31m\n\u202e\udce9\x85"
    for text in ("cat", "Ä ß", "猫", "👩‍🚀", "می‌خواهم", "a\u3000b", "🇩🇪"):
        assert one_line(text) == text
