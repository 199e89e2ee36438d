"""Runs that end before their recipe's last epoch: early stopping, and a time limit."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from test_run import Recorder, request, rows
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.quantity import parse_duration
from hardener.config.recipe import load_recipe
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.progress import EpochMetrics
from hardener.training import run as training
from hardener.training.ending import TimeLimit, has_stalled, what_is_cut
from hardener.training.run import resume, train


class Watch(Recorder):
    """Counts the images of training and the epochs; a clock follows from them."""

    images = 0

    def track(self, what: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        def advance(done: int) -> None:
            self.images += done if what == "training" else 0

        return nullcontext(advance)


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Callable[[Watch, int], None]:
    """Lets the time be up once a reporter has seen so many images of training."""

    def install(watch: Watch, images: int) -> None:
        class Clock(TimeLimit):
            @property
            def left(self) -> float:
                return math.inf if watch.images < images else -1.0

        monkeypatch.setattr(training, "TimeLimit", Clock)

    return install


@pytest.mark.parametrize(("images", "done", "because"), [(40, 2, "less than an epoch"), (45, 2, "in epoch 3, which")])
def test_a_run_whose_time_is_up_is_finished_with_the_epochs_that_are_done(
    images: int, done: int, because: str, limited: Callable[[Watch, int], None],
    model_file: Path, image_folder: Path, tmp_path: Path,
) -> None:  # fmt: skip
    watch = Watch()
    limited(watch, images)
    run = train(request(model_file, image_folder, tmp_path, sets=("epochs=5",), time_limit_s=7200.0), watch)
    record = run.read_record()
    assert (record.status, record.ended, record.epochs_done, len(rows(run))) == ("finished", "time limit", done, done)
    assert record.time_limit_s == 7200, "the card's command gives as much again"
    assert run.weights.is_file()
    (told,) = watch.warned
    assert told.startswith(f"training ends after epoch {done} of 5 by time limit of 2.0 h:")
    assert because in told


RISING = ("vicinity.adversarial.eps=0.1", "vicinity.adversarial.schedule=ramp")


def test_a_run_that_is_cut_off_says_what_has_not_come_to_its_end_and_in_how_many_epochs_it_would(
    limited: Callable[[Watch, int], None], model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    watch = Watch()
    limited(watch, 40)
    sets = ("epochs=4", "validation.eps=0.1", *RISING)
    train(request(model_file, image_folder, tmp_path, "natural", sets, time_limit_s=60.0), watch)
    (told,) = watch.warned
    assert "; the learning rate was still at 50 % of its peak, and the eps of training had come to 38 %" in told
    assert told.endswith("of what is asked for. A run with --epochs 2 gets to the end")
    assert what_is_cut(load_recipe("natural", ["optimizer.schedule=constant"]), 2, 1.0) == ""


def test_how_many_epochs_end_in_time_is_said_once_after_the_first() -> None:
    recipe = load_recipe("natural", ["epochs=30"])
    limit = TimeLimit(100.5)
    told = limit.outlook(recipe, 1, 10.0)
    assert told is not None
    assert told.startswith("about 11 of 30 epochs end within the time limit of 100 s, and the learning rate comes to")
    assert told.endswith("its end after 30 alone. A run with --epochs 11 gets there")
    assert limit.outlook(recipe, 2, 10.0) is None, "it was said"
    assert TimeLimit(1000.0).outlook(recipe, 1, 10.0) is None, "all end in time"
    assert TimeLimit(5.0).outlook(recipe, 1, 10.0) is None, "the run ends now, and says so"
    assert TimeLimit().outlook(recipe, 1, 10.0) is None
    assert TimeLimit(100.0).outlook(load_recipe("natural", ["optimizer.schedule=constant"]), 1, 10.0) is None
    both = TimeLimit(100.0).outlook(load_recipe("natural", ["epochs=30", *RISING]), 1, 10.0)
    assert both is not None
    assert "the learning rate and the eps of training come to their ends after 30 alone" in both


def test_a_time_limit_that_is_shorter_than_an_epoch_is_told_and_the_line_that_it_names_goes_on(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        HardenerError, match="the time limit of 0 s is shorter than an epoch: one takes about"
    ) as caught:
        train(request(model_file, image_folder, tmp_path, sets=("epochs=2",), name="a", time_limit_s=0.001), Recorder())
    assert caught.value.exit_code == 2
    named = re.search(r"give it more: hardener (.*)$", str(caught.value))
    assert named
    found = CliRunner().invoke(app, [*shlex.split(named[1]), "--device", "cpu"])
    assert found.exit_code == 0, found.output
    assert "kept epoch" in found.output


def test_an_epoch_that_will_not_end_in_time_is_told_while_it_runs() -> None:
    limit = TimeLimit(60.0)
    assert not limit.is_hopeless(0.5, 20.0), "20 s more"
    assert limit.is_hopeless(0.1, 20.0), "180 s more"
    assert not limit.is_hopeless(0.001, 4.0), "too early to tell"
    assert not TimeLimit().is_hopeless(0.001, 1000.0)
    assert "one takes about 3 min here, after 0 s to begin" in limit.fault(0.1, 20.0, "again")
    assert limit.fault(0.1, 20.0, "again").endswith("again --time-limit 7m")


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("1.5H", 5400), ("600", 600)]
)
def test_a_time_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "h", "2 hours", "-1h", "1e3", "30m1h", "9" * 12])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(HardenerError, match="a time is 2h, 90m, 1h30m or 45s; got"):
        parse_duration(text)


def test_training_ends_when_nothing_gets_better(model_file: Path, image_folder: Path, tmp_path: Path) -> None:
    sets = ("epochs=30", "validation.patience=2", "optimizer.lr=1e-12", "augment.shift=0", "optimizer.momentum=0")
    reporter = Recorder()
    run = train(request(model_file, image_folder, tmp_path, "natural", sets), reporter)
    record = run.read_record()
    assert record.best is not None
    assert (record.status, record.ended, record.epochs_done) == ("finished", "patience", record.best.epoch + 2)
    assert record.epochs_done < 30
    assert any("by patience: none was better than epoch" in line for line in reporter.warned)


def test_a_run_killed_after_the_last_epoch_that_patience_allows_trains_no_other(
    model_file: Path, image_folder: Path, tmp_path: Path
) -> None:
    class Killed(Recorder):
        def epoch(self, metrics: EpochMetrics, *, epochs: int, is_best: bool) -> None:
            super().epoch(metrics, epochs=epochs, is_best=is_best)
            if metrics.epoch == 3:  # its checkpoint is written, and that training ends here is not
                raise SystemExit(9)

    sets = ("epochs=30", "validation.patience=2", "optimizer.lr=1e-12", "augment.shift=0", "optimizer.momentum=0")
    with pytest.raises(SystemExit):
        train(request(model_file, image_folder, tmp_path, "natural", sets), Killed())
    [run] = [RunFolder(path.parent) for path in tmp_path.rglob("run.json")]
    reporter = Recorder()
    resume(run, reporter, device="cpu")
    record = run.read_record()
    assert (record.status, record.ended, record.epochs_done) == ("finished", "patience", 3)
    assert reporter.epochs == []
    assert any("by patience: none was better than epoch 1" in line for line in reporter.warned)


def test_patience_counts_from_the_best_epoch_and_is_refused_where_eps_still_rises() -> None:
    assert [has_stalled(3, done, 2) for done in (3, 4, 5, 6)] == [False, False, True, True]
    assert not has_stalled(1, 100, None)
    ramp = ["vicinity.adversarial.eps=4/255", "vicinity.adversarial.schedule=ramp", "validation.patience=3"]
    with pytest.raises(HardenerError, match="validation.patience ends a run while its eps still rises: leave it out"):
        load_recipe("natural", ramp)


def test_a_finished_run_says_how_training_goes_on_from_its_weights(straight: Callable[[str], RunFolder]) -> None:
    run = straight("natural")
    with pytest.raises(HardenerError) as caught:
        resume(run, Recorder())
    assert str(caught.value).endswith(f"3 epochs are done. A new run begins with its weights by --init {run.path}.")
