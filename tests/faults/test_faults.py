"""Faults made for real: signals, processes that are killed, disks that are full, two that want the same, torn files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from commands import EVAL, QUICK, Before, Shell, wait_for

from hardener.config.evaluation_record import Evaluation, read_evaluations
from hardener.config.run_folder import RunFolder

pytest_plugins = ("fault_fixtures",)
pytestmark = pytest.mark.slow  # processes that are stopped, killed and filled disks: half a second each


def copied(trained: Path, to: Path) -> RunFolder:
    """A run of one's own, on the same images."""
    return RunFolder(Path(shutil.copytree(trained / "runs" / "done", to)))


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*"))


@pytest.mark.parametrize("stop", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_an_evaluation_that_is_stopped_goes_on_by_the_same_command(
    stop: str, trained: Path, shell: Shell, tmp_path: Path
) -> None:
    run = copied(trained, tmp_path / "run")
    stopped = shell.run("eval", run.path, *EVAL, before=Before("hardener.evaluation.run:_audit", f"signal {stop}"))
    assert stopped.ended() == 130
    assert stopped.err.splitlines()[-1] == "stopped: nothing is lost: the same command goes on from here."
    assert not list(run.evaluations.glob("*.json"))
    again = shell.run("eval", run.path, *EVAL)
    assert again.ended() == 0, again.err
    assert "going on with the evaluation that was interrupted at the audit" in again.err
    assert hidden(run.path) == []


@pytest.mark.parametrize("stop", ["SIGTERM", "SIGINT"])
def test_an_export_and_an_ablation_that_are_stopped_leave_nothing_half_done(
    stop: str, trained: Path, shell: Shell, tmp_path: Path
) -> None:
    run = copied(trained, tmp_path / "run")
    stopped = shell.run("export", run.path, before=Before("hardener.exporters.run:compare", f"signal {stop}"))
    assert (stopped.ended(), stopped.err.splitlines()[-1]) == (130, "stopped: interrupted")
    assert hidden(run.path) == []
    assert not run.bundle.exists()
    words = ("ablate", trained / "tiny.py", "--data", trained / "imgs", *QUICK, "--attack", "fgsm", "--samples", "2")
    named = ("--out", tmp_path, "--name", "abl")
    before = Before("hardener.training.ablate:evaluate_run", f"signal {stop}")
    stopped = shell.run(*words, *named, before=before)
    assert stopped.ended() == 130
    assert "The same command with --name abl goes on from here." in stopped.err
    assert (tmp_path / "abl" / "natural" / "model.safetensors").is_file()
    assert hidden(tmp_path / "abl") == []


@pytest.mark.parametrize("stop", ["SIGTERM", "SIGHUP"])
def test_a_training_that_is_stopped_goes_on(stop: str, trained: Path, shell: Shell, tmp_path: Path) -> None:
    words = ("train", trained / "tiny.py", "--data", trained / "imgs", *QUICK, "--out", tmp_path, "--name", "r")
    before = Before("hardener.training.session:TrainingSession._after_step", f"signal {stop}", nth=2)
    stopped = shell.run(*words, before=before)
    assert stopped.ended() == 130
    assert f"Go on with: hardener train --resume {tmp_path / 'r'}" in stopped.err
    resumed = shell.run("train", "--resume", tmp_path / "r")
    assert resumed.ended() == 0, resumed.err
    assert hidden(tmp_path / "r") == []


def test_what_a_killed_evaluation_leaves_is_cleaned_by_the_next(trained: Path, shell: Shell, tmp_path: Path) -> None:
    run = copied(trained, tmp_path / "run")
    for place, nth in (("hardener.reports.page:write_text", 1), ("hardener.config.files:os.replace", 2)):
        killed = shell.run("eval", run.path, *EVAL, before=Before(place, "signal SIGKILL", nth))
        assert killed.ended() == -signal.SIGKILL
    assert hidden(run.path) != []
    again = shell.run("eval", run.path, *EVAL)
    assert again.ended() == 0, again.err
    assert hidden(run.path) == []
    assert read_evaluations(run.evaluations)


def test_a_name_whose_process_was_killed_before_there_was_anything_to_keep_is_free(
    trained: Path, shell: Shell, tmp_path: Path
) -> None:
    words = ("train", trained / "tiny.py", "--data", trained / "imgs", *QUICK, "--out", tmp_path, "--name", "r")
    for place in ("hardener.training.run:write_beginning", "hardener.training.checkpoint:os.replace"):
        killed = shell.run(*words, before=Before(place, "signal SIGKILL"))
        assert killed.ended() == -signal.SIGKILL, killed.err
        assert (tmp_path / "r").is_dir()
    again = shell.run(*words)
    assert again.ended() == 0, again.err
    assert hidden(tmp_path / "r") == []
    taken = shell.run(*words)
    assert taken.ended() == 2
    assert taken.err.endswith(f"error: {tmp_path / 'r'} exists. Choose another --name.\n")


def test_figures_are_printed_though_the_disk_fills_meanwhile(
    trained: Path, shell: Shell, small_disk: Path, tmp_path: Path
) -> None:
    run = copied(trained, small_disk / "run")
    fills = Before("hardener.evaluation.run:_audit", f"fill {small_disk / 'filler'}")
    found = shell.run("eval", run.path, *EVAL, "--json", tmp_path / "out.json", before=fills)
    assert found.ended() == 1
    assert "worst case" in found.out
    assert "error: the evaluation is made, and these could not be written: " in found.err
    assert "No space left on device" in found.err
    assert Evaluation.model_validate_json((tmp_path / "out.json").read_bytes()).samples == 2
    full = shell.run("eval", run.path, *EVAL)
    assert full.ended() == 2
    assert "result.json could not be written: No space left on device. Make room there" in full.err
    assert full.out == ""
    (small_disk / "filler").unlink()
    again = shell.run("eval", run.path, *EVAL)
    assert again.ended() == 0, again.err
    assert hidden(run.path) == []


def test_a_run_that_is_being_trained_is_resumed_by_no_other_and_evaluated_and_exported_with_a_word(
    trained: Path, shell: Shell, tmp_path: Path
) -> None:
    waits = tmp_path / "waits"
    words = ("train", trained / "tiny.py", "--data", trained / "imgs", *QUICK, "--out", tmp_path, "--name", "r")
    held = Before("hardener.training.session:TrainingSession._measure", f"wait {waits}", nth=2)
    first = shell.start(*words, before=held)
    wait_for(waits.exists, first)
    run = RunFolder(tmp_path / "r")
    who = f"by process {first.process.pid} on "
    second = shell.run("train", "--resume", run.path)
    assert second.ended() == 2
    assert f"error: {run.path} is being trained {who}" in second.err
    named = shell.run(*words)
    assert named.ended() == 2
    assert "Choose another --name." in named.err
    found = shell.run("eval", run.path, *EVAL)
    assert found.ended() == 0, found.err
    (evaluation,) = read_evaluations(run.evaluations)
    assert [flag.id for flag in evaluation.flags if flag.id == "unfinished"] == ["unfinished"]
    assert f"is being trained now, {who}" in evaluation.flags[0].message
    exported = shell.run("export", run.path)
    assert exported.ended() == 0, exported.err
    assert f"{run.path} is being trained now, {who}" in exported.err
    waits.unlink()
    assert first.ended() == 0, first.err
    assert run.read_record().status == "finished"


def test_of_two_at_once_under_one_name_one_trains(trained: Path, shell: Shell, tmp_path: Path) -> None:
    words = ("train", trained / "tiny.py", "--data", trained / "imgs", *QUICK, "--out", tmp_path, "--name", "r")
    both = [shell.start(*words) for _ in range(2)]
    assert sorted(command.ended() for command in both) == [0, 2]
    assert RunFolder(tmp_path / "r").read_record().status == "finished"


def test_images_that_moved_are_named_and_others_are_refused_with_what_differs(
    trained: Path, shell: Shell, tmp_path: Path
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    shutil.copytree(trained / "imgs", old)
    words = ("train", trained / "tiny.py", "--data", old, *QUICK, "--out", tmp_path, "--name", "r")
    stops = Before("hardener.training.session:TrainingSession._after_step", "signal SIGTERM", nth=2)
    assert shell.run(*words, before=stops).ended() == 130
    old.rename(new)
    gone = shell.run("train", "--resume", tmp_path / "r")
    assert gone.ended() == 2
    assert f"hardener train --resume {tmp_path / 'r'} --data DIR" in gone.err
    fewer = shutil.copytree(new, tmp_path / "fewer")
    (fewer / "cat" / "003.png").unlink()
    refused = shell.run("train", "--resume", tmp_path / "r", "--data", fewer)
    assert refused.ended() == 2
    assert "split has " in refused.err
    found = shell.run("train", "--resume", tmp_path / "r", "--data", new)
    assert found.ended() == 0, found.err
    assert RunFolder(tmp_path / "r").read_record().data.root == str(new.resolve())


def test_torn_lines_of_a_run_end_nothing(trained: Path, shell: Shell, tmp_path: Path) -> None:
    words = ("train", trained / "tiny.py", "--data", trained / "imgs", *QUICK, "--out", tmp_path, "--name", "r")
    stops = Before("hardener.training.session:TrainingSession._after_step", "signal SIGTERM", nth=4)
    assert shell.run(*words, before=stops).ended() == 130
    run = RunFolder(tmp_path / "r")
    run.metrics.write_bytes(run.metrics.read_bytes() + b'{"epoch": 2, "lo')
    resumed = shell.run("train", "--resume", run.path)
    assert resumed.ended() == 0, resumed.err
    assert [json.loads(line)["epoch"] for line in run.metrics.read_text().splitlines()] == [1, 2]
    run.metrics.write_bytes(b"\xff\xfe\x00{\n" + run.metrics.read_bytes()[:-9])
    assert [row["epoch"] for row in run.read_metrics()] == [1]


def test_a_finished_training_whose_curves_find_no_room_is_finished(
    trained: Path, shell: Shell, small_disk: Path
) -> None:
    words = ("train", trained / "tiny.py", "--data", trained / "imgs", *QUICK, "--out", small_disk, "--name", "r")
    done = shell.run(*words, before=Before("hardener.training.journal:draw_curves", f"fill {small_disk / 'filler'}"))
    assert done.ended() == 0, done.err
    assert "warning: the curves could not be written: No space left on device" in done.err
    assert RunFolder(small_disk / "r").read_record().status == "finished"


@pytest.mark.parametrize(
    "place", ["hardener.training.journal:Journal.write", "hardener.training.session:TrainingSession._measure"]
)
def test_a_training_whose_disk_fills_goes_on_when_there_is_room(
    place: str, trained: Path, shell: Shell, small_disk: Path
) -> None:
    words = ("train", trained / "tiny.py", "--data", trained / "imgs", *QUICK, "--out", small_disk, "--name", "r")
    full = shell.run(*words, before=Before(place, f"fill {small_disk / 'filler'}", nth=2))
    assert full.ended() == 2
    assert "error: no space left on the disk" in full.err
    assert f"hardener train --resume {small_disk / 'r'}" in full.err
    nowhere = shell.run(*words[:-1], "other")
    assert nowhere.ended() == 2
    assert "could not be written: No space left on device. Make room there, or choose another place" in nowhere.err
    (small_disk / "filler").unlink()
    resumed = shell.run("train", "--resume", small_disk / "r")
    assert resumed.ended() == 0, resumed.err
    assert [row["epoch"] for row in RunFolder(small_disk / "r").read_metrics()] == [1, 2]


def test_a_place_that_may_not_be_written_is_told_before_the_work(shell: Shell) -> None:
    """As a user without rights: root may write everywhere."""
    nobody = 65534 if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        asked = shell.run("eval", "nowhere.onnx", "--attack", "pgd", "--json", f"{folder}/a.json", user=nobody)
        assert asked.ended() == 2
        assert f"error: {folder}/a.json could not be written: Permission denied." in asked.err


@pytest.mark.slow
@pytest.mark.long
def test_names_that_are_not_utf_8_are_told_and_lose_nothing(trained: Path, shell: Shell, tmp_path: Path) -> None:
    odd = "caf" + os.fsdecode(b"\xe9")
    data = shutil.copytree(trained / "imgs", tmp_path / "imgs")
    (data / "cat").rename(data / odd)
    for file in [*(data / odd).iterdir()]:
        file.rename(file.with_name(os.fsdecode(b"\xff") + file.name))
    words = ("train", trained / "tiny.py", "--data", data, *QUICK, "--out", tmp_path, "--name", "r")
    stops = Before("hardener.training.session:TrainingSession._after_step", "signal SIGTERM", nth=2)
    assert shell.run(*words, before=stops).ended() == 130
    run = RunFolder(tmp_path / "r")
    resumed = shell.run("train", "--resume", run.path)
    assert resumed.ended() == 0, resumed.err
    assert run.read_record().classes == ["caf\\xe9", "dog"]
    found = shell.run("eval", run.path, *EVAL, "--eps", "1", "--curves", "--invariance")
    assert found.ended() == 0, found.err
    exported = shell.run("export", run.path)
    assert exported.ended() == 0, exported.err
    for record in [run.record_file, *run.evaluations.glob("*.json"), run.bundle / "bundle.json"]:
        assert "\\ud" not in record.read_text(encoding="utf-8"), "half a character of UTF-16 is no JSON"
    asked = shell.run("eval", tmp_path / odd)
    assert asked.ended() == 2
    assert asked.err == f"error: {tmp_path}/caf\\xe9 is not UTF-8, and records hold UTF-8 alone. " + (
        "Rename it, or make a link to it: ln -s\n"
    )
    (tmp_path / odd).mkdir()
    inside = shutil.copytree(trained / "imgs", tmp_path / odd / "imgs")
    os.symlink(inside, tmp_path / "link")
    linked = shell.run("train", trained / "tiny.py", "--data", tmp_path / "link", *QUICK, "--out", tmp_path)
    assert linked.ended() == 2
    assert "caf\\xe9/imgs is not UTF-8" in linked.err
