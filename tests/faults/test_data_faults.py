"""Faults of data made for real: a disk that fills under the cache, a damaged cache, images that change between train
and eval, a listing that is stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import QUICK, Before, Shell
from oracles import write_image_folder

from hardener.config.run_folder import RunFolder
from hardener.data.data_set import read_data_set

pytest_plugins = ("fault_fixtures",)
pytestmark = pytest.mark.long  # whole trainings, some of them twice


def words(home: Path, data: Path, out: Path, *more: str) -> tuple[object, ...]:
    return ("train", home / "tiny.py", "--data", data, *QUICK, "--out", out, "--name", "r", *more)


@pytest.mark.parametrize(
    "place",
    ["hardener.data.blocks:Checksums.add", "hardener.data.cache:_finish"],
    ids=["pixels", "what is said of them"],
)
def test_a_disk_that_fills_under_the_cache_costs_the_cache_alone(
    place: str, trained: Path, shell: Shell, small_disk: Path, tmp_path: Path
) -> None:
    plain = shell.run(*words(trained, trained / "imgs", tmp_path / "plain", "--set", "data.cache=false"))
    assert plain.ended() == 0, plain.err
    fill = Before(place, f"fill {small_disk / 'filler'}")
    cache = {"HARDENER_CACHE": str(small_disk / "cache")}
    full = shell.run(*words(trained, trained / "imgs", tmp_path / "full"), before=fill, environment=cache)
    assert full.ended() == 0, full.err
    said = " ".join(full.err.split())
    assert (
        f"decoded images cannot be kept in {small_disk}/cache (No space left on device): every run decodes anew" in said
    )
    assert "set HARDENER_CACHE to another folder" in said
    assert not list((small_disk / "cache").glob(".*")), "nothing half written stays"
    losses = [[row["loss"] for row in RunFolder(tmp_path / name / "r").read_metrics()] for name in ("plain", "full")]
    assert losses[0] == losses[1]
    (small_disk / "filler").unlink()
    again = shell.run(*words(trained, trained / "imgs", tmp_path / "again"), environment=cache)
    assert again.ended() == 0, again.err
    assert "cannot be kept" not in again.err
    assert list((small_disk / "cache").glob("*.pixels"))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 5] ^= 0x10
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip], ids=["cut", "a flipped bit"])
def test_a_second_start_on_a_damaged_cache_trains_as_the_first(
    damage: Callable[[Path], None], trained: Path, shell: Shell, tmp_path: Path
) -> None:
    data, cache = write_image_folder(tmp_path / "imgs", {"cat": 40, "dog": 40}), tmp_path / "cache"
    environment = {"HARDENER_CACHE": str(cache)}
    weights = []
    for name in ("first", "second"):
        done = shell.run(*words(trained, data, tmp_path / name), environment=environment)
        assert done.ended() == 0, done.err
        weights.append(RunFolder(tmp_path / name / "r").weights.read_bytes())
        sound = {file: file.read_bytes() for file in cache.glob("*.pixels")}
        for file in sound:
            damage(file)
    assert weights[0] == weights[1]
    third = shell.run(*words(trained, data, tmp_path / "third"), environment=environment)
    assert third.ended() == 0, third.err
    assert {file: file.read_bytes() for file in cache.glob("*.pixels")} == sound, "they were made anew, as they were"
    if damage is flip:
        assert "is damaged: they are decoded again. Is the disk sound?" in " ".join(third.err.split())


def overwritten(data: Path, held_out: str) -> None:
    (data / held_out).write_bytes(b"P5 8 8 255\n" + bytes(range(100, 164)))


def deleted(data: Path, held_out: str) -> None:
    (data / held_out).unlink()


def added(data: Path, held_out: str) -> None:
    shutil.copy(data / held_out, data / "dog" / "one-more.png")


@pytest.mark.parametrize(
    ("change", "told", "images"),
    [
        (overwritten, "have the names and not the contents of those that the run held out", 6),
        (deleted, "are gone or have other contents; the others are evaluated", 5),
        (added, None, 6),
    ],
)
def test_images_that_change_between_train_and_eval_are_told(
    change: Callable[[Path, str], None], told: str | None, images: int, trained: Path, shell: Shell, tmp_path: Path
) -> None:
    data = write_image_folder(tmp_path / "imgs", {"cat": 30, "dog": 30})
    done = shell.run(*words(trained, data, tmp_path))
    assert done.ended() == 0, done.err
    run = RunFolder(tmp_path / "r")
    test = read_data_set(data).test
    assert test is not None
    change(data, test.paths[0])
    record = tmp_path / "e.json"
    found = shell.run("eval", run.path, "--attack", "fgsm", "--device", "cpu", "--json", record)
    assert found.ended() == 0, found.err
    evaluated = json.loads(record.read_text())
    assert evaluated["samples"] == images
    flags = evaluated["flags"]
    assert told is None or [flag["id"] for flag in flags if told in flag["message"]] == ["data-changed"]
    assert told is None or told in " ".join((found.err + found.out).split())


def test_a_training_that_is_stopped_while_it_lists_leaves_nothing_and_the_same_command_works(
    trained: Path, shell: Shell, tmp_path: Path
) -> None:
    stop = Before("hardener.data.tree:_walk", "signal SIGTERM", nth=2)
    stopped = shell.run(*words(trained, trained / "imgs", tmp_path / "runs"), before=stop)
    assert stopped.ended() == 130
    assert not list((tmp_path / "runs").glob("**/*")), "there is no run yet"
    again = shell.run(*words(trained, trained / "imgs", tmp_path / "runs"))
    assert again.ended() == 0, again.err
