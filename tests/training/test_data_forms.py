"""Data of every form goes through train, eval, export and inspect, and is found again after a move."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from oracles import TINY_MODEL, write_image_folder
from test_run import Recorder
from typer.testing import CliRunner

import hardener
from hardener.cli.app import app
from hardener.config.reading import Reading
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import Interrupted
from hardener.training.request import TrainRequest
from hardener.training.run import train

Form = Callable[[Path, Path], Path]


def members(folder: Path) -> list[tuple[Path, str]]:
    return [(path, path.parent.name) for path in sorted(folder.rglob("*.png"))]


def table(folder: Path, target: Path) -> Path:
    target.mkdir()
    lines = ["image,label"]
    for path, label in members(folder):
        name = f"{label}{path.stem}.png"
        shutil.copy(path, target / name)
        lines.append(f"{name},{label}")
    (target / "t.csv").write_text("\n".join(lines))
    return target / "t.csv"


def parquet(folder: Path, target: Path) -> Path:
    target.mkdir()
    rows = members(folder)
    found = pa.table({"image": [path.read_bytes() for path, _ in rows], "label": [label for _, label in rows]})
    pyarrow.parquet.write_table(found, target / "t.parquet")
    return target / "t.parquet"


def archive(folder: Path, target: Path) -> Path:
    return Path(shutil.make_archive(str(target / "t"), "zip", folder))


def names(folder: Path, target: Path) -> Path:
    target.mkdir()
    for path, label in members(folder):
        shutil.copy(path, target / f"{label}.{path.stem}.png")
    return target


def run(*words: object, code: int = 0) -> str:
    found = CliRunner().invoke(app, list(map(str, words)))
    assert found.exit_code == code, found.output
    return " ".join(found.output.split())


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(TINY_MODEL)
    for seed, split in enumerate(("train", "val", "test")):
        write_image_folder(tmp_path / split, {"cat": 12, "dog": 12}, seed=seed)
    return tmp_path


TRAIN = ("train", "model.py", "--epochs", 1, "--recipe", "natural", "--name", "r", "--no-rehearsal")
ATTACK = ("--attack", "fgsm", "--samples", 8)


def flags(result: Path) -> list[str]:
    return [flag["id"] for flag in json.loads(result.read_text())["flags"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("forms", "options"),
    [
        ((table, parquet, archive), ()),
        ((names, names, names), ("--label-from", "{label}.{#}")),
    ],
    ids=["table", "names"],
)
def test_each_form_is_trained_on_judged_exported_and_found_after_a_move(
    forms: tuple[Form, Form, Form], options: tuple[str, ...], user: Path
) -> None:
    again = forms[1](user / "train", user / "again")
    made = [
        form(user / split, user / f"as-{split}") for form, split in zip(forms, ("train", "val", "test"), strict=True)
    ]
    for split in ("train", "val", "test"):
        shutil.rmtree(user / split)
    said = run(*TRAIN, "--data", made[0], "--val", made[1], "--test", made[2], *options)
    assert "train 24 images" in said
    assert f"test 24 images, {made[2]}" in said
    data = RunFolder(user / "runs" / "r").read_record().data
    assert (data.drawn, data.test_root) == ((), str(made[2]))
    run("eval", *ATTACK, "--json", "own.json")
    assert json.loads(Path("own.json").read_text())["data"]["split"] == "test"
    run("eval", *ATTACK, "--data", again, "--json", "seen.json", *options)
    assert "trained-on" in flags(Path("seen.json"))
    (user / "new").mkdir()
    shutil.move(made[2].parent if made[2].is_file() and made[2].parent != user else made[2], user / "new")
    moved = next((user / "new").rglob(made[2].name))
    run("eval", *ATTACK, "--data", moved, "--json", "moved.json")
    assert "trained-on" not in flags(Path("moved.json"))
    assert "same answer on 100.0 %" in run("export", "--samples", 8, "--data", moved)


def test_a_run_is_resumed_where_its_table_and_images_lie_now(user: Path) -> None:
    path = table(user / "train", user / "images").rename(user / "t.csv")
    recipe = load_recipe("natural", ["epochs=6", "batch_size=4"])
    request = TrainRequest(
        model="model.py", data=path, recipe=recipe, out=user / "runs", name="r",
        reading=Reading(images_root=str(user / "images")), rehearse=False,
    )  # fmt: skip
    with pytest.raises(Interrupted):
        train(request, Recorder(interrupt_at=30))
    (user / "new").mkdir()
    path.rename(user / "new" / "t.csv")
    (user / "images").rename(user / "new" / "pictures")
    assert "no longer at" in run("train", "--resume", "r", code=2)
    moved = ("--data", "new/t.csv", "--images-root", "new/pictures")
    assert "kept epoch" in run("train", "--resume", "r", *moved)
    held = RunFolder(user / "runs" / "r").read_record()
    assert (held.status, held.data.reading.images_root) == ("finished", str(user / "new" / "pictures"))


def test_the_python_door_takes_them_too(user: Path) -> None:
    held = hardener.train(
        "model.py", table(user / "train", user / "as-train"), test=parquet(user / "test", user / "as-test"),
        recipe="natural", settings={"epochs": 1}, rehearse=False, label_column="label",
    )  # fmt: skip
    assert hardener.evaluate(held, attacks=["fgsm"], samples=8).data.split == "test"
