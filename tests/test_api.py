"""The Python door: `import hardener` from a program, on runs, files and modules in memory."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles import TINY_MODEL, Linear, write_image_folder
from oracles import linear_problem as problem_of
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import hardener
from hardener.config.evaluation_record import Evaluation
from hardener.config.run_folder import RunFolder, find_run
from hardener.errors import HardenerError
from hardener.threat import ThreatModel


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that the door trained."""
    root = tmp_path_factory.mktemp("door")
    (root / "tiny.py").write_text(TINY_MODEL)
    data = write_image_folder(root / "imgs", {"a": 20, "b": 20})
    write_image_folder(root / "imgs", {"spare": 3})
    return hardener.train(
        root / "tiny.py", data, recipe="natural", out=root / "runs", name="run", device="cpu",
        ignore=["spare"], class_depth=1, dedupe=True, image_size=(8, 8), range=None, rehearse=False,
        settings={"epochs": 1, "batch_size": 8, "validation.steps": 1, "validation.samples": 4},
    )  # fmt: skip


def linear_problem() -> tuple[Linear, Tensor, Tensor, Tensor]:
    """A linear model, images, labels, and the linf distance of each image to the plane."""
    model, images, labels = problem_of(60, (3, 4, 4), 0)
    return model, images, labels, (model.margin(images).abs() / model.weight.abs().sum()).detach()


def test_importing_it_loads_nothing_and_offers_what_it_says() -> None:
    code = (
        "import sys, hardener\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'rich', 'typer', 'hardener.api'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert set(hardener.__all__) <= set(dir(hardener))\n"
        "from hardener import evaluate\n"
        "assert evaluate.__module__ == 'hardener.api'\n"
        "import hardener.exporters.run, hardener.evaluation.run\n"
        "assert all(callable(getattr(hardener, name)) for name in hardener.__all__)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout == ""
    with pytest.raises(AttributeError, match="module 'hardener' has no attribute 'evalute'"):
        _ = hardener.evalute  # type: ignore[attr-defined]


def test_from_model_file_to_bundle_in_silence(run: RunFolder, capfd: pytest.CaptureFixture[str]) -> None:
    record = hardener.evaluate(run, attacks=["pgd"], eps="4/255", settings={"steps": 3}, device="cpu")
    assert isinstance(record, Evaluation)
    assert record.attacks[0].settings["steps"] == 3
    assert record.threat.model == ThreatModel("linf", 4 / 255)
    assert len(list(run.evaluations.glob("*.json"))) == 1
    bundle = hardener.export(run)
    assert bundle.classes == ["a", "b"]
    assert run.bundle.is_dir()
    on_file = hardener.evaluate(run.bundle / "model.onnx", data=run.read_record().data.root, attacks=["square"],
                                settings={"queries": 5}, samples=4, device="cpu")  # fmt: skip
    assert on_file.samples == 4
    assert hardener.gate(run, minimum={"clean": 0.0}).failed == []
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")


def test_the_loaded_model_takes_images_and_knows_its_classes(run: RunFolder) -> None:
    model = hardener.load(run)
    assert model.classes == ("a", "b")
    assert not model.training
    assert model(torch.rand(3, 1, 8, 8)).shape == (3, 2)
    by_name = hardener.load("run", runs=run.path.parent)
    assert torch.equal(by_name(torch.ones(1, 1, 8, 8)), model(torch.ones(1, 1, 8, 8)))


def test_runs_are_compared(run: RunFolder, tmp_path: Path) -> None:
    import shutil

    other = RunFolder(Path(shutil.copytree(run.path, tmp_path / "other")))
    for each in (run, other):
        hardener.evaluate(each, attacks=["fgsm"], eps=0.1, device="cpu")
    found = hardener.compare(run, other.path)
    assert [item.name for item in found.runs] == ["run", "other"] or len(found.runs) == 2


def test_a_module_in_memory_falls_where_the_closed_form_says() -> None:
    model, images, labels, margin = linear_problem()
    eps = float(margin.sort().values[29:31].mean())  # no image lies at the very edge, where rounding decides
    record = hardener.evaluate(model, images, labels, eps=eps, suite="quick", precision="float32")
    assert record.robust_accuracy == pytest.approx(float((margin > eps).float().mean()))
    assert (record.model.run, record.data.root) == (None, "in memory")
    asked: dict[str, Any] = {"eps": eps, "attacks": ["pgd"], "precision": "float32"}
    as_arrays = hardener.evaluate(model, images.numpy(), labels.numpy(), **asked)
    loader: DataLoader[tuple[Tensor, ...]] = DataLoader(TensorDataset(images, labels), batch_size=7)
    as_loader = hardener.evaluate(model, loader, **asked)
    assert record.robust_accuracy == as_arrays.robust_accuracy == as_loader.robust_accuracy


def test_radii_ask_for_certified_accuracy_at_each() -> None:
    model, images, labels, _ = linear_problem()
    given: dict[str, Any] = {"eps": 0.01, "attacks": ["fgsm"], "samples": 6}
    record = hardener.evaluate(model, images, labels, radii=["1/20", 0.01, 0.05], **given)
    assert record.certification is not None
    assert [point.parameter for point in record.certification.points] == [0.01, 0.05]
    assert all(point.interval is not None for point in record.certification.points)
    with pytest.raises(HardenerError, match="--radius 5 lies beyond what 50,000 draws certify where all agree"):
        hardener.evaluate(model, images, labels, radii=[5], **given)
    with pytest.raises(HardenerError, match="--radius must be >= 0"):
        hardener.evaluate(model, images, labels, radii=[-1], **given)


def test_the_audit_answers_its_questions_and_measures_nothing_else() -> None:
    model, images, labels, margin = linear_problem()
    record = hardener.audit(model, images, labels, eps=float(margin.median()), attacks=["fgsm"])
    assert {check.id for check in record.checks} >= {"gradients-zero", "answers-differ"}
    assert record.calibration is None


def test_it_takes_what_the_commands_take_of_reading_and_of_models_from_elsewhere(run: RunFolder) -> None:
    record = run.read_record()
    assert (record.data.reading.ignore, record.data.reading.class_depth) == (("spare",), 1)
    assert record.data.reading.dedupe
    root, model = Path(record.data.root), run.path.parent.parent / "tiny.py"
    own = {"attacks": ["fgsm"], "eps": 0.1, "samples": 8, "device": "cpu", "ignore": ["spare"], "data": root}
    found = hardener.evaluate(model, init=run.weights, normalize="none", image_size=8, **own)  # type: ignore[arg-type]
    assert (found.samples, found.model.run, found.data.split) == (8, None, "all")
    for options, message in (
        ({"init": run.weights}, "say how its inputs are normalised, by normalize='none'"),
        ({"ignore": "spare"}, "ignore takes a list of patterns"),
        ({"class_depth": 0}, "class_depth takes a number from 1 on, or 'leaf'; got 0"),
    ):
        with pytest.raises(HardenerError, match=message):
            hardener.evaluate(model, data=root, **options)
    with pytest.raises(HardenerError, match="normalize is for a model from elsewhere, .* not for a run"):
        hardener.evaluate(run, normalize="none")
    with pytest.raises(HardenerError, match="image_size is for a model from elsewhere, .* not for a module in memory"):
        hardener.audit(torch.nn.Identity(), torch.zeros(1, 3), image_size=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "elsewhere"}, "data is for images in files; a module in memory is asked about the images given"),
        ({"class_depth": 2}, "class_depth is for images in files"),
        ({"dedupe": True}, "dedupe is for images in files"),
        ({"samples": -5}, "samples takes a whole number from 1 on; got -5"),
        ({"batch_size": 0}, "batch_size takes a whole number from 1 on; got 0"),
        ({"restarts": 0}, "restarts takes a whole number from 1 on; got 0"),
        ({"settings": {"steps": -3}}, "steps takes a whole number from 1 on; got -3"),
        ({"settings": {"step_size": "-2/255"}}, "step_size takes a number above 0"),
    ],
)
def test_a_module_in_memory_refuses_what_would_do_nothing(options: dict[str, Any], message: str) -> None:
    model, images, labels, _ = linear_problem()
    with pytest.raises(HardenerError, match=message):
        hardener.evaluate(model, images, labels, **{"attacks": ["pgd"], **options})


def test_lengths_are_read_as_on_the_command_line_and_an_audit_measures_nothing() -> None:
    model, images, labels, _ = linear_problem()
    found = hardener.evaluate(model, images, labels, attacks=["pgd"], eps="8/255", settings={"step_size": "2/255"})
    assert found.attacks[0].settings["step_size"] == pytest.approx(2 / 255)
    with pytest.raises(HardenerError, match="audit measures nothing besides"):
        hardener.audit(model, images, labels, measures=["corruptions"])


def test_an_endless_loader_gives_what_is_asked_for() -> None:
    model, images, labels, _ = linear_problem()

    def forever() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield images, labels

    assert hardener.evaluate(model, forever(), samples=10, attacks=["fgsm"]).samples == 10


def test_an_attack_by_its_name() -> None:
    model, images, labels, _ = linear_problem()
    moved = hardener.attack("fgsm")(model, images, labels, norm="linf", eps=0.01)
    assert float((moved - images).abs().max()) <= 0.01 + 1e-6
    with pytest.raises(HardenerError, match="Did you mean 'pgd'"):
        hardener.attack("pdg")


def test_progress_is_drawn_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    model, images, labels, _ = linear_problem()
    hardener.evaluate(model, images, labels, attacks=["fgsm"], progress=True)
    assert "image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (None, None, "needs images and labels, or a DataLoader"),
        (np.zeros((2, 3, 4, 4), np.float32), None, "labels are missing"),
        ([torch.zeros(1, 3, 4, 4)], None, "must yield \\(images, labels\\)"),
        ([], None, "the DataLoader yields nothing"),
        (torch.zeros(3, 4, 4), torch.zeros(1).long(), "images must have the shape"),
        (torch.full((1, 3, 4, 4), 200.0), torch.zeros(1).long(), "Divide by 255"),
    ],
)
def test_what_is_no_image_is_said(images: object, labels: object, message: str) -> None:
    model, *_ = linear_problem()
    with pytest.raises(HardenerError, match=message):
        hardener.evaluate(model, images, labels)


def test_other_mistakes_are_said(run: RunFolder) -> None:
    with pytest.raises(HardenerError, match="a model is a run, an ONNX file or a torch module; got int"):
        hardener.evaluate(3, torch.zeros(1, 3, 4, 4), torch.zeros(1).long())  # type: ignore[arg-type]
    with pytest.raises(HardenerError, match="images and labels are for a module in memory"):
        hardener.evaluate(run, torch.zeros(1, 3, 4, 4))
    with pytest.raises(HardenerError, match="nowhere does not exist"):
        hardener.load("nowhere")
    with pytest.raises(HardenerError, match="expected a number such as 8/255"):
        hardener.evaluate(run, eps="eight")
    assert find_run(str(run.path), Path("runs")).path == run.path
