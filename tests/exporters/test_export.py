from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from oracles import TINY_MODEL, write_image_folder
from run_folders import bits, write_evaluation, write_run
from torch import Tensor, nn

import hardener.exporters.run as room
from hardener.config.bundle import ServedThreat, read_bundle
from hardener.config.evaluation_record import Flag, read_evaluations
from hardener.config.reading import Reading
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import Failure, HardenerError
from hardener.evaluation.plan import EvaluateRequest
from hardener.evaluation.run import evaluate_run
from hardener.exporters.onnx import export_onnx
from hardener.exporters.parity import compare
from hardener.exporters.quantize import _training_files
from hardener.exporters.run import export, offline
from hardener.models.normalize import ImageClassifier
from hardener.models.trained import open_classifier
from hardener.progress import Silent
from hardener.threat import ChangeThreat
from hardener.training.run import TrainRequest, train
from serving.report import _offline_figures


class Quiet(Silent):
    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def epoch(self, *_: Any, **__: Any) -> None: ...


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """One trained run, exported, for tests that only read it."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_image_folder(folder / "imgs", {"cat": 12, "dog": 12})
    (folder / "tiny.py").write_text(TINY_MODEL)
    recipe = load_recipe("sprout", ["epochs=2", "batch_size=5"])
    request = TrainRequest(str(folder / "tiny.py"), data, recipe, out=folder / "runs", name="run", device="cpu")
    run = train(request, Quiet())
    evaluate_run(run, EvaluateRequest(eps=0.05, suite="quick", device="cpu"), Quiet())
    export(run, Quiet())
    return run


@pytest.fixture
def run(trained: RunFolder, tmp_path: Path) -> RunFolder:
    """The same run, not evaluated and not exported, in a folder of its own."""
    shutil.copytree(trained.path, tmp_path / "run", ignore=shutil.ignore_patterns("eval", "bundle"))
    return RunFolder(tmp_path / "run")


def test_the_bundle_holds_one_checked_file_and_its_facts(trained: RunFolder) -> None:
    run = trained
    (evaluation,) = read_evaluations(run.evaluations)
    bundle = read_bundle(run.bundle)
    assert sorted(path.name for path in run.bundle.iterdir()) == ["bundle.json", "model.onnx", "model_card.md"]
    assert (bundle.classes, bundle.noise_sigma, bundle.parity.argmax_agreement) == (["cat", "dog"], 0.1, 1.0)
    assert bundle.evaluation is not None
    assert bundle.evaluation.robust_accuracy == evaluation.robust_accuracy
    model = onnx.load(str(run.bundle / "model.onnx"))
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(facts["classes"]) == ["cat", "dog"]
    assert json.loads(facts["input_size"]) == [8, 8, 1]
    assert facts["fingerprint"] == bundle.fingerprint
    assert float(facts["clean_accuracy"]) == pytest.approx(evaluation.clean_accuracy, abs=1e-6)
    assert float(facts["robust_accuracy"]) == pytest.approx(evaluation.robust_accuracy, abs=1e-6)
    assert f"{100 * evaluation.robust_accuracy:.1f} %" in (run.bundle / "model_card.md").read_text()


@pytest.mark.parametrize("batch", [1, 2, 3, 17])
def test_onnx_equals_torch_at_any_batch(trained: RunFolder, batch: int) -> None:
    session = onnxruntime.InferenceSession(str(trained.bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).integers(0, 256, (batch, 8, 8, 1), dtype=np.uint8)
    logits, probabilities = session.run(["logits", "probabilities"], {"images": images})
    classifier = open_classifier(trained, trained.read_record())
    with torch.no_grad():
        expected = classifier(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    np.testing.assert_allclose(logits, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(probabilities, expected.softmax(1).numpy(), atol=1e-6)


@pytest.mark.parametrize("activation", ["silu", "softplus", "gelu"])
def test_a_smooth_activation_opens_and_is_exported_as_it_was_trained(
    activation: Literal["silu", "softplus", "gelu"], run: RunFolder
) -> None:
    record = run.read_record()
    assert record.model.activation == "keep"
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        hard = open_classifier(run, record)(pixels)
        record.model.activation = activation
        run.write_record(record)
        smooth = open_classifier(run, run.read_record())(pixels)
    assert not torch.allclose(hard, smooth, atol=1e-3)
    export(run, Quiet())
    session = onnxruntime.InferenceSession(str(run.bundle / "model.onnx"), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["logits"], {"images": images})[0], smooth.numpy(), atol=1e-5)
    assert read_bundle(run.bundle).parity.argmax_agreement == 1.0


def test_a_dynamic_batch_brings_no_shape_arithmetic_and_no_paths_of_this_machine(tmp_path: Path) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    classifier = ImageClassifier(network, mean=(0.5,) * 3, std=(0.2,) * 3, classes=("a", "b")).eval()
    path = tmp_path / "m.onnx"
    export_onnx(classifier, path, height=9, width=7, channels=3, metadata={"k": "v"})
    model = onnx.load(str(path))
    kinds = {node.op_type for node in model.graph.node}
    assert kinds <= {
        "Transpose",
        "Cast",
        "Div",
        "Sub",
        "Mul",
        "Add",
        "Conv",
        "Relu",
        "ReduceMean",
        "Reshape",
        "Gemm",
        "Softmax",
    }
    (image,) = model.graph.input
    dims = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert (image.name, dims[1:], isinstance(dims[0], str)) == ("images", [9, 7, 3], True)
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [output.name for output in model.graph.output] == ["logits", "probabilities"]
    assert b".py" not in path.read_bytes()
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [20]


def test_a_file_that_disagrees_is_a_failure_and_no_bundle_is_left(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = room.export_onnx  # type: ignore[attr-defined]

    def wrong(classifier: ImageClassifier, *args: Any, **options: Any) -> None:
        head = classifier.network[-1]  # type: ignore[index]
        with torch.no_grad():
            head.bias += torch.tensor([1.0, -1.0])
        plain(classifier, *args, **options)
        with torch.no_grad():
            head.bias -= torch.tensor([1.0, -1.0])

    monkeypatch.setattr(room, "export_onnx", wrong)
    with pytest.raises(Failure, match="the ONNX file disagrees with the model: largest logit difference 1"):
        export(run, Quiet())
    assert not run.bundle.exists()
    assert [path.name for path in run.path.iterdir() if path.name.startswith(".")] == []


def test_names_of_classes_that_no_bundle_takes_are_said_before_any_work(tmp_path: Path) -> None:
    run = write_run(tmp_path, "older")
    run.write_record(run.read_record().model_copy(update={"classes": ["cat\t", "cat\\t"]}))
    with pytest.raises(HardenerError, match=r"the names of two classes, .* look alike wherever they are shown"):
        export(run, Quiet())


def test_a_bundle_that_stands_survives_a_failing_export(
    trained: RunFolder, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained.bundle, run.bundle)
    monkeypatch.setattr(room, "compare", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(run, Quiet())
    assert read_bundle(run.bundle) == read_bundle(trained.bundle)


def test_a_network_that_cannot_be_exported_is_one_clear_failure(tmp_path: Path) -> None:
    class Branching(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            if float(images.sum()) > 3:
                return images.flatten(1)[:, :2]
            return images.flatten(1)[:, 1:3]

    classifier = ImageClassifier(Branching(), mean=(), std=(), classes=("a", "b"))
    with pytest.raises(Failure, match="exporter cannot translate the model"):
        export_onnx(classifier, tmp_path / "m.onnx", height=4, width=4, channels=1, metadata={})
    assert not (tmp_path / "m.onnx").exists()


def test_an_unevaluated_run_says_so(run: RunFolder) -> None:
    reporter = Quiet()
    assert export(run, reporter).evaluation is None
    assert "has not been evaluated" in reporter.warned[0]
    assert "nothing is known of its robustness" in (run.bundle / "model_card.md").read_text()


def test_the_bundle_carries_the_worst_figure_of_the_newest_threat(run: RunFolder) -> None:
    for attack, eps in (("pgd", 0.3), ("pgd", 0.1), ("fgsm", 0.1)):
        evaluate_run(run, EvaluateRequest(attacks=(attack,), eps=eps, device="cpu"), Quiet())
    bundle = export(run, Quiet())
    assert bundle.evaluation is not None
    same = [item for item in bundle.evaluations if item.eps == 0.1]
    assert (len(bundle.evaluations), bundle.evaluation.eps) == (3, 0.1)
    assert bundle.evaluation.robust_accuracy == min(item.robust_accuracy for item in same)


def test_the_bundle_names_the_threat_of_the_newest_evaluation_else_of_the_validation(trained: RunFolder) -> None:
    bundle, recipe = read_bundle(trained.bundle), load_recipe("sprout", ["validation.norm=l2", "validation.eps=0.7"])
    assert bundle.threat == ServedThreat(norm="linf", eps=0.05)
    assert room.threat_of(bundle.evaluation, recipe) == bundle.threat
    assert room.threat_of(None, recipe) == ServedThreat(norm="l2", eps=0.7)


def test_the_bundle_describes_the_training_images(trained: RunFolder) -> None:
    found = read_bundle(trained.bundle).training_images
    assert found is not None
    record = trained.read_record()
    assert found.images == record.data.splits["train"].images
    assert (found.width.q01, found.height.q99) == (8, 8)
    assert found.brightness.median == pytest.approx(record.input.mean[0], abs=0.05)
    assert found.contrast.q01 > 0.1  # one half is bright
    assert found.noise.q01 > 0.02


def test_missing_images_are_one_clear_error(run: RunFolder, tmp_path: Path) -> None:
    record = run.read_record()
    record.data.root = str(tmp_path / "moved")
    run.write_record(record)
    with pytest.raises(HardenerError, match="no longer at .* Name a folder of class folders with --data DIR"):
        export(run, Quiet())
    data = write_image_folder(tmp_path / "other", {"cat": 9, "dog": 9})
    reporter = Quiet()
    bundle = export(run, reporter, data=data)
    assert bundle.parity.images > 0
    assert bundle.training_images is None
    assert any("not those of the training" in text for text in reporter.warned)


def test_images_of_the_hub_are_asked_for_there(
    run: RunFolder, trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, commit, own = run.read_record(), "0" * 40, tmp_path / "datasets--someone--pets"
    shutil.copytree(record.data.root, own / "snapshots" / commit)
    (own / "refs").mkdir()
    (own / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    here, record.data.root = Path(record.data.root), "hf:someone/pets"
    run.write_record(record)
    assert export(run, Quiet()).training_images == read_bundle(trained.bundle).training_images
    calibrated = _training_files(record, run.read_recipe(), None, None)
    assert len(calibrated) == record.data.splits["train"].images
    shutil.rmtree(own)
    with pytest.raises(HardenerError, match="hf:someone/pets is not in the cache .* pass the folder: --data pets"):
        _training_files(record, run.read_recipe(), None, None)
    assert _training_files(record, run.read_recipe(), here, None).paths == calibrated.paths


def test_images_of_another_form_are_read_as_it_is_asked_for(run: RunFolder, tmp_path: Path) -> None:
    data = write_image_folder(tmp_path / "other", {"cat": 9, "dog": 9})
    names = sorted(str(path.relative_to(data)) for path in data.rglob("*.png"))
    rows = [f"{name},{name[:3]},{name[-5] in '02468'}" for name in names]
    (data / "other.csv").write_text("\n".join(["file,a,b", *rows]))
    with pytest.raises(HardenerError, match="none is known to hold classes. Name it: --label-column"):
        export(run, Quiet(), data=data / "other.csv")
    for name in names[::2]:
        (data / name).write_bytes(b"no image")
    asked = Reading(label_column="a")
    with pytest.raises(HardenerError, match="cannot be read: .* pass --skip-bad-images"):
        export(run, Quiet(), data=data / "other.csv", reading=asked)
    assert export(run, Quiet(), data=data / "other.csv", reading=asked, skip_bad=True).parity.images


def test_training_images_are_told_by_their_names_wherever_they_lie(trained: RunFolder, tmp_path: Path) -> None:
    record, recipe = trained.read_record(), trained.read_recipe()
    moved = shutil.copytree(record.data.root, tmp_path / "moved")
    asked = room.ComparedOn(moved, 8, None, skip_bad=False)
    folder = room._image_folder(record, asked, recipe)
    assert room._training_images(folder, record, Quiet()) == read_bundle(trained.bundle).training_images
    shutil.copy(next((moved / "cat").iterdir()), moved / "cat" / "one_more.png")
    assert room._training_images(room._image_folder(record, asked, recipe), record, Quiet()) is None


def test_a_changed_or_truncated_bundle_is_refused(trained: RunFolder, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.bundle, tmp_path / "bundle")
    model = folder / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(HardenerError, match="is not the file that bundle.json describes"):
        read_bundle(folder)
    (folder / "bundle.json").write_text("{}")
    with pytest.raises(HardenerError, match="is no bundle description"):
        read_bundle(folder)


def test_compare_counts_a_batch_of_one(trained: RunFolder) -> None:
    images = torch.randint(0, 256, (1, 1, 8, 8), dtype=torch.uint8)
    assert compare(open_classifier(trained, trained.read_record()), trained.bundle / "model.onnx", images).images == 1


def test_what_makes_a_figure_less_trustworthy_goes_with_it_into_the_bundle(tmp_path: Path) -> None:
    flags = [Flag(id=name, message="", page="") for name in ("unfinished", "trained-on", "data-changed")]
    found = write_evaluation(write_run(tmp_path, "run"), bits(9, 10), bits(5, 10), flags=flags)
    assert offline(found).flags == [flag.id for flag in flags]


def test_a_network_that_answers_nothing_is_not_served(trained: RunFolder) -> None:
    classifier = open_classifier(trained, trained.read_record())
    next(classifier.network.parameters()).data.fill_(torch.nan)
    images = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    with pytest.raises(Failure, match="the model's answers to 3 of 3 images are NaN or infinite"):
        compare(classifier, trained.bundle / "model.onnx", images)


def test_the_headline_is_of_the_images_that_the_run_held_out_whatever_was_evaluated_later(run: RunFolder) -> None:
    run.evaluations.mkdir()
    write_evaluation(run, bits(80, 100), bits(30, 100), own=True)
    for minute, name, right in ((1, "easy", 99), (2, "hard", 3)):
        write_evaluation(
            run, bits(right, 100), bits(right, 100), minute=minute, own=False, root=f"/x/{name}", images=name
        )
    bundle = export(run, Quiet())
    assert bundle.evaluation is not None
    assert (bundle.evaluation.robust_accuracy, bundle.evaluation.data) == (0.3, None)
    assert [item.data for item in bundle.evaluations] == [None, "easy", "hard"]
    card = (run.bundle / "model_card.md").read_text()
    rows = [line for line in card.splitlines() if line.startswith("| linf 8/255 |")]
    assert [row.split(" | ")[1] for row in rows[:3]] == ["test", "test split of easy", "test split of hard"]
    assert "The images of easy, hard are not those that the run held out." in card
    assert "/x/" not in card
    commands = [line for line in card.splitlines() if line.startswith("    hardener eval")]
    assert [line.split()[4] for line in commands] == ["DIR", "easy", "hard"]


def test_figures_of_seen_images_are_no_headline_where_there_are_others(run: RunFolder) -> None:
    run.evaluations.mkdir()
    seen = [Flag(id="trained-on", message="all were trained on", page="")]
    write_evaluation(run, bits(60, 100), bits(20, 100), own=False, root="/x/field", images="f")
    write_evaluation(run, bits(99, 100), bits(1, 100), minute=1, own=True, flags=seen)
    chosen = export(run, Quiet()).evaluation
    assert chosen is not None
    assert (chosen.data, chosen.flags) == ("field", [])


def test_other_data_alone_is_named_in_bundle_card_and_served_report(run: RunFolder) -> None:
    run.evaluations.mkdir()
    for minute, root in enumerate(("/x/one/photos", "/x/other/photos")):
        write_evaluation(run, bits(80, 100), bits(30 - minute, 100), minute=minute, own=False, root=root, images=root)
    heard = Quiet()
    (run.requirements).write_text("requirements: [{measure: clean, min: 0.5}]\n")
    bundle = export(run, heard)
    assert bundle.evaluation is not None
    assert bundle.evaluation.data == "other/photos"
    assert any("are of other images than" in text and "other/photos" in text for text in heard.warned)
    assert [(item.state, item.data) for item in bundle.requirements] == [("met", "other/photos")]
    assert "Shares of the images of other/photos, which are not those held out" in _offline_figures(bundle).meaning
    assert "**linf 8/255, test split of one/photos: " in (run.bundle / "model_card.md").read_text()


def test_a_run_evaluated_without_a_norm_alone_is_not_called_unevaluated(run: RunFolder) -> None:
    run.evaluations.mkdir()
    turn = ChangeThreat("spatial", (("rotation", (-15.0, 15.0)),), ("rotation",), "The image is turned.")
    write_evaluation(run, bits(80, 100), bits(40, 100), threat=turn, own=True)
    heard = Quiet()
    bundle = export(run, heard)
    assert any("has not been evaluated under a norm" in text and "spatial" in text for text in heard.warned)
    assert bundle.evaluation is None
    (told,) = read_bundle(run.bundle).changed
    assert (told.threat, told.reach) == ("spatial (rotation -15 to 15)", "The image is turned.")
    assert (told.robust_accuracy, told.data) == (0.4, None)
    card = (run.bundle / "model_card.md").read_text()
    assert "nothing is known of its robustness" not in card
    assert "It was not evaluated under a norm before it was exported." in card
    assert card.index("not evaluated under a norm") < card.index("## Under changes that no norm describes")
    served = _offline_figures(bundle)
    assert served.changed == bundle.changed
    assert "not evaluated under a norm" in served.meaning
    assert "spatial (rotation -15 to 15)" in served.meaning
