"""A bundle that lies in a run whose weights are no longer those that it was made from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from oracles import TINY_MODEL, write_image_folder
from typer.testing import CliRunner, Result

from hardener.cli import serve
from hardener.cli.app import app
from hardener.config.run_folder import RunFolder
from hardener.exporters import bento


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one exported run."""
    home = tmp_path_factory.mktemp("made")
    (home / "tiny.py").write_text(TINY_MODEL)
    write_image_folder(home / "imgs", {"cat": 12, "dog": 12})
    quick = ["--recipe", "natural", "--epochs", "1", "--name", "r", "--out", home / "runs"]
    for words in (["train", home / "tiny.py", "--data", home / "imgs", *quick], ["export", home / "runs" / "r"]):
        assert hardener(*words).exit_code == 0
    return home


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A copy of it in the current folder, with both bundles, and no server that would start."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path / "home"))
    monkeypatch.setattr(serve, "_start", lambda *words: None)
    found = RunFolder(Path("runs/r"))
    shutil.copytree(found.bundle, found.int8_bundle)
    return found


def goes_on(run: RunFolder) -> None:
    """Give it other weights, of the same shapes, as further epochs do."""
    other = bytearray(run.weights.read_bytes())
    other[-1] ^= 1
    run.weights.write_bytes(other)


def test_a_run_of_other_weights_is_neither_served_nor_packed(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bento, "build_bento", lambda folder, output: pytest.fail("it was packed"))
    assert hardener("serve", "r").exit_code == 0
    goes_on(run)
    for command in ("serve", "bundle"):
        found = hardener(command, "r")
        assert found.exit_code == 2
        assert "runs/r/bundle was made from other weights than runs/r has now." in found.output
        assert "Make it again: `hardener export runs/r`." in found.output
        assert "To use it as it is, name its folder: runs/r/bundle" in found.output


def test_a_bundle_that_is_named_by_its_folder_is_served_with_a_warning(run: RunFolder) -> None:
    assert "warning" not in hardener("serve", run.bundle).output
    goes_on(run)
    for folder, option in ((run.bundle, ""), (run.int8_bundle, " --quantize int8")):
        found = hardener("serve", folder)
        assert found.exit_code == 0
        assert "was made from other weights than" in found.output
        assert f"{run.path}{option}`." in found.output


def test_a_bundle_of_which_nothing_is_left_to_compare_it_with_is_served(run: RunFolder) -> None:
    run.weights.unlink()
    assert hardener("serve", "r").output == ""
    run.record_file.unlink()
    assert hardener("serve", run.bundle).output == ""


def test_an_export_says_which_bundle_it_leaves_behind(run: RunFolder) -> None:
    goes_on(run)
    found = hardener("export", "r")
    assert found.exit_code == 0
    assert "runs/r/bundle-int8 was made from other weights than runs/r has now." in found.output
    assert "Make it again: `hardener export runs/r --quantize int8`." in found.output
    assert hardener("serve", "r").exit_code == 0


def test_an_export_says_that_the_folder_for_triton_is_older(run: RunFolder) -> None:
    assert "triton" in hardener("export", "r", "--layout", "triton").output
    again = "Make it again: `hardener export runs/r --layout triton`."
    assert again not in hardener("export", "r").output
    train = ("train", "tiny.py", "--data", "imgs", "--recipe", "natural", "--epochs", "1", "--seed", "1", "--name", "s")
    assert hardener(*train).exit_code == 0
    shutil.copyfile(RunFolder(Path("runs/s")).weights, run.weights)  # trained on
    found = hardener("export", "r")
    assert found.exit_code == 0
    assert again in found.output
    assert again not in hardener("export", "r", "--layout", "triton").output


def test_an_int8_bundle_that_cannot_be_read_does_not_end_an_export(run: RunFolder) -> None:
    (run.int8_bundle / "bundle.json").write_text("{")
    found = hardener("export", "r")
    assert found.exit_code == 0
    assert "runs/r/bundle-int8/bundle.json" in found.output


def test_a_bundle_behind_a_link_and_one_of_a_run_that_still_trains_are_served_with_a_warning(
    run: RunFolder, tmp_path: Path
) -> None:
    goes_on(run)
    link = tmp_path / "linked"
    link.symlink_to(run.bundle.resolve())
    assert "was made from other weights than" in hardener("serve", link).output
    record = run.read_record()
    record.status = "training"
    run.write_record(record)
    found = hardener("serve", "r")
    assert found.exit_code == 0
    assert found.output.count("was made from other weights than") == 1
