"""What a run's start was trained on is no measure of the run: it is told, kept on record, and left out where asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from oracles import TINY_MODEL, write_image_folder
from test_held_out import QUICK, evaluate, flags, hardener, train

from hardener.config.run_folder import RunFolder
from hardener.data.prints import Prints, before

FEW = ("--set", "data.val_fraction=0.3")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, and one that starts from it with other splits."""
    home = tmp_path_factory.mktemp("home")
    (home / "tiny.py").write_text(TINY_MODEL)
    train(home, write_image_folder(home / "imgs", {"cat": 20, "dog": 20}), "start")
    train(home, home / "imgs", "other", "--init", home / "runs/start", "--seed", 1, *FEW)
    return home


def test_test_images_that_the_start_was_trained_on_are_flagged_and_left_out_if_asked(home: Path) -> None:
    other = RunFolder(home / "runs/other")
    told = evaluate(other)
    assert "trained-on" in flags(told)
    seen = {fact["other"]: fact["equal"] for fact in told["data"]["found"]["alike"]}
    start = RunFolder(home / "runs/start").read_prints()
    own = {bytes(row[:16]) for row in other.read_prints()["test"]}
    assert seen["train"] == seen["validation"] == 0
    assert seen["before_train"] == len(own & {bytes(row[:16]) for row in start["train"]}) > 0
    assert seen["before_validation"] == len(own & {bytes(row[:16]) for row in start["validation"]})
    left = evaluate(other, "--dedupe")
    assert "trained-on" not in flags(left)
    assert left["samples"] == told["samples"] - seen["before_train"] - seen["before_validation"]


def test_the_same_splits_as_those_of_the_start_are_clean(home: Path) -> None:
    same = train(home, home / "imgs", "same", "--init", home / "runs/start")
    assert "trained-on" not in flags(evaluate(same))


def test_training_says_it_and_names_the_seed_that_divides_the_images_as_the_start_did(home: Path) -> None:
    words = ["train", home / "tiny.py", "--data", home / "imgs", *QUICK, "--out", home / "more", "--init"]
    said = hardener(*words, home / "runs/start/model.safetensors", "--seed", 1, "--name", "seed").output
    assert "was trained on them" in said.replace("\n", " ")
    assert "--seed 0 divides" in said.replace("\n", " ")
    assert "was trained on them" not in hardener(*words, home / "runs/start", "--name", "same").output
    grandchild = hardener(*words, home / "runs/other", "--seed", 5, *FEW, "--name", "third").output.replace("\n", " ")
    assert "was trained on them" in grandchild
    assert "divides the images as it did" not in grandchild  # the start's own images are no better


def test_dedupe_leaves_out_validation_images_that_the_start_was_trained_on_also_after_a_stop(home: Path) -> None:
    run = train(home, home / "imgs", "less", "--init", home / "runs/start", "--seed", 3, *FEW, "--dedupe")
    start = {bytes(row[:16]) for row in RunFolder(home / "runs/start").read_prints()["train"]}
    validation = run.read_prints()["validation"]
    new = [row for row in validation if bytes(row[:16]) not in start]
    assert 0 < run.read_record().data.splits["validation"].images == len(new) < len(validation)


def test_a_model_from_elsewhere_is_held_against_the_run_that_its_weights_lie_in(home: Path) -> None:
    file = home / "foreign.json"
    words = ["--data", home / "imgs", "--init", home / "runs/start", "--normalize", "none", "--json", file]
    found = hardener("eval", home / "tiny.py", "--attack", "fgsm", "--device", "cpu", "--eps", "1/255", *words)
    assert found.exit_code == 0, found.output
    assert "trained-on" in file.read_text()


def test_prints_of_several_widths_are_cut_to_what_all_have(home: Path) -> None:
    rows = RunFolder(home / "runs/start").read_prints()["train"]
    found = before({"train": Prints(rows[:4]), "before_train": Prints(rows[2:6, :16]), "validation": Prints(rows[:0])})
    assert sorted(found["before_train"].digests) == sorted({bytes(row[:16]) for row in rows[:6]})
    assert len(found["before_validation"]) == 0
