"""The command that a card and a dossier print trains the same network again, or says why it may not."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from oracles import TINY_MODEL, write_image_folder
from run_folders import write_run
from test_model_card import bundle_of
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.bundle import sha256_of
from hardener.config.reading import Reading
from hardener.config.run_folder import RunFolder, RunRecord
from hardener.config.train_command import train_command
from hardener.reports.dossier.identity import identify
from hardener.reports.model_card import model_card

SMALL = ["--recipe", "natural", "--epochs", "1", "--set", "batch_size=8"]


def trained(name: str, *words: object) -> RunFolder:
    """A run as the command line makes it."""
    found = CliRunner().invoke(app, ["train", *map(str, words), *SMALL, "--name", name])
    assert found.exit_code == 0, found.output
    return RunFolder(Path("runs", name))


def again(run: RunFolder) -> RunFolder:
    """The run that its command makes."""
    words = shlex.split(train_command(run, run.read_record()))[1:]
    found = CliRunner().invoke(app, [*words, "--name", "again"])
    assert found.exit_code == 0, found.output
    return RunFolder(Path("runs", "again"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a model file and images of two classes and of a third that is passed over."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(TINY_MODEL)
    write_image_folder(Path("d"), {"cat": 12, "dog": 12, "other": 12})
    return tmp_path


def card(run: RunFolder, record: RunRecord) -> str:
    return model_card(bundle_of(run, []), record, recipe=run.read_recipe())


def test_data_that_was_read_in_a_way_of_its_own_is_read_so_again(home: Path) -> None:
    write_image_folder(Path("v"), {"cat": 3, "dog": 3}, seed=9)
    run = trained("r", "net.py", "--data", "d", "--val", "v", "--ignore", "other", "--dedupe", "--skip-bad-images")
    repeated = again(run)
    assert sha256_of(repeated.weights) == sha256_of(run.weights)
    one, other = run.read_record().data, repeated.read_record().data
    assert (one.splits, one.reading, one.skip_bad_images) == (other.splits, other.reading, other.skip_bad_images)
    assert (
        "hardener train net.py --data DIR --val VALIDATION --ignore other --dedupe --skip-bad-images --recipe"
        in card(run, run.read_record())
    )


def test_a_final_layer_that_was_fresh_since_the_weights_had_another_is_asked_for_again(home: Path) -> None:
    first = trained("first", "net.py", "--data", "d")
    run = trained("r", "net.py", "--data", "d", "--ignore", "other", "--init", first.weights, "--replace-head")
    assert run.read_record().model.replaced_head is None, "the file itself builds two outputs"
    assert sha256_of(again(run).weights) == sha256_of(run.weights)
    assert " --init model.safetensors --replace-head " in card(run, run.read_record())


def test_every_way_of_reading_stands_in_the_command_and_a_card_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    record = run.read_record()
    record.data.reading = Reading(
        ignore=("a b",), class_depth="leaf", label_from="{label}.{*}.jpg", path_column="p", label_column="l",
        split_column="s", images_root=str(tmp_path / "images"),
    )  # fmt: skip
    record.data.test_root, record.model.unfetched = str(tmp_path / "test"), True
    asked = (
        "--ignore 'a b' --class-depth leaf --label-from '{label}.{*}.jpg' --path-column p --label-column l "
        "--split-column s --images-root"
    )
    line = train_command(run, record)
    assert f"--test {tmp_path / 'test'} {asked} {tmp_path / 'images'} --no-pretrained" in line
    assert CliRunner().invoke(app, [*shlex.split(line)[1:], "--help"]).exit_code == 0
    told = card(run, record)
    assert f"--data DIR --test TEST {asked} IMAGES --no-pretrained" in told
    assert "`TEST` that of its test split, `IMAGES` the one that paths in the table count from" in told
    assert str(tmp_path) not in told


def test_a_run_that_its_time_limit_ended_says_so_and_is_given_as_much_again(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    record = run.read_record()
    record.ended, record.time_limit_s = "time limit", 44.5
    told = card(run, record)
    assert "Training: 3 of 30 epochs (ended by its time limit of 44 s), seed 0" in told
    assert "The time limit ended the run after epoch 3: on another machine another number of epochs may fit." in told
    assert re.search(r"hardener train net\.py .* --time-limit 45s --name run\n", told)
    dossier = identify(run, record, [], quantized=False)
    assert dossier.commands[0].endswith(" --time-limit 45s")
    assert dossier.ended.startswith("Training has 3 of 30 epochs: ended by its time limit of 44 s. The time limit")
    record.time_limit_s = None
    old = card(run, record)
    assert "(ended by its time limit)" in old
    assert "the command, which has none, trains all epochs of its recipe." in old
    assert "--time-limit" not in old


def test_a_run_that_ended_by_patience_or_was_stopped_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path, "run")
    record = run.read_record()
    assert (identify(run, record, [], quantized=False).ended, "Training: 3 epochs," in card(run, record)) == ("", True)
    record.ended = "patience"
    assert "3 of 30 epochs (ended by `validation.patience`, as no epoch was better)" in card(run, record)
    record.ended, record.status = None, "interrupted"
    assert "3 of 30 epochs (not trained to its end)" in card(run, record)
    assert "the command trains all epochs of its recipe." in identify(run, record, [], quantized=False).ended
