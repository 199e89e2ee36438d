"""`hardener ablate` as a user types it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from oracles import TINY_MODEL, write_image_folder
from typer.testing import CliRunner, Result

from hardener.cli.ablate import show
from hardener.cli.app import app
from hardener.config.ablation_record import Ablation, Asked, Change, Combination, Effect, read_ablation
from hardener.config.evaluation_record import EvaluatedThreat


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_it_prints_the_combinations_and_the_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_image_folder(tmp_path / "imgs", {"cat": 12, "dog": 12})
    (tmp_path / "tiny.py").write_text(TINY_MODEL)
    found = hardener(
        "ablate", "tiny.py", "--data", "imgs", "--epochs", 1, "--batch-size", 10, "--set", "validation.steps=1",
        "--attack", "fgsm", "--eps", "16/255", "--device", "cpu", "--name", "a", "--json", "a.json", "--seed", 3,
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "sprout: 2 images of the test split, linf 16/255, fgsm" in found.stdout
    rows = re.findall(r"^ *([●○]) +([●○]) +([●○]) +[\d.]+ % +[\d.]+ % \(", found.stdout, re.MULTILINE)
    assert len(set(rows)) == 8
    for module in ("noise", "mixup", "labels"):
        assert re.search(rf"^ *{module} +[+−][\d.]+ \([+−][\d.]+ to [+−][\d.]+\) +[+−]", found.stdout, re.MULTILINE)
    assert "written: runs/a/ablation.json and runs/a/ablation.png" in found.stdout
    assert "next: hardener compare runs/a/natural runs/a/noise+mixup+labels" in found.stdout
    for line in ("1 of 8, natural: training", "8 of 8, noise+mixup+labels: attacking"):
        assert line in found.stderr
    written = read_ablation(Path("a.json"))
    assert written == read_ablation(Path("runs/a/ablation.json"))
    assert (written.asked.seed, written.asked.recipe["batch_size"]) == (3, 10)
    assert (written.asked.recipe["precision"], written.asked.precision) == ("auto", "float32")


def test_the_weakest_stands_first_and_what_is_not_known_is_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    change = Change(difference=-0.125, interval=(-0.2, 0.05))
    ablation = Ablation(
        status="finished",
        created_at="2026-01-01T00:00:00+00:00",
        asked=Asked(
            model="timm:x", model_sha256=None, entry=None, data="imgs", skip_bad_images=False,
            recipe={"name": "sprout"}, seed=0, suite="standard", attacks=["apgd"],
            threat=EvaluatedThreat(norm="l2", eps=0.5), samples=1000, precision="auto",
        ),
        split="test",
        samples=100,
        combinations=[
            Combination(
                name=name, modules=modules, run=name, evaluation="eval/x.json", fingerprint="f", device="cpu",
                best_epoch=1, clean_accuracy=0.9, clean_interval=(0.8, 0.95), robust_accuracy=robust,
                interval=(0.1, 0.7), verdict="partly robust", flags=flags, seconds=12.34, epoch_seconds=1.0, cost=cost,
            )
            for name, modules, robust, flags, cost in (
                ("noise", ["noise"], 0.6, ["more-eps"], None),
                ("natural", [], 0.2, [], 1.25),
            )
        ],
        effects=[Effect(module="noise", clean=change, robust=change)],
    )  # fmt: skip
    show(ablation)
    printed = capsys.readouterr().out
    assert "sprout: 100 images of the test split, l2 0.5, suite standard" in printed
    assert printed.index("20.0 % (10.0 – 70.0)") < printed.index("60.0 % (10.0 – 70.0)")
    assert re.search(r"12\.3 s +1\.25 x", printed)
    assert re.search(r"12\.3 s +–", printed)
    assert "−12.5 (−20.0 to +5.0)" in printed
    assert "flags: noise (more-eps)" in printed


def test_mistakes_are_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(TINY_MODEL)
    for message, words in (
        ("choose --attack or --suite, not both", ["--attack", "pgd", "--suite", "quick"]),
        ("in the recipe natural noise, mixup, labels are off already", ["--recipe", "natural"]),
        ("unknown recipe 'sprut'", ["--recipe", "sprut"]),
        ("unknown suite 'all'", ["--suite", "all"]),
        ("precision: Input should be 'auto', 'float32' or 'bfloat16'; got 'half'", ["--precision", "half"]),
        ("eps must lie in [0, 1]", ["--eps", "8"]),
        ("no such folder: none, for --json none/c.json", ["--json", "none/c.json"]),
    ):
        found = hardener("ablate", "tiny.py", "--data", "imgs", *words)
        assert found.exit_code == 2, found.output
        assert "error: " in found.stderr
        assert message in found.stderr.replace("\n", " ")


def test_splits_that_lie_elsewhere_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_image_folder(tmp_path / "imgs", {"cat": 12, "dog": 12})
    Path("tiny.py").write_text(TINY_MODEL)
    write_image_folder(Path("others"), {"cat": 4, "emu": 4})
    for option in ("--val", "--test"):
        found = hardener("ablate", "tiny.py", "--data", "imgs", option, "others")
        assert found.exit_code == 2
        assert "others has other classes than the training images" in found.stderr.replace("\n", " ")
