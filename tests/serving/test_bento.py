"""A Bento from a bundle: what lies in it, and what is refused before anything is built."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import yaml
from bundles import linear_bundle
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.bundle import read_bundle
from hardener.errors import Failure, HardenerError
from hardener.exporters import bento as room
from hardener.exporters.bento import bento_name, build_bento, lay_out

WEIGHTS = np.random.default_rng(0).normal(size=(4, 4, 1, 2)).astype(np.float32)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle, and a BentoML store of its own."""
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "store"))
    return linear_bundle(tmp_path / "run" / "bundle", WEIGHTS, (0, 0), changes={"name": "My_Run"})


@pytest.mark.slow
@pytest.mark.long
def test_the_command_builds_exports_and_says_how_to_go_on(bundle: Path, tmp_path: Path) -> None:
    target = tmp_path / "my.bento"
    found = CliRunner().invoke(app, ["bundle", str(bundle), "--output", str(target)])
    assert found.exit_code == 0, found.output
    (built,) = (path for path in (tmp_path / "store" / "bentos" / "my-run").iterdir() if path.is_dir())
    assert f"bentoml serve my-run:{built.name}" in found.stdout
    assert f"bentoml import {target}" in found.stdout
    assert "needs Docker" in found.stdout
    assert target.stat().st_size > 0
    assert read_bundle(built / "src" / "bundle") == read_bundle(bundle)
    described = yaml.safe_load((built / "bento.yaml").read_text())
    assert (described["service"], described["labels"]["recipe"]) == ("hardener_bento:HardenerService", "sprout")
    assert {"name": "BENTOML_DO_NOT_TRACK", "value": "True"}.items() <= described["envs"][0].items()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["bento", "bundle"]


def test_it_holds_the_files_of_the_bundle_and_no_other(bundle: Path, tmp_path: Path) -> None:
    (bundle / "secret").write_text("x")
    lay_out(bundle, read_bundle(bundle), tmp_path / "laid")
    assert {path.name for path in (tmp_path / "laid" / "bundle").iterdir()} == {"bundle.json", "model.onnx"}
    (bundle / "model_card.md").symlink_to("/etc/passwd")
    found = CliRunner().invoke(app, ["bundle", str(bundle)])
    assert (found.exit_code, "is a link out of the bundle" in found.stderr) == (2, True)
    assert not (bundle.parent / "bento").exists()


def test_its_folder_serves_its_own_bundle_without_torch_whichever_layout_it_came_from(
    bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "laid"
    lay_out(bundle, read_bundle(bundle), folder)
    assert {path.name for path in folder.iterdir()} == {
        "bentofile.yaml", "bundle", "hardener", "hardener_bento.py", "requirements.txt", "serving",
    }  # fmt: skip
    assert not (folder / "hardener" / "serving").exists()
    required = (folder / "requirements.txt").read_text().splitlines()
    assert "torch" not in {line.partition("==")[0] for line in required}
    assert all("==" in line for line in required)
    assert f"uvicorn=={version('uvicorn')}" in required
    script = (
        "import os, sys, hardener_bento, hardener, serving\n"
        "assert not {'torch', 'onnx'} & set(sys.modules)\n"
        "print(os.environ['HARDENER_BUNDLE'], hardener.__file__, serving.__file__, sep='\\n')"
    )
    environment = {"PYTHONPATH": str(folder), "BENTOML_HOME": str(tmp_path / "store"), "BENTOML_DO_NOT_TRACK": "True"}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        str(folder / "bundle"), str(folder / "hardener" / "__init__.py"), str(folder / "serving" / "__init__.py"),
    ]  # fmt: skip


def test_a_bundle_that_cannot_be_served_is_refused_and_nothing_is_left(bundle: Path, tmp_path: Path) -> None:
    described = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(described | {"classes": ["one", "two", "three"]}))
    with pytest.raises(HardenerError, match=r"the service refuses this bundle: model.onnx gives logits .* 3 classes"):
        build_bento(bundle)
    (bundle / "model.onnx").write_bytes(b"changed")
    with pytest.raises(HardenerError, match="is not the file that bundle.json describes"):
        build_bento(bundle)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["bundle"]


def test_a_folder_that_may_only_be_read_is_said(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(
        HardenerError, match=r"run/bento cannot be written \(Read-only file system\): .* copy bundle to"
    ):
        build_bento(bundle)


@pytest.mark.parametrize("name", ["my.tar", "missing/my.bento"])
def test_an_output_that_cannot_be_is_refused_before_anything_is_built(bundle: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(HardenerError, match=r"--output takes a file FILE.bento in a folder that exists"):
        build_bento(bundle, output=tmp_path / name)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["bundle"]


def test_what_bentoml_says_is_passed_on(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "_check", lambda folder: None)
    monkeypatch.setattr(room, "_ENTRY_TEXT", "raise RuntimeError('no service here')\n")
    with pytest.raises(Failure, match=r"bentoml build failed: .*no service here"):
        build_bento(bundle)


@pytest.mark.slow
def test_a_run_may_have_the_name_of_an_emoji_and_a_failed_export_leaves_nothing_in_the_store(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(described | {"name": "cat"}))
    store, taken = tmp_path / "store" / "bentos" / "cat", tmp_path / "taken.bento"
    made = build_bento(bundle)
    assert made.tag == f"cat:{(store / 'latest').read_text()}"
    taken.symlink_to("/proc/none")
    with pytest.raises(Failure, match="bentoml export failed"):
        build_bento(bundle, output=taken)
    assert [path.name for path in store.iterdir() if path.is_dir()] == [made.tag.removeprefix("cat:")]


def test_a_run_without_a_bundle_is_one_clear_error(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["bundle", str(tmp_path / "none")])
    assert found.exit_code == 2
    assert "does not exist" in found.stderr


def test_names_are_those_that_bentoml_and_kubernetes_take() -> None:
    assert [bento_name(name) for name in ("My_Run", "a..b", "ünï", "-x-", "0" * 70, "é")] == [
        "my-run", "a-b", "n", "x", "0" * 63, "model",
    ]  # fmt: skip
