"""What trackers are told of a run, and that training goes on without them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from test_run import Recorder, request, rows

from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError, Interrupted
from hardener.training.run import resume, train
from hardener.training.trackers import TRACKERS


class StandIn(ModuleType):
    """A package `wandb` with what is asked of it; `fails` names the call that raises."""

    def __init__(self, fails: str = "") -> None:
        super().__init__("wandb")
        self.__spec__ = ModuleSpec("wandb", None)
        self.fails = fails
        self.begun: list[dict[str, Any]] = []
        self.logged: list[Mapping[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.codes: list[int] = []

    def Settings(self, **settings: Any) -> dict[str, Any]:
        return settings

    def init(self, **asked: Any) -> StandIn:
        self._may("init")
        self.begun.append(asked)
        return self

    def define_metric(self, name: str, step_metric: str) -> None:
        pass

    def log(self, figures: Mapping[str, Any]) -> None:
        self._may("log")
        self.logged.append(figures)

    def finish(self, exit_code: int) -> None:
        self.codes.append(exit_code)

    def _may(self, call: str) -> None:
        if call == self.fails:
            raise RuntimeError(f"{call}: no answer from the server\nand a page of HTML")


def test_a_tracker_is_told_settings_each_epoch_and_what_the_run_came_to_and_goes_on_with_it(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    asked = request(model_file, image_folder, tmp_path, sets=("epochs=2", "track=wandb"), name="tracked")
    with pytest.raises(Interrupted):
        train(asked, Recorder(interrupt_at=20))
    run = resume(RunFolder(tmp_path / "tracked"), Recorder(), device="cpu")
    first, second = wandb.begun
    assert (first["id"], first["name"], first["project"]) == (second["id"], "tracked", "hardener")
    assert first["config"]["optimizer.lr"] == 0.02
    assert first["config"]["model"] == str(model_file)
    assert [row["epoch"] for row in wandb.logged] == [1, 2]
    assert wandb.logged[1]["clean_accuracy"] == rows(run)[1]["clean_accuracy"]
    best = run.read_record().best
    assert best is not None
    assert (wandb.summary["status"], wandb.summary["best_epoch"]) == ("finished", best.epoch)
    assert wandb.codes == [1, 0], "one that goes on, and one that is finished"


def test_training_goes_on_without_a_tracker_that_fails_and_says_so_once(
    model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", StandIn(fails="log"))
    told = Recorder()
    run = train(request(model_file, image_folder, tmp_path, sets=("epochs=2", "track=wandb")), told)
    assert run.read_record().status == "finished"
    assert told.warned == [
        "wandb is not told of this run from here on, and training goes on without it: "
        "RuntimeError: log: no answer from the server"
    ]


def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_read(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    told = r"--set track=trackio needs trackio, which is not installed: pip install 'hardener\[trackers\]'"
    with pytest.raises(HardenerError, match=told):
        train(request(model_file, tmp_path / "no-images", tmp_path, sets=("track=trackio",)), Recorder())


def test_an_unknown_tracker_is_refused_with_the_nearest() -> None:
    with pytest.raises(HardenerError, match=r"unknown tracker 'wanb'. Known: mlflow, .* Did you mean 'wandb'\?"):
        load_recipe("natural", ["track=wanb"])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # what their own packages warn of
@pytest.mark.parametrize("name", TRACKERS)
def test_the_real_trackers_take_a_run_that_is_stopped_and_goes_on(
    name: str, model_file: Path, image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are no part of what is installed for the tests: `pip install 'hardener[trackers]'` first."""
    pytest.importorskip(TRACKERS[name].package)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    with pytest.raises(Interrupted):
        train(
            request(model_file, image_folder, tmp_path, sets=("epochs=2", f"track={name}"), name="tracked"),
            Recorder(interrupt_at=20),
        )
    told = Recorder()
    resume(RunFolder(tmp_path / "tracked"), told, device="cpu")
    assert told.warned == []
    if name == "mlflow":
        import mlflow

        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name("hardener")
        (run,) = client.search_runs([experiment.experiment_id])
        assert (run.info.status, run.data.tags["status"], run.data.params["optimizer.lr"]) == (
            "FINISHED",
            "finished",
            "0.02",
        )
        assert [point.step for point in client.get_metric_history(run.info.run_id, "loss")] == [1, 2]
