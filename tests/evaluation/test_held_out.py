"""Images that a run has seen are known again, wherever they lie and whatever they are called."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles import TINY_MODEL, write_image_folder
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.config.run_folder import RunFolder

QUICK = ("--epochs", "1", "--batch-size", "16", "--device", "cpu", "--recipe", "natural")
CLASSES = {"cat": 20, "dog": 20}


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def train(home: Path, data: Path, name: str, *words: object) -> RunFolder:
    found = hardener("train", home / "tiny.py", "--data", data, *QUICK, "--out", home / "runs", "--name", name, *words)
    assert found.exit_code == 0, found.output
    return RunFolder(home / "runs" / name)


def evaluate(run: RunFolder, *words: object) -> dict[str, Any]:
    file = run.path / "told.json"
    found = hardener("eval", run.path, "--attack", "fgsm", "--device", "cpu", "--json", file, *words)
    assert found.exit_code == 0, found.output
    told: dict[str, Any] = json.loads(file.read_text())
    return told


def flags(told: dict[str, Any]) -> list[str]:
    return [flag["id"] for flag in told["flags"]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, images, and a run that drew its splits from them."""
    home = tmp_path_factory.mktemp("home")
    (home / "tiny.py").write_text(TINY_MODEL)
    train(home, write_image_folder(home / "imgs", CLASSES), "drawn")
    return home


@pytest.fixture
def drawn(home: Path) -> RunFolder:
    return RunFolder(home / "runs" / "drawn")


def test_after_a_move_the_images_that_were_held_out_are_found_by_content(
    home: Path, drawn: RunFolder, tmp_path: Path
) -> None:
    here = evaluate(drawn)
    there = evaluate(drawn, "--data", shutil.copytree(home / "imgs", tmp_path / "elsewhere"))
    assert (there["data"]["split"], there["samples"], flags(there)) == ("test", 4, [])
    assert there["data"]["fingerprint"] == here["data"]["fingerprint"]


def test_images_that_are_gone_are_asked_for(home: Path, drawn: RunFolder) -> None:
    away = (home / "imgs").rename(home / "away")
    told = hardener("eval", drawn.path, "--attack", "fgsm", "--device", "cpu")
    away.rename(home / "imgs")
    assert told.exit_code == 2
    assert "no longer at" in told.output
    assert "--data DIR" in told.output


def test_renamed_images_are_found_by_content(home: Path, drawn: RunFolder, tmp_path: Path) -> None:
    moved = shutil.copytree(home / "imgs", tmp_path / "d")
    for place, path in enumerate(sorted(moved.glob("*/*.png"), reverse=True)):
        path.rename(path.with_name(f"new-{place}.png"))
    told = evaluate(drawn, "--data", moved)
    assert (told["data"]["split"], told["samples"], flags(told)) == ("test", 4, [])
    assert told["clean_accuracy"] == evaluate(drawn)["clean_accuracy"]


def test_images_that_were_trained_on_raise_a_flag_and_can_be_left_out(
    home: Path, drawn: RunFolder, tmp_path: Path
) -> None:
    write_image_folder(tmp_path / "d" / "test", {"cat": 3, "dog": 3}, seed=5)
    for path in sorted((home / "imgs" / "cat").iterdir()):
        shutil.copy(path, tmp_path / "d" / "test" / "cat" / f"seen-{path.name}")
    told = evaluate(drawn, "--data", tmp_path / "d")
    assert (told["samples"], flags(told)) == (26, ["trained-on"])
    train_fact, validation_fact = told["data"]["found"]["alike"]
    assert (train_fact["equal"], validation_fact["equal"]) == (16, 2)
    left = evaluate(drawn, "--data", tmp_path / "d", "--dedupe")
    assert (left["samples"], flags(left)) == (26 - 18, [])
    assert left["data"]["found"]["alike"][0]["dropped"]


def test_a_held_out_image_with_other_contents_under_its_name_is_noticed(home: Path, tmp_path: Path) -> None:
    for split, seed in (("train", 0), ("val", 1), ("test", 2)):
        write_image_folder(tmp_path / "d" / split, {"cat": 8, "dog": 8}, seed=seed)
    run = train(home, tmp_path / "d", "own-test")
    assert flags(evaluate(run)) == []
    shutil.copy(tmp_path / "d" / "train" / "dog" / "001.png", tmp_path / "d" / "test" / "cat" / "003.png")
    told = evaluate(run)
    assert flags(told) == ["trained-on", "data-changed"]
    assert "1 of the images that are evaluated have the names and not the contents" in told["flags"][1]["message"]


def test_a_run_that_keeps_no_record_of_its_images_says_so(home: Path, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(home / "runs" / "drawn", tmp_path / "old"))
    run.prints.unlink()
    found = hardener("eval", run.path, "--attack", "fgsm", "--device", "cpu", "--data",
                     shutil.copytree(home / "imgs", tmp_path / "d"))  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "whether it was trained on these is not known" in found.stderr.replace("\n", " ")


def test_a_damaged_record_of_images_is_named(home: Path, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(home / "runs" / "drawn", tmp_path / "torn"))
    run.prints.write_bytes(run.prints.read_bytes()[:-200])
    found = hardener("eval", run.path, "--attack", "fgsm", "--device", "cpu")
    assert found.exit_code == 2
    assert "images.npz is damaged" in found.stderr.replace("\n", "")
    run.prints.unlink()
    assert hardener("eval", run.path, "--attack", "fgsm", "--device", "cpu").exit_code == 0


def test_copies_of_training_images_are_said_before_training_and_left_out_of_validation(
    home: Path, tmp_path: Path
) -> None:
    for split, seed in (("train", 0), ("val", 1)):
        write_image_folder(tmp_path / "d" / split, {"cat": 8, "dog": 8}, seed=seed)
    for place in range(3):
        shutil.copy(
            tmp_path / "d" / "train" / "cat" / f"00{place}.png", tmp_path / "d" / "val" / "cat" / f"x{place}.png"
        )
    run = train(home, tmp_path / "d", "leaky")
    found = run.read_record().data.found
    assert found is not None
    assert [(fact.split, fact.other, fact.equal, fact.dropped) for fact in found.alike] == [
        ("validation", "train", 3, False)
    ]
    clean = train(home, tmp_path / "d", "clean", "--dedupe").read_record().data
    assert clean.splits["validation"].images == 16
    assert clean.found is not None
    assert clean.found.alike[0].dropped
    again = hardener("eval", home / "runs" / "clean", "--attack", "fgsm", "--device", "cpu")
    assert "16 images of the validation split" in again.stdout, again.output
    assert "the run was trained with --dedupe: images that it has seen are left out here, too" in again.stderr


def test_what_was_found_stands_in_the_run_and_before_the_first_epoch(home: Path, tmp_path: Path) -> None:
    data = write_image_folder(tmp_path / "d", {"ant": 40, "bee": 8})
    (data / "ant" / "phone.jp2").write_bytes(b"x")
    (data / "ant" / "clip.mp4").write_bytes(b"x")
    found = hardener("train", home / "tiny.py", "--data", data, *QUICK, "--out", tmp_path / "runs", "--name", "r")
    said = found.stderr
    for words in (
        "2: ant 32, bee 6",
        "drawn, 10% of each class",
        "8x8, gray: the size of all images",
        "1 videos (ant/clip.mp4)",
    ):
        assert words in said, said
    assert said.index("classes ") < said.index("epoch ")
    record = RunFolder(tmp_path / "runs" / "r").read_record().data.found
    assert record is not None
    assert (record.kind, record.splits["test"].classes, record.formats) == (
        "image-folder", {"ant": 4, "bee": 1}, {"PNG": 38},
    )  # fmt: skip
    assert record.uneven == pytest.approx(32 / 6)


def test_the_record_of_images_is_a_small_file_without_pickles(drawn: RunFolder) -> None:
    with np.load(drawn.prints, allow_pickle=False) as kept:
        assert {name: kept[name].shape[0] for name in kept.files} == {"train": 32, "validation": 4, "test": 4}


def test_the_record_says_whether_the_run_held_the_images_out(home: Path, drawn: RunFolder, tmp_path: Path) -> None:
    assert evaluate(drawn)["data"]["own"] is True
    moved = shutil.copytree(home / "imgs", tmp_path / "moved")
    assert evaluate(drawn, "--data", moved)["data"]["own"] is True
    held = evaluate(drawn)["data"]["root"]
    assert held == str(home / "imgs")
    write_image_folder(tmp_path / "other" / "test", {"cat": 2, "dog": 2}, seed=7)
    assert evaluate(drawn, "--data", tmp_path / "other")["data"]["own"] is False


def test_a_test_split_that_moved_is_the_runs_own_and_a_choice_of_its_images_is_not(home: Path, tmp_path: Path) -> None:
    for split, seed in (("train", 0), ("val", 1), ("test", 2)):
        write_image_folder(tmp_path / "d" / split, {"cat": 8, "dog": 8}, seed=seed)
    run = train(home, tmp_path / "d", "with-a-test-split")
    moved = shutil.copytree(tmp_path / "d", tmp_path / "moved")
    for place, own in ((tmp_path / "d" / "test", True), (moved, True), (moved / "test", True), (moved / "val", False)):
        told = evaluate(run, "--data", place, "--samples", 10)
        assert told["data"]["own"] is own, place
    (moved / "test" / "cat" / "003.png").unlink()
    assert evaluate(run, "--data", moved)["data"]["own"] is False
    run.prints.unlink()
    assert evaluate(run, "--data", tmp_path / "d")["data"]["own"] is True
    assert evaluate(run, "--data", moved)["data"]["own"] is None
