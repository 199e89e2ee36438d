"""int8: what the file is, what its bundle says, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from oracles import TINY_MODEL, linear_problem, write_image_folder
from torch import nn

import hardener.exporters.quantize as room
from hardener.config.bundle import Bundle, ChangedRobustness, HeldRequirement, read_bundle
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import Failure, HardenerError
from hardener.evaluation.deployed import QUICK, SideBySide, Terms, compare_files, difference, share
from hardener.exporters.int8 import quantize_int8
from hardener.exporters.onnx import export_onnx
from hardener.exporters.quantize import Quantized, export_int8
from hardener.exporters.run import export
from hardener.models.normalize import ImageClassifier
from hardener.progress import Silent
from hardener.reports.dossier.identity import deployed_files
from hardener.threat import ThreatModel
from hardener.training.run import TrainRequest, train


class Quiet(Silent):
    def epoch(self, *_: Any, **__: Any) -> None: ...


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, Quantized]:
    """One trained run with both bundles, for tests that only read it."""
    folder = tmp_path_factory.mktemp("int8")
    data = write_image_folder(folder / "imgs", {"cat": 40, "dog": 40})
    (folder / "tiny.py").write_text(TINY_MODEL)
    recipe = load_recipe("sprout", ["epochs=3", "batch_size=5"])
    request = TrainRequest(str(folder / "tiny.py"), data, recipe, out=folder / "runs", name="run", device="cpu")
    run = train(request, Quiet())
    return run, export_int8(run, export(run, Quiet()), Quiet(), quick=True)


@pytest.fixture
def run(made: tuple[RunFolder, Quantized], tmp_path: Path) -> RunFolder:
    """The same run in a folder of its own, without the int8 bundle."""
    shutil.copytree(made[0].path, tmp_path / "run", ignore=shutil.ignore_patterns("bundle-int8"))
    return RunFolder(tmp_path / "run")


def logits_of(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(["logits"], {"images": images})[0]
    return found


def written(network: nn.Module, path: Path, *, size: int, channels: int) -> Path:
    classifier = ImageClassifier(network, mean=(), std=(), classes=("a", "b")).eval()
    export_onnx(classifier, path, height=size, width=size, channels=channels, metadata={"k": "v"})
    return path


def pixels(count: int, size: int, channels: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def test_the_int8_file_has_the_same_door_and_all_layers_but_the_last_in_int8(made: tuple[RunFolder, Quantized]) -> None:
    run, _ = made
    plain = onnx.load(str(run.bundle / "model.onnx"))
    model = onnx.load(str(run.int8_bundle / "model.onnx"))
    makers = {output: node for node in model.graph.node for output in node.output}
    (convolution,) = (node for node in model.graph.node if node.op_type == "Conv")
    (last,) = (node for node in model.graph.node if node.op_type == "Gemm")
    assert {makers[name].op_type for name in convolution.input[:2]} == {"DequantizeLinear"}
    assert last.input[1] not in makers  # its weights are plain float32
    assert Counter(node.op_type for node in model.graph.node)["QuantizeLinear"] >= 2
    scales = {entry.name: entry for entry in model.graph.initializer}
    assert onnx.numpy_helper.to_array(scales[makers[convolution.input[1]].input[1]]).shape == (6,)  # one a channel
    assert [output.name for output in model.graph.output] == ["logits", "probabilities"]
    assert model.graph.input[0] == plain.graph.input[0]
    assert model.opset_import == plain.opset_import
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert (json.loads(facts["classes"]), facts["name"]) == (["cat", "dog"], "run-int8")
    assert b".py" not in (run.int8_bundle / "model.onnx").read_bytes()


def test_no_weight_is_so_large_that_processors_without_vnni_overflow(made: tuple[RunFolder, Quantized]) -> None:
    """They add two products of 8-bit numbers in 16 bits: 2 * 255 * 64 fits, 2 * 255 * 127 does not."""
    model = onnx.load(str(made[0].int8_bundle / "model.onnx"))
    weights = [entry for entry in model.graph.initializer if entry.data_type == onnx.TensorProto.INT8 and entry.dims]
    arrays = [onnx.numpy_helper.to_array(entry).astype(int) for entry in weights]
    assert max(np.abs(array).max() for array in arrays) == 64


def test_its_answers_are_near_those_of_float32(made: tuple[RunFolder, Quantized]) -> None:
    run, _ = made
    images = pixels(64, 8, 1)
    plain, int8 = (logits_of(folder / "model.onnx", images) for folder in (run.bundle, run.int8_bundle))
    assert 0 < np.abs(plain - int8).max() < 0.1 * np.abs(plain).max()


def test_the_bundle_says_what_was_measured_of_this_file(made: tuple[RunFolder, Quantized]) -> None:
    run, quantized = made
    bundle = read_bundle(run.int8_bundle)
    cost, comparison = bundle.quantization, quantized.comparison
    assert bundle == quantized.bundle
    assert cost is not None
    assert (bundle.name, bundle.fingerprint) == ("run-int8", read_bundle(run.bundle).fingerprint)
    assert cost.calibration_images == 32
    assert cost.samples == len(comparison.first.clean) == bundle.parity.images
    assert cost.top1_agreement == share(comparison.agreeing)[0]
    assert cost.clean_accuracy == share(comparison.second.clean)[0]
    assert cost.clean_accuracy_float32 == share(comparison.first.clean)[0]
    assert cost.robust_accuracy == share(comparison.second.robust)[0] <= cost.clean_accuracy
    assert cost.robust_accuracy_float32 == share(comparison.first.robust)[0]
    assert cost.interval == share(comparison.second.robust)[1]
    assert cost.certified_accuracy == share(comparison.second.certified)[0]
    assert (cost.certified_radius, cost.certified_noise_sigma) == (0.05, 0.1)
    assert (cost.norm, cost.eps, cost.attacks) == ("linf", 8 / 255, ["pgd", "square"])
    assert bundle.evaluation is not None
    assert bundle.evaluations == [bundle.evaluation]
    assert (bundle.evaluation.robust_accuracy, bundle.evaluation.split) == (cost.robust_accuracy, "test")
    assert quantized.speed > 0
    card = (run.int8_bundle / "model_card.md").read_text()
    assert "## What int8 cost" in card
    assert "hardener export run --quantize int8" in card


def test_the_float32_bundle_takes_nothing_over(made: tuple[RunFolder, Quantized]) -> None:
    run, _ = made
    plain = read_bundle(run.bundle)
    assert (plain.name, plain.quantization, plain.evaluation) == ("run", None, None)
    assert "What int8 cost" not in (run.bundle / "model_card.md").read_text()


@pytest.mark.parametrize("step", ["quantize_int8", "compare_files", "write_description"])
def test_a_failure_leaves_no_half_bundle_and_keeps_the_one_that_stands(
    made: tuple[RunFolder, Quantized], run: RunFolder, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise Failure("it stops here")

    monkeypatch.setattr(room, step, fail)
    with pytest.raises(Failure, match="it stops here"):
        export_int8(run, read_bundle(run.bundle), Quiet(), quick=True)
    assert not run.int8_bundle.exists()
    shutil.copytree(made[0].int8_bundle, run.int8_bundle)
    with pytest.raises(Failure, match="it stops here"):
        export_int8(run, read_bundle(run.bundle), Quiet(), quick=True)
    assert read_bundle(run.int8_bundle) == made[1].bundle
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".")] == []


def test_an_int8_file_that_is_not_the_model_is_a_failure(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = quantize_int8

    def wrong(source: Path, target: Path, *images: Any, **options: Any) -> list[str]:
        kept = plain(source, target, *images, **options)
        model = onnx.load(str(target))
        (last,) = (node for node in model.graph.node if node.op_type == "Gemm")
        (bias,) = (entry for entry in model.graph.initializer if entry.name == last.input[2])
        bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(100), bias.name))
        target.write_bytes(model.SerializeToString())
        return kept

    monkeypatch.setattr(room, "quantize_int8", wrong)
    with pytest.raises(Failure, match="the int8 file is not the model: its logits are off by up to 100"):
        export_int8(run, read_bundle(run.bundle), Quiet(), quick=True)
    assert not run.int8_bundle.exists()


def test_training_images_that_are_gone_are_one_clear_error(run: RunFolder, tmp_path: Path) -> None:
    record = run.read_record()
    record.data.root = str(tmp_path / "moved")
    run.write_record(record)
    with pytest.raises(HardenerError, match="int8 is calibrated on training images. Name a folder .* with --data DIR"):
        export_int8(run, read_bundle(run.bundle), Quiet(), quick=True)
    others = write_image_folder(tmp_path / "others", {"cat": 12, "cow": 12})
    with pytest.raises(HardenerError, match="has other classes than the run was trained on"):
        export_int8(run, read_bundle(run.bundle), Quiet(), data=others, quick=True)
    same = write_image_folder(tmp_path / "same", {"cat": 12, "dog": 12}, seed=9)  # images that it never saw
    assert (
        export_int8(run, read_bundle(run.bundle), Quiet(), data=same, samples=4, quick=True).bundle.parity.images == 4
    )


def test_a_quantised_file_and_one_without_layers_are_refused(made: tuple[RunFolder, Quantized], tmp_path: Path) -> None:
    images = pixels(8, 8, 1)
    with pytest.raises(HardenerError, match="is quantised already. Name the float32 file"):
        quantize_int8(made[0].int8_bundle / "model.onnx", tmp_path / "q.onnx", images, images)
    with pytest.raises(HardenerError, match="int8 needs training images to calibrate on; there are none"):
        quantize_int8(made[0].bundle / "model.onnx", tmp_path / "q.onnx", images[:0], images)
    linear = written(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), tmp_path / "linear.onnx", size=8, channels=1)
    with pytest.raises(Failure, match="has no layer that int8 would speed up"):
        quantize_int8(linear, tmp_path / "q.onnx", images, images)
    assert not (tmp_path / "q.onnx").exists()


def test_layers_that_rounding_would_ruin_stay_float32(tmp_path: Path) -> None:
    """One channel is 3,000 times as wide as the one that decides: with one scale for both, the latter rounds away."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 4, 1)
    third, fourth, last = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)
    network = nn.Sequential(
        first, nn.ReLU(), second, nn.ReLU(), third, nn.ReLU(), fourth, nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), last,
    )  # fmt: skip
    with torch.no_grad():
        first.weight[0] = first.weight[1].abs() * 3000
        first.weight[1] = first.weight[1].abs()
        second.weight[:, 0] = 0
        third.weight.abs_()
        fourth.weight.abs_()
        lead = network(torch.from_numpy(pixels(64, 8, 1)).permute(0, 3, 1, 2) / 255).diff(dim=1).median()
        last.bias[0] += lead  # both answers occur
    source = written(network, tmp_path / "m.onnx", size=8, channels=1)
    kept = quantize_int8(source, tmp_path / "q.onnx", pixels(64, 8, 1), pixels(64, 8, 1, seed=1))
    model = onnx.load(str(tmp_path / "q.onnx"))
    names = [node.name for node in model.graph.node if node.op_type == "Conv"]
    assert sorted(kept) == sorted(names[:2])
    images = pixels(64, 8, 1, seed=2)
    plain, int8 = logits_of(source, images), logits_of(tmp_path / "q.onnx", images)
    assert np.abs(plain - int8).max() < 0.05 * np.abs(plain).max()


def compared(first: nn.Module, second: nn.Module, eps: float, count: int = 40) -> SideBySide:
    model, images, labels = linear_problem(count, (1, 4, 4), seed=3)
    terms = Terms(ThreatModel("linf", eps), noise_sigma=0.1, effort=QUICK)
    return compare_files((first, second), model, images, labels, terms, Silent())


def test_a_file_beside_itself_shows_no_difference_and_the_closed_form() -> None:
    model, images, labels = linear_problem(40, (1, 4, 4), seed=3)
    found = compared(model, model, 0.03)
    lead = (model.margin(images) * (2 * labels - 1)).detach()
    assert torch.equal(found.first.robust, lead > 0.03 * model.weight.detach().abs().sum())
    assert bool(found.agreeing.all())
    assert difference(found.first.robust, found.second.robust)[0] == 0
    assert torch.equal(found.first.certified, found.second.certified)


def test_without_a_ball_robust_is_clean() -> None:
    model, _, _ = linear_problem(40, (1, 4, 4), seed=3)
    found = compared(model, model, 0.0)
    assert torch.equal(found.first.robust, found.first.clean)


def test_a_file_that_rounds_its_logits_is_shown_what_fooled_the_other() -> None:
    """Gradient-free search sees a plateau in rounded logits, and gradients are another network's: both may miss."""
    model, _, _ = linear_problem(40, (1, 4, 4), seed=3)

    class Coarse(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.sign(model(images))

    found = compared(model, Coarse(), 0.03)
    assert bool(found.agreeing.all())
    assert torch.equal(found.first.robust, found.second.robust)


def test_a_bundle_of_before_int8_is_still_read() -> None:
    assert Bundle.model_fields["quantization"].default is None


class Heard(Quiet):
    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)


def test_requirements_are_judged_by_the_int8_files_own_figures(run: RunFolder) -> None:
    asked = ("clean", "linf-8/255", "certified-0.05", "corruptions", "linf-4/255", "spatial")
    measures = "".join(f"  - {{measure: {name}, min: 0.0}}\n" for name in asked)
    run.requirements.write_text(
        f"requirements:\n{measures}  - {{measure: clean, min: 1.0}}\n  - {{measure: clean, max-drop: 0.5}}\n"
    )
    stated = [HeldRequirement(about="a", asked="b", state="met", value=0.676)]
    changed = [
        ChangedRobustness(
            threat="spatial", reach="r", split="test", samples=9, clean_accuracy=0.5, robust_accuracy=0.5,
            interval=(0.1, 0.9), attacks=["grid"], evaluated_at="2026",
        )
    ]  # fmt: skip
    heard = Heard()
    plain = read_bundle(run.bundle).model_copy(update={"requirements": stated, "changed": changed})
    made = export_int8(run, plain, heard, quick=True)
    held, second = read_bundle(run.int8_bundle).requirements, made.comparison.second
    assert [row.state for row in held] == ["met"] * 3 + ["not measured"] * 3 + ["not met", "not measured"]
    assert [(row.value, row.interval) for row in held[:3]] == [
        share(second.clean), share(second.robust), share(second.certified)
    ]  # fmt: skip
    assert (held[0].samples, held[2].samples) == (len(second.clean), len(second.certified))
    assert (held[3].value, held[7].asked) == (None, "at most 50.0 points below another run")
    assert made.bundle.changed == []
    assert sum(text.startswith("int8: ") for text in heard.warned) == 5


def test_int8_figures_of_images_that_the_run_has_seen_carry_the_flag_and_meet_nothing(
    run: RunFolder, tmp_path: Path
) -> None:
    seen = tmp_path / "seen" / "test"
    shutil.copytree(run.read_record().data.root, seen)
    (seen / "cat" / "another.png").write_bytes(next((seen / "dog").iterdir()).read_bytes())
    run.requirements.write_text("requirements: [{measure: clean, min: 0.0}]\n")
    heard = Heard()
    made = export_int8(run, read_bundle(run.bundle), heard, data=tmp_path / "seen", quick=True)
    assert made.bundle.evaluation is not None
    assert (made.bundle.evaluation.flags, made.bundle.evaluation.data) == (["trained-on"], "seen")
    assert any("were trained on" in text for text in heard.warned)
    assert [row.state for row in made.bundle.requirements] == ["not met"]
    card = (run.int8_bundle / "model_card.md").read_text()
    assert "- linf 8/255 on seen, `trained-on` (docs/flags.md#trained-on)" in card
    (file,) = (file for file in deployed_files(run, made.bundle.fingerprint)[0] if file.kind == "int8")
    assert (file.flags, file.data) == (["trained-on"], "seen")


def test_int8_figures_of_the_runs_own_images_carry_no_flag(made: tuple[RunFolder, Quantized]) -> None:
    evaluation = made[1].bundle.evaluation
    assert evaluation is not None
    assert (evaluation.flags, evaluation.data) == ([], None)
