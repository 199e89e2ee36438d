"""Commands as a user types them: what they print, and one clear error for each mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import TINY_MODEL, linear_problem, write_image_folder
from PIL import Image
from torch import nn
from typer.testing import CliRunner, Result

from hardener.__main__ import main
from hardener.cli.app import app
from hardener.cli.export import _say_next
from hardener.config.evaluation_record import Evaluation
from hardener.config.run_folder import RunFolder
from hardener.models.checkpoints.weights import save_weights

QUICK = [
    "--epochs",
    "1",
    "--batch-size",
    "8",
    "--set",
    "validation.steps=1",
    "--set",
    "validation.samples=4",
    "--device",
    "cpu",
]


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def fails(code: int, message: str, *words: object) -> None:
    found = hardener(*words)
    assert found.exit_code == code, found.output
    assert found.stderr.strip().splitlines()[-1].startswith("error: "), found.stderr
    assert message in found.stderr.replace("\n", " ")
    assert "Traceback" not in found.output


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a model file, and one trained run named `run`; tests only add to it."""
    folder = tmp_path_factory.mktemp("home")
    write_image_folder(folder / "imgs", {"cat": 12, "dog": 12})
    (folder / "tiny.py").write_text(TINY_MODEL)
    found = hardener(
        "train", folder / "tiny.py", "--data", folder / "imgs", *QUICK, "--out", folder / "runs", "--name", "run"
    )
    assert found.exit_code == 0, found.output
    assert "kept epoch 1 of 1" in found.stdout
    assert "next: hardener eval" in found.stdout
    return folder


def test_eval_prints_and_writes_the_worst_case(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    found = hardener(
        "eval", home / "runs" / "run", "--attack", "fgsm", "--attack", "pgd",
        "--eps", "16/255", "--steps", 3, "--restarts", 2, "--json", target, "--device", "cpu",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "image by image. An attack that was not run may lower it." in found.stdout.replace("\n", " ")
    written = json.loads(target.read_text())
    checked = Evaluation.model_validate(written)
    assert written["schema"] == "hardener/eval/4"
    assert written["threat"] == {"norm": "linf", "eps": 16 / 255}
    assert set(written) >= {
        "model",
        "data",
        "samples",
        "clean_accuracy",
        "robust_accuracy",
        "interval",
        "attacks",
        "per_image",
        "flags",
    }
    assert [a["name"] for a in written["attacks"]][:2] == ["fgsm", "pgd"]
    settings = written["attacks"][1]["settings"]
    assert (settings["steps"], settings["random_start"], settings["restarts"]) == (3, True, 2)
    assert settings["step_size"] == pytest.approx(2.5 * 16 / 255 / 3)
    assert checked.data.split == "test"
    assert checked.robust_accuracy == written["attacks"][-1]["robust_accuracy"] <= checked.clean_accuracy
    with np.load(tmp_path / written["per_image"]) as rows:
        assert rows["robust"].mean() == checked.robust_accuracy
        assert rows["clean"].mean() == checked.clean_accuracy
        assert len(rows["path"]) == checked.samples == 2
    run = RunFolder(home / "runs" / "run")
    assert len(list(run.evaluations.glob("*.json"))) >= 1
    page = run.report.read_text()
    assert f"{100 * checked.robust_accuracy:.1f} %" in page
    assert "http" not in page.replace("http-equiv", ""), "nothing comes from the network"


def test_without_a_run_it_is_the_newest(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    for name in ("first", "second"):
        hardener("train", home / "tiny.py", "--data", home / "imgs", *QUICK, "--out", out, "--name", name)
    found = hardener("eval", "--out", out, "--steps", 1, "--device", "cpu")
    assert "second: 2 images of the test split" in found.stdout
    assert "were chosen at" not in found.stderr


def test_what_its_epochs_were_chosen_at_is_the_next_command_and_told_where_another_eps_is_taken(
    home: Path, tmp_path: Path
) -> None:
    data = ["--data", home / "imgs", *QUICK, "--set", "validation.eps=4/255", "--out", tmp_path]
    trained = hardener("train", home / "tiny.py", *data, "--name", "large")
    run = tmp_path / "large"
    command = trained.stdout.partition("next: hardener ")[2].strip()
    assert command == f"eval {run} --attack pgd --norm linf --eps 4/255"
    say = "the epochs of large were chosen at linf 4/255; it is attacked at linf 8/255"
    assert say in " ".join(hardener("eval", run, "--attack", "fgsm", "--device", "cpu").stderr.split())
    assert say not in " ".join(
        hardener("eval", run, "--attack", "fgsm", "--eps", "4/255", "--device", "cpu").stderr.split()
    )


def test_without_a_test_split_the_validation_split_is_used_and_said(home: Path, tmp_path: Path) -> None:
    write_image_folder(tmp_path / "d" / "train", {"cat": 10, "dog": 10})
    write_image_folder(tmp_path / "d" / "val", {"cat": 3, "dog": 3}, seed=1)
    hardener("train", home / "tiny.py", "--data", tmp_path / "d", *QUICK, "--out", tmp_path / "runs")
    found = hardener("eval", "--out", tmp_path / "runs", "--steps", 1, "--device", "cpu")
    assert found.exit_code == 0, found.output
    assert "no test split below the data folder: evaluating on the validation split" in found.stderr.replace("\n", " ")
    assert "6 images of the validation split" in found.stdout


def test_held_out_images_that_were_overwritten_raise_a_flag(home: Path, tmp_path: Path) -> None:
    data = write_image_folder(tmp_path / "imgs", {"cat": 12, "dog": 12})
    hardener("train", home / "tiny.py", "--data", data, *QUICK, "--out", tmp_path / "runs")
    write_image_folder(data, {"cat": 30, "dog": 30})
    found = hardener("eval", "--out", tmp_path / "runs", "--steps", 1, "--json", tmp_path / "e.json", "--device", "cpu")
    assert "1 of the 2 images that the run held out are gone or have other contents" in found.output
    assert [flag["id"] for flag in json.loads((tmp_path / "e.json").read_text())["flags"]] == ["data-changed"]


def test_a_model_that_was_not_trained_here_has_its_closed_form_accuracy(tmp_path: Path) -> None:
    """A linear model's robust accuracy is the share of images farther than eps from its plane."""
    model, images, _ = linear_problem(60, (1, 4, 4), seed=6)
    levels = (images * 255).round().to(torch.uint8)
    margin = model.margin(levels.float() / 255).detach()
    truth = (margin > 0).long()
    for index, (pixels, label) in enumerate(zip(levels, truth, strict=True)):
        folder = tmp_path / "imgs" / "ab"[int(label)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0].numpy()).save(folder / f"{index:02d}.png")
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    linear = network[1]
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.weight.copy_(torch.stack([-model.weight / 2, model.weight / 2]))
        linear.bias.copy_(torch.stack([-model.bias / 2, model.bias / 2]))
    save_weights(network, tmp_path / "w.safetensors")
    (tmp_path / "m.py").write_text("from torch import nn\nmodel = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))\n")
    distance = margin.abs() / float(model.weight.detach().abs().sum())
    common = [
        "--init",
        tmp_path / "w.safetensors",
        "--normalize",
        "none",
        "--data",
        tmp_path / "imgs",
        "--device",
        "cpu",
    ]
    for eps in ("4/255", "10/255"):
        found = hardener(
            "eval", tmp_path / "m.py", *common, "--attack", "fgsm", "--eps", eps, "--json", tmp_path / "e.json"
        )
        assert found.exit_code == 0, found.output
        result = json.loads((tmp_path / "e.json").read_text())
        level = int(eps.partition("/")[0])
        assert (result["data"]["split"], result["samples"], result["clean_accuracy"]) == ("all", 60, 1.0)
        assert result["robust_accuracy"] == int((distance > level / 255).sum()) / 60


def test_export_prints_the_comparison(home: Path) -> None:
    found = hardener("export", home / "runs" / "run")
    assert found.exit_code == 0, found.output
    assert "largest logit difference" in found.stdout
    assert "same answer on 100.0 %" in found.stdout.replace("\n", " ")


@pytest.mark.parametrize(
    ("speed", "told"),
    [
        (None, ["next: hardener serve runs/A"]),
        (2.5, ["next: hardener serve runs/A/bundle-int8"]),
        (0.3, ["next: hardener serve runs/A", "where int8 is faster, next: hardener serve runs/A/bundle-int8"]),
    ],
)
def test_int8_that_was_slower_is_not_what_export_advises(
    speed: float | None, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _say_next(RunFolder(Path("runs/A")), speed)
    found = capsys.readouterr()
    assert found.out.splitlines() == told
    assert ("int8 is slower than float32 here: 0.3 times as fast" in found.err) == (speed == 0.3)


def test_export_in_int8_prints_what_it_cost(home: Path) -> None:
    found = hardener("export", home / "runs" / "run", "--quantize", "int8", "--quick", "--layout", "triton")
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    for start in ("same answer ", "clean ", "robust, linf ", "certified, l2 0.05 "):
        assert any(line.lstrip().startswith(start) and " 2 " in line and "(" in line for line in lines), found.stdout
    assert all(len(line) <= 80 for line in lines if "–" in line)
    assert f"next: hardener serve {home / 'runs' / 'run' / 'bundle-int8'}" in found.stdout
    assert "a model repository with run and run-int8" in found.stdout
    models = home / "runs" / "run" / "triton" / "models"
    assert "KIND_CPU" in (models / "run-int8" / "config.pbtxt").read_text()


def test_export_names_what_it_does_not_know(home: Path) -> None:
    run = home / "runs" / "run"
    fails(2, "--quantize knows int8; got 'in8'. Did you mean 'int8'?", "export", run, "--quantize", "in8")
    fails(2, "--quick is for --quantize int8.", "export", run, "--quick")
    fails(2, "--layout knows triton; got 'trition'. Did you mean 'triton'?", "export", run, "--layout", "trition")


def test_a_name_that_no_file_system_takes_is_an_error_in_words(home: Path) -> None:
    run = home / "runs" / "run"
    fails(2, "a name is too long for the file system", "gate", run, "--against", "a" * 5000, "--max-drop", "clean=0.1")
    fails(2, "is the whole file system", "eval", run, "--data", "/", "--attack", "fgsm")


def test_bad_input_of_train(home: Path, tmp_path: Path) -> None:
    model, data, out = home / "tiny.py", home / "imgs", tmp_path / "runs"
    common = ["--data", data, "--out", out, *QUICK]
    fails(2, "name a model and its data: hardener train MODEL --data DIR", "train")
    fails(2, "no model file nowhere.py", "train", "nowhere.py", *common)
    fails(2, "no model file nowhere.py", "train", "nowhere.py", "--data", "nowhere")  # before any image is looked for
    fails(2, "no such file: gone.pt", "train", model, "--data", "nowhere", "--init", "gone.pt")
    fails(2, "torchvision has no classifier 'resnet81'", "train", "torchvision:resnet81", "--data", "nowhere")
    fails(2, "no such folder: nowhere", "train", model, "--data", "nowhere", "--out", out)
    fails(2, "unknown recipe 'sprot'", "train", model, *common, "--recipe", "sprot")
    fails(
        2,
        "unknown key 'optimizer.rl'. Did you mean 'optimizer.lr'?",
        "train",
        model,
        *common,
        "--set",
        "optimizer.rl=1",
    )
    fails(
        2,
        "eps must lie in [0, 1] because images do; got 8. Did you mean 8/255?",
        "train",
        model,
        *common,
        "--set",
        "validation.eps=8",
    )
    fails(2, "unknown device 'gpu'", "train", model, "--data", data, "--out", out, "--device", "gpu")
    fails(2, "--normalize takes data, none, imagenet or MEAN/STD", "train", model, *common, "--normalize", "foo")
    fails(2, "compile: Input should be 'auto', 'on' or 'off'; got 'yess'", "train", model, *common, "--compile", "yess")
    unused = "--set trades.weight=3 sets nothing of sprout, which trains by the method vicinity-risk. Leave it out"
    fails(2, unused, "train", model, *common, "--set", "trades.weight=3")
    twice = "--set batch_size=4: an option of its own gives batch_size as 8. Leave one out"
    fails(2, twice, "train", model, *common, "--batch-size", "8", "--set", "batch_size=4")
    (tmp_path / "two.py").write_text("def net_a(): ...\ndef net_b(): ...\n")
    fails(2, "defines no model", "train", tmp_path / "two.py", *common)
    (tmp_path / "bad.pt").write_bytes(b"nonsense")
    fails(2, "bad.pt", "train", model, *common, "--init", tmp_path / "bad.pt")
    torch.save({"a": nn.Linear(2, 2)}, tmp_path / "pickled.pt")
    fails(2, "pass --allow-pickle", "train", model, *common, "--init", tmp_path / "pickled.pt")
    save_weights(nn.Sequential(nn.Conv2d(1, 9, 3)), tmp_path / "other.safetensors")
    fails(2, "has other shapes than the model", "train", model, *common, "--init", tmp_path / "other.safetensors")
    assert not out.exists()
    fails(
        2,
        "run exists. Choose another --name",
        "train",
        model,
        *common[:2],
        "--out",
        home / "runs",
        *QUICK,
        "--name",
        "run",
    )
    fails(2, "does not exist. Runs are made by `hardener train`", "train", "--resume", "nowhere")
    fails(
        2,
        "--resume goes on with what the run was started with; --epochs cannot be changed",
        "train",
        "--resume",
        home / "runs" / "run",
        "--epochs",
        3,
    )
    fails(2, "is finished: 1 epochs are done", "train", "--resume", home / "runs" / "run")


def test_train_warm_starts_from_a_run_and_writes_what_was_frozen_and_compiled(home: Path, tmp_path: Path) -> None:
    options = ["--freeze", "0", "--freeze", "?.bias", "--compile", "off", "--init", home / "runs" / "run"]
    common = ["--data", home / "imgs", "--out", tmp_path, "--name", "warm"]
    found = hardener("train", home / "tiny.py", *common, *QUICK, *options)
    assert found.exit_code == 0, found.output
    run = RunFolder(tmp_path / "warm")
    recipe = run.read_recipe()
    assert (recipe.network.freeze, recipe.compile) == (["0", "?.bias"], "off")
    assert run.read_record().model.init == str(home / "runs" / "run")


def test_bad_images_are_one_clear_error_and_can_be_skipped(home: Path, tmp_path: Path) -> None:
    data = write_image_folder(tmp_path / "imgs", {"cat": 12, "dog": 12})
    for name in ("000", "001", "002", "003"):
        (data / "cat" / f"{name}.png").write_bytes(b"")
    command = ["train", home / "tiny.py", "--data", data, *QUICK, "--out", tmp_path / "runs"]
    fails(2, "cannot be read: ", *command)
    assert not (tmp_path / "runs").exists()
    found = hardener(*command, "--skip-bad-images")
    assert found.exit_code == 0, found.output
    assert "images cannot be read and are left out" in found.stderr.replace("\n", " ")


def test_bad_input_of_eval(home: Path, tmp_path: Path) -> None:
    run = home / "runs" / "run"
    fails(2, "no trained run below", "eval", "--out", tmp_path / "none")
    fails(2, "eps must lie in [0, 1] because images do; got 8. Did you mean 8/255?", "eval", run, "--eps", "8")
    fails(2, "--eps: expected a number such as 8/255", "eval", run, "--eps", "x")
    fails(2, "radius: expected a number such as 8/255", "eval", run, "--radius", "abc")
    fails(2, "Did you mean 'pgd'?", "eval", run, "--attack", "pdg")
    fails(2, "unknown norm 'l3'", "eval", run, "--norm", "l3")
    fails(2, "--steps is for no attack that was asked for (fgsm)", "eval", run, "--attack", "fgsm", "--steps", 3)
    fails(2, "--restarts needs an attack with a random start", "eval", run, "--attack", "fgsm", "--restarts", 3)
    fails(2, "--init is for a MODEL from elsewhere", "eval", run, "--init", "x.pt")
    fails(2, "was not trained here: name its weights by --init FILE", "eval", home / "tiny.py")
    fails(2, "there is no file model.onnx", "eval", "model.onnx")
    fails(2, "no such folder: ", "eval", run, "--json", tmp_path / "none" / "e.json", "--steps", 1, "--device", "cpu")
    other = write_image_folder(tmp_path / "other", {"cat": 3, "cow": 3})
    fails(2, "has other classes than", "eval", run, "--data", other)
    (tmp_path / "empty").mkdir()
    fails(2, "is no run folder: it has no run.json", "eval", tmp_path / "empty")


def test_bad_input_of_serve(home: Path, tmp_path: Path) -> None:
    hardener("train", home / "tiny.py", "--data", home / "imgs", *QUICK, "--out", tmp_path / "runs", "--name", "fresh")
    fails(2, "has no bundle yet. Make one: hardener export", "serve", tmp_path / "runs" / "fresh")
    fails(2, "does not exist", "serve", tmp_path / "nowhere")


def test_a_traceback_comes_only_with_debug(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hardener", "gate", "nowhere", "--min", "clean=0.5"]
    plain, debug = (
        subprocess.run([*command, *extra], capture_output=True, text=True, check=False, cwd=tmp_path)
        for extra in ([], ["--debug"])
    )
    assert plain.returncode == debug.returncode == 2
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
    assert plain.stderr.strip().splitlines()[-1].startswith("error: nowhere does not exist")


FULL_DISK = """
import contextlib, io, json, resource, signal, sys
import torch.utils.tensorboard, matplotlib.pyplot
from hardener.__main__ import main

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
limits, sys.argv[1:] = json.loads(sys.argv[1]), sys.argv[2:]
for limit in limits:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            main()
            code = 0
        except SystemExit as left:
            code = left.code
    print("found:", json.dumps([code, said.getvalue()]))
"""


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
def test_a_full_disk_is_one_clear_error_and_leaves_nothing_behind(home: Path, tmp_path: Path) -> None:
    """Files may grow to so many bytes: the recipe, the weights or the checkpoint do not fit."""
    limits = [1_000, 2_500, 5_000]
    words = ["train", home / "tiny.py", "--data", home / "imgs", *QUICK, "--out", tmp_path / "runs"]
    command = [sys.executable, "-c", FULL_DISK, json.dumps(limits), *map(str, words)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [
        json.loads(line.removeprefix("found: ")) for line in shown.stdout.splitlines() if line.startswith("found: ")
    ]
    assert len(found) == len(limits), shown.stderr
    for code, said in found:
        assert code == 2, said
        assert "error: no space left on the disk" in said or "run.json could not be written" in said
        assert "Traceback" not in said
    assert list((tmp_path / "runs").glob("*")) == []


def test_ctrl_c_before_a_command_has_begun_ends_it_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hardener.cli.app.run", stopped)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")
