"""Ways to spoil a bundle, and what the service then has to say."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper, numpy_helper
from server_process import hardener_serve
from workload import describe

RENAMED = "5" * 64  # the fingerprint of a bundle that takes another's place


def fill(path: Path) -> str:
    """Write until the disk is full; return what the system says then."""
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(1_000):
                file.write(bytes(4096))
    except OSError as error:
        return os.strerror(error.errno or 0)
    return "4 MB did fit"


def replace(bundle: Path, change: Callable[[Path], object]) -> None:
    """Change a bundle as a deployment does: a new folder in its place at once."""
    copy, old = bundle.with_name("copy"), bundle.with_name("old")
    shutil.rmtree(old, ignore_errors=True)
    shutil.copytree(bundle, copy)
    change(copy)
    bundle.rename(old)
    copy.rename(bundle)


def rename(bundle: Path, name: str) -> None:
    """Give a bundle another name, and a fingerprint that tells it apart."""
    described = json.loads((bundle / "bundle.json").read_text())
    described |= {"name": name, "fingerprint": RENAMED}
    (bundle / "bundle.json").write_text(json.dumps(described))


# bundles that must be refused: how they are spoiled, and what the message has to say


def _edit(**changes: Any) -> Callable[[Path], object]:
    def spoil(bundle: Path) -> None:
        described = json.loads((bundle / "bundle.json").read_text())
        (bundle / "bundle.json").write_text(json.dumps(described | changes))

    return spoil


def _flip_a_byte(bundle: Path) -> None:
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(data)


def _truncate(bundle: Path) -> None:
    data = (bundle / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(data[: len(data) // 2])


def _truncate_and_describe(bundle: Path) -> None:
    """Truncate, and let bundle.json tell the new file's hash: the hash alone must not be what protects."""
    from hardener.config.bundle import sha256_of

    _truncate(bundle)
    described = json.loads((bundle / "bundle.json").read_text())
    path = bundle / "model.onnx"
    described["model"] |= {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    (bundle / "bundle.json").write_text(json.dumps(described))


def _foreign(kind: int, shape: list[str | int], domain: str = "") -> Callable[[Path], object]:
    """Put another model in its place, well described."""

    def spoil(bundle: Path) -> None:
        opsets = [helper.make_opsetid("", 18)] + ([helper.make_opsetid(domain, 1)] if domain else [])
        nodes = [helper.make_node("Strange" if domain else "Identity", ["images"], ["logits"], domain=domain)]
        nodes.append(helper.make_node("Identity", ["logits"], ["probabilities"]))
        outputs = [helper.make_tensor_value_info(name, kind, shape) for name in ("logits", "probabilities")]
        graph = helper.make_graph(nodes, "foreign", [helper.make_tensor_value_info("images", kind, shape)], outputs)
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(bundle / "model.onnx"))
        describe(bundle, "foreign", 10)

    return spoil


def _escaping_weights(bundle: Path) -> None:
    """Let a weight lie in a file outside the bundle."""
    model = onnx.load(str(bundle / "model.onnx"))
    tensor = next(item for item in model.graph.initializer if item.name == "weights")
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../../../etc/passwd"), ("offset", "0"), ("length", str(size))):
        tensor.external_data.add(key=key, value=value)
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    describe(bundle, "escaping", 10)


def _move_out(bundle: Path, name: str) -> None:
    """Put a file outside the bundle, and a link in its place."""
    (bundle / name).rename(bundle.parent / name)
    (bundle / name).symlink_to(bundle.parent / name)


def _link_card(bundle: Path, target: str) -> None:
    (bundle / "model_card.md").unlink()
    (bundle / "model_card.md").symlink_to(target)


_LINK = "is a link out of the bundle"
_SHA, _LOAD, _GRAPH, _DESCRIPTION = (
    "sha256",
    "cannot be loaded",
    "bundle.json says|the service needs|gives",
    "no bundle",
)
Spoiling = tuple[str, Callable[[Path], object], str]


def start_spoiled(good: Path, spoiling: Spoiling) -> tuple[str, bool]:
    """Start the service with a spoiled copy of a bundle; return what it did, and whether that is right.

    It is: exit code 2, one error, with the words that `spoiling` expects, and no traceback.
    """
    _, spoil, said = spoiling
    with tempfile.TemporaryDirectory(prefix="hardener-bench-") as folder:
        copy = Path(folder) / "bundle"
        shutil.copytree(good, copy)
        spoil(copy)
        with hardener_serve(copy, ready=None) as server:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(40)
            code, output = server.process.poll(), server.output()
    errors = " ".join(output.partition("error: ")[2].split())  # the console breaks lines where it likes
    lines = sum(line.startswith("error: ") for line in output.splitlines())  # ONNX Runtime's own words may be in it
    holds = code == 2 and lines == 1 and re.search(said, errors) is not None
    return f"exit {code}: {(errors or output[-300:])[:160]}", holds and "Traceback" not in output


def nan_answers(bundle: Path) -> None:
    """Let every answer be NaN, and describe the file truthfully."""
    model = onnx.load(str(bundle / "model.onnx"))
    weights = next(item for item in model.graph.initializer if item.name == "weights")
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * float("nan"), "weights"))
    onnx.save(model, str(bundle / "model.onnx"))
    describe(bundle, "nan", 10)


CARD_NO_TEXT: Spoiling = (
    "card that is no text",
    lambda bundle: (bundle / "model_card.md").write_bytes(b"\xff\xfe\0"),
    "no UTF-8 text",
)
NAN_ANSWERS: Spoiling = ("answers that are NaN", nan_answers, "not finite")
SPOILED: list[Spoiling] = [
    ("model truncated", _truncate, _SHA),
    ("one bit of the model changed", _flip_a_byte, _SHA),
    ("model truncated, its hash told", _truncate_and_describe, _LOAD),
    ("model of zero bytes", lambda bundle: (bundle / "model.onnx").write_bytes(b""), _SHA),
    ("model missing", lambda bundle: (bundle / "model.onnx").unlink(), "lacks model.onnx"),
    ("model is text", lambda bundle: (bundle / "model.onnx").write_text("hello"), _SHA),
    ("foreign model, float input", _foreign(TensorProto.FLOAT, ["batch", 3, 224, 224]), _GRAPH),
    ("foreign model, unknown operator", _foreign(TensorProto.FLOAT, ["batch", 10], "strange.domain"), _LOAD),
    ("weights outside the bundle", _escaping_weights, "weights in another file"),
    ("other classes than the model has", _edit(classes=["a", "b"]), _GRAPH),
    (
        "unknown resize rule",
        _edit(input={"height": 224, "width": 224, "channels": 3, "resize": "other"}),
        "resize rule",
    ),
    ("bundle.json truncated", lambda bundle: (bundle / "bundle.json").write_text('{"schema": "har'), _DESCRIPTION),
    ("bundle.json of another schema", _edit(schema="hardener/bundle/9"), _DESCRIPTION),
    ("bundle.json is a list", lambda bundle: (bundle / "bundle.json").write_text("[]"), _DESCRIPTION),
    ("bundle.json is no text", lambda bundle: (bundle / "bundle.json").write_bytes(b"\xff\xfe\0\1"), _DESCRIPTION),
    (
        "model file outside the bundle",
        _edit(model={"file": "../model.onnx", "sha256": "0" * 64, "bytes": 1, "opset": 18}),
        "is no file of its folder",
    ),
    ("model linked from elsewhere", lambda bundle: _move_out(bundle, "model.onnx"), _LINK),
    ("description linked from elsewhere", lambda bundle: _move_out(bundle, "bundle.json"), _LINK),
    ("card that is the password file", lambda bundle: _link_card(bundle, "/etc/passwd"), _LINK),
    ("card that is another file's link", lambda bundle: _link_card(bundle, "../../../x"), _LINK),
    CARD_NO_TEXT,
    NAN_ANSWERS,
    ("card of 5 MB", lambda bundle: (bundle / "model_card.md").write_bytes(bytes(5_000_000)), "is not read"),
    ("negative noise", _edit(noise_sigma=-0.25), "noise_sigma: .* greater than 0"),
    ("noise without end", _edit(noise_sigma=float("inf")), "noise_sigma: "),
    ("noise as text", _edit(noise_sigma="0.25"), "noise_sigma: .* valid number"),
    ("eps of 8", _edit(threat={"norm": "linf", "eps": 8}), "eps must lie in"),
    ("the same class twice", _edit(classes=["cat"] * 10), "is the name of class 0 and of class 1"),
    ("a class that clears the screen", _edit(classes=["\x1b[2J", *map(str, range(9))]), "no character to be read"),
]
