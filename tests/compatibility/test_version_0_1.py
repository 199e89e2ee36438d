"""What version 0.1 left opens today: runs, evaluations, a checkpoint, bundles and an ablation (made by make.py)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loaded import open_service, send_image
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.config.ablation_record import read_ablation
from hardener.config.bundle import read_bundle
from hardener.config.evaluation_record import Evaluation, read_evaluations
from hardener.config.run_folder import RunFolder
from hardener.models.trained import open_classifier
from hardener.reports.page import write_report

LEFT = Path(__file__).resolve().parent / "v0.1"
MADE_IN = "/tmp/hardener-v0.1"
EXPECTED: dict[str, Any] = json.loads((LEFT / "expected.json").read_text())
ABLATE = [
    "--epochs", "1", "--batch-size", "16", "--set", "validation.samples=4", "--set", "data.cache=false",
    "--attack", "fgsm", "--eps", "4/255", "--samples", "24", "--device", "cpu", "--name", "ablation",
]  # fmt: skip


def hardener(*words: object) -> Result:
    found = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "200"})
    assert found.exit_code == 0, found.output
    return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what was left, as if it had been made there: only records that are gone on with name a folder."""
    folder = tmp_path / "home"
    shutil.copytree(LEFT, folder)
    for record in (*folder.glob("runs/**/run.json"), folder / "runs" / "ablation" / "ablation.json"):
        text = record.read_text()
        assert MADE_IN in text
        record.write_text(text.replace(MADE_IN, folder.as_posix()))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return folder


def levels() -> NDArray[np.uint8]:
    """The 24 test images, (N, H, W, C)."""
    return np.stack([np.asarray(Image.open(LEFT / "imgs" / name)) for name in EXPECTED["images"]])


def logits_of(run: RunFolder) -> NDArray[np.float32]:
    """What a run's network answers to the test images."""
    images = torch.from_numpy(levels()).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        found: NDArray[np.float32] = open_classifier(run, run.read_record())(images).numpy()
    return found


def records_of(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's two evaluations as they were written: the standard suite with every section, and PGD with settings."""
    suite, pgd = (json.loads(file.read_text()) for file in sorted((LEFT / "runs" / name / "eval").glob("*.json")))
    return suite, pgd


@pytest.mark.parametrize("name", ["sprout", "natural"])
def test_a_run_opens_and_its_network_answers_as_it_did(name: str) -> None:
    run = RunFolder(LEFT / "runs" / name)
    record, recipe = run.read_record(), run.read_recipe()
    assert (record.status, record.epochs_done, record.model.parameters) == ("finished", 8, 345)
    assert (recipe.name, recipe.epochs, recipe.batch_size, recipe.optimizer.lr) == (name, 8, 8, 0.05)
    np.testing.assert_allclose(logits_of(run), EXPECTED[name], atol=1e-4)


@pytest.mark.parametrize("name", ["sprout", "natural"])
def test_evaluations_open_with_their_figures(name: str) -> None:
    found = read_evaluations(LEFT / "runs" / name / "eval")
    for evaluation, written in zip(found, records_of(name), strict=True):
        for figure in ("clean_accuracy", "robust_accuracy", "samples", "verdict", "reason", "seed", "suite"):
            assert getattr(evaluation, figure) == written[figure]
        assert list(evaluation.interval) == written["interval"]
        assert [attack.model_dump() for attack in evaluation.attacks] == written["attacks"]
        assert [check.model_dump() for check in evaluation.checks] == written["checks"] != []
    suite, pgd = found
    assert [attack.name for attack in suite.attacks] == ["apgd", "apgd-t", "fab-t", "square"]
    assert (pgd.attacks[0].settings["steps"], pgd.attacks[0].settings["restarts"]) == (7, 2)


@pytest.mark.parametrize("name", ["sprout", "natural"])
def test_a_report_is_written_from_a_record(name: str, tmp_path: Path) -> None:
    suite, _ = records_of(name)
    write_report(read_evaluations(LEFT / "runs" / name / "eval")[0], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    figures = [suite["clean_accuracy"], *suite["interval"], *(attack["robust_accuracy"] for attack in suite["attacks"])]
    figures += [1 - suite["corruptions"]["mean_corruption_error"], suite["calibration"]["expected_error"]]
    figures += [found["accuracy"] for found in suite["certification"]["points"]]
    assert [figure for figure in figures if f"{100 * figure:.1f}" not in page] == []
    assert f"{255 * suite['clever']['mean']:.3g}/255" in page
    kinds = [found["name"] for found in (*suite["invariances"], *suite["corruptions"]["kinds"])]
    assert [kind for kind in kinds if kind.replace("_", " ") not in page] == []


def test_compare_gives_the_figures_of_the_records(home: Path) -> None:
    hardener("compare", "sprout", "natural", "--json", "compared.json")
    compared = json.loads((home / "compared.json").read_text())
    (threat,) = compared["threats"]
    stand = []
    for place, name in enumerate(("sprout", "natural")):
        suite, pgd = records_of(name)
        found = threat["results"][place]
        for figure in ("clean_accuracy", "robust_accuracy", "clean_interval", "interval", "verdict"):
            assert found[figure] == pgd[figure]
        assert threat["attacks"][0]["accuracies"][place] == pgd["attacks"][0]["robust_accuracy"]
        error = suite["corruptions"]["mean_corruption_error"]
        assert compared["corruption"]["values"][place] == pytest.approx(1 - error)
        certified = [measure["values"][place] for measure in compared["certified"]]
        assert certified == [point["accuracy"] for point in suite["certification"]["points"]]
        with np.load(home / "runs" / name / "eval" / pgd["per_image"]) as rows:
            stand.append(rows["robust"].mean())
    difference = stand[1] - stand[0]
    assert threat["results"][1]["robust_difference"]["difference"] == pytest.approx(difference) == 0.25
    assert (home / "compare" / "compare.html").is_file()


def test_a_gate_lets_through_what_the_records_say_and_no_more(home: Path) -> None:
    suite, pgd = records_of("natural")
    certified = next(point for point in suite["certification"]["points"] if point["parameter"] == 0.1)
    for measure, (low, _) in (
        ("clean", pgd["clean_interval"]),
        ("linf-8/255", pgd["interval"]),
        ("certified-0.1", certified["interval"]),
    ):
        assert "passes" in hardener("gate", "natural", "--min", f"{measure}={low - 1e-4:.6f}").stdout
        found = CliRunner().invoke(app, ["gate", "natural", "--min", f"{measure}={low + 1e-4:.6f}"])
        assert (found.exit_code, "does not pass" in found.stdout) == (1, True), found.output
    told = hardener("gate", "sprout", "--max-drop", "clean=0.2", "--min", "corruptions=0.1", "--against", "natural")
    assert "fell by 0.0 points, from 95.8 % to 95.8 %" in told.stdout
    found = CliRunner().invoke(app, ["gate", "sprout", "--max-drop", "linf-8/255=0.4", "--against", "natural"])
    assert (found.exit_code, "fell by 25.0 points, from 62.5 % to 37.5 %" in found.stdout) == (1, True), found.output


def test_an_interrupted_run_goes_on_to_where_the_straight_one_ended(home: Path) -> None:
    """It was stopped in epoch 4 of 8, and is `sprout` but for that; the best epoch comes after."""
    run, straight = (RunFolder(home / "runs" / name) for name in ("interrupted", "sprout"))
    assert run.read_record().status == "interrupted"
    rows = run.metrics.read_text().splitlines()
    hardener("train", "--resume", "interrupted", "--device", "cpu")
    assert run.metrics.read_text().splitlines()[: len(rows)] == rows
    record, other = run.read_record(), straight.read_record()
    assert (record.status, record.epochs_done) == ("finished", 8)
    assert record.best is not None
    assert record.best.model_copy(update={"class_accuracies": []}) == other.best  # which version 0.1 does not keep
    np.testing.assert_allclose(logits_of(run), EXPECTED["sprout"], atol=1e-3)


def test_a_run_is_evaluated_anew_on_the_same_images(home: Path) -> None:
    hardener(
        "eval", "natural", "--attack", "pgd", "--steps", "7", "--step-size", "2/255", "--restarts", "2",
        "--samples", "24", "--device", "cpu", "--precision", "float32",
    )  # fmt: skip
    _, before, after = read_evaluations(home / "runs" / "natural" / "eval")
    assert (after.data.fingerprint, after.model) == (before.data.fingerprint, before.model)
    assert (after.clean_accuracy, after.threat) == (before.clean_accuracy, before.threat)
    assert after.robust_accuracy == pytest.approx(before.robust_accuracy, abs=2.5 / 24)
    hardener("compare", "sprout", "natural", "--json", "compared.json")
    (threat,) = json.loads((home / "compared.json").read_text())["threats"]
    assert threat["results"][1]["evaluated_at"] == after.created_at
    assert all(attack["alike"] for attack in threat["attacks"])


def test_a_run_is_exported_with_the_figures_of_its_records(home: Path) -> None:
    hardener("export", "natural")
    folder = home / "runs" / "natural" / "bundle"
    bundle = read_bundle(folder)
    _, pgd = records_of("natural")
    assert bundle.fingerprint == pgd["model"]["fingerprint"]
    assert bundle.evaluation is not None
    assert bundle.evaluation.robust_accuracy == pgd["robust_accuracy"]
    assert list(bundle.evaluation.interval) == pgd["interval"]
    card = (folder / "model_card.md").read_text()
    assert f"{100 * pgd['robust_accuracy']:.1f} %" in card
    assert "42 training and 6 validation images" in card


def test_bundles_are_served_and_answer_as_they_did() -> None:
    """The int8 file may round otherwise on a processor with other instructions."""
    bundles = {"sprout": ("bundle", 1e-4), "sprout-int8": ("bundle-int8", 0.02)}
    with open_service(*(LEFT / "runs" / "sprout" / folder for folder, _ in bundles.values())) as room:
        for name, (folder, tolerance) in bundles.items():
            for image, expected in list(zip(EXPECTED["images"], EXPECTED[folder], strict=True))[::4]:
                content = (LEFT / "imgs" / image).read_bytes()
                answer = send_image(room, content, model=name, top_k="3").json()
                assert answer["model"]["name"] == name
                found = [answer["probabilities"][label] for label in ("left", "middle", "right")]
                np.testing.assert_allclose(found, expected, atol=tolerance)


def test_a_bundles_file_is_evaluated_with_the_gradients_of_its_run(home: Path) -> None:
    path = home / "runs" / "sprout" / "bundle" / "model.onnx"
    found = hardener("eval", path, "--attack", "fgsm", "--samples", "24", "--device", "cpu", "--json", "onnx.json")
    assert "gradients from" in found.stderr
    evaluation = Evaluation.model_validate_json((home / "onnx.json").read_bytes())
    suite, _ = records_of("sprout")
    assert evaluation.clean_accuracy == suite["clean_accuracy"]
    assert evaluation.robust_accuracy >= suite["robust_accuracy"]


def test_an_ablation_is_taken_up_and_says_the_same(home: Path) -> None:
    file = home / "runs" / "ablation" / "ablation.json"
    before = read_ablation(file)
    assert (before.status, len(before.combinations)) == ("finished", 8)
    found = hardener("ablate", "net.py", "--data", "imgs", *ABLATE)
    assert "8 of 8 are done" in found.stderr
    after = read_ablation(file)
    assert after.combinations == before.combinations
    assert after.effects == before.effects
