"""What was accepted is what is served: the copies, what is checked of them, and what is left of a dead server."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from bundles import linear_bundle

from hardener.config.bundle import read_bundle
from hardener.errors import HardenerError
from serving import accepted as room
from serving import bundle_check, ending, private_folder
from serving.accepted import Acceptance, sources, tokens_file
from serving.in_work import SLOTS, InWork, lost_with
from serving.restarts import QUICK_S, Restarts
from serving.service_state import ServiceState
from serving.settings import ACCEPTED_VARIABLE, BUNDLES_VARIABLE, BundleSource, Settings, settings_from_environment
from serving.worker_figures import WorkerCounters, WorkerFigures

WEIGHTS = np.zeros((4, 4, 1, 2), np.float32)
HASH = "0" * 64


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the copies lie in the test's folder, and check them in this process: another one costs a second."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(place))
    monkeypatch.setenv(ACCEPTED_VARIABLE, "")
    monkeypatch.setenv(BUNDLES_VARIABLE, "")  # both are set by what is tested

    def check(folders: list[Path], *, device: str) -> None:
        for folder in folders:
            bundle_check.check_bundle(folder, device=device)

    monkeypatch.setattr(room, "check_in_other_process", check)
    return place


def worker_settings(acceptance: Acceptance, *bundles: Path, tokens: Path | None = None) -> Settings:
    found = tuple(BundleSource(bundle) for bundle in bundles)
    return Settings(bundles=found, device="cpu", tokens=tokens, accepted=acceptance.folder)


def settings(*bundles: Path, tokens: Path | None = None) -> Settings:
    return Settings(bundles=tuple(BundleSource(bundle) for bundle in bundles), device="cpu", tokens=tokens)


def fingerprint_served(found: Settings) -> str:
    service = ServiceState(found)
    service.close()
    return service.registry.find(None).bundle.fingerprint


def test_a_worker_that_starts_later_serves_what_was_accepted_whatever_lies_in_the_folder(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "b", WEIGHTS, (0, 0), changes={"fingerprint": "1" * 64})
    tokens = tmp_path / "tokens"
    tokens.write_text(f"me {HASH}\n")
    acceptance = Acceptance(settings(bundle, tokens=tokens))
    found = worker_settings(acceptance, bundle, tokens=tokens)
    with (bundle / "model.onnx").open("r+b") as file:  # in place, as `cp` does
        file.write(b"broken")
    tokens.write_text("broken")
    assert fingerprint_served(found) == "1" * 64
    taken = acceptance.take_again()
    assert not taken.anything
    assert [refusal.split(":")[0] for refusal in taken.refusals] == [
        "the models were not exchanged",
        "the tokens stay as they were",
    ]
    assert str(bundle / "model.onnx") in taken.refusals[0]
    assert fingerprint_served(found) == "1" * 64
    linear_bundle(tmp_path / "b", WEIGHTS, (0, 0), changes={"fingerprint": "2" * 64})
    assert acceptance.take_again().anything  # the tokens are still broken
    assert fingerprint_served(found) == "2" * 64
    tokens.write_text(f"you {HASH}\n")
    assert acceptance.take_again().refusals == []
    kept = tokens_file(found)
    assert kept is not None
    assert kept.read_text() == f"you {HASH}\n"
    assert len(list(acceptance.folder.glob("bundles-*"))) == 2  # a worker that starts just now may read the older one


def test_a_worker_that_starts_later_knows_the_names_though_the_folders_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    linear_bundle(tmp_path / "lr=0.1", WEIGHTS, (0, 0))
    monkeypatch.setenv(BUNDLES_VARIABLE, f"lr=0.1{os.pathsep}prod=lr=0.1")
    monkeypatch.setenv("HARDENER_DEVICE", "cpu")
    Acceptance(settings_from_environment())
    (tmp_path / "lr=0.1").rename(tmp_path / "moved")
    later = ServiceState(settings_from_environment())
    later.close()
    assert [model.name for model in later.registry.list().models] == ["linear", "prod"]


@pytest.mark.parametrize(
    ("bias", "card", "said"),
    [
        ((float("nan"), 0.0), None, "the model's answer to an image is not finite. Export it again."),
        ((0.0, 0.0), b"\xff\xfe", "model_card.md cannot be read: it is no UTF-8 text. Export again, or remove it."),
    ],
)
def test_what_a_worker_would_stumble_over_is_refused_in_words_of_the_user_s_folder(
    tmp_path: Path, own_place: Path, bias: tuple[float, float], card: bytes | None, said: str
) -> None:
    bundle = linear_bundle(tmp_path / "b", WEIGHTS, bias)
    if card is not None:
        (bundle / "model_card.md").write_bytes(card)
    with pytest.raises(HardenerError) as error:
        Acceptance(settings(bundle))
    assert said in str(error.value)
    assert str(own_place) not in str(error.value)
    assert error.value.exit_code == 2


def test_a_bundle_that_changes_while_it_is_copied_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = linear_bundle(tmp_path / "b", WEIGHTS, (0, 0))
    read = read_bundle

    def read_and_change(folder: Path) -> object:
        found = read(folder)
        linear_bundle(tmp_path / "b", WEIGHTS, (1, 0), changes={"name": "other"})
        return found

    monkeypatch.setattr(room, "read_bundle", read_and_change)
    with pytest.raises(HardenerError, match=f"{bundle} was changed while it was read. Try again when it is whole."):
        Acceptance(settings(bundle))


def test_a_disk_without_room_for_the_copy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = linear_bundle(tmp_path / "b", WEIGHTS, (0, 0))

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(HardenerError, match=r"cannot be copied to .*: No space left on device\. .* Set TMPDIR"):
        Acceptance(settings(bundle))


def test_the_other_process_answers_says_why_not_and_may_die(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = linear_bundle(tmp_path / "b", WEIGHTS, (0, 0))
    bundle_check.check_in_other_process([bundle], device="cpu")
    (bundle / "bundle.json").write_text("{}")
    with pytest.raises(HardenerError, match="is no bundle description"):
        bundle_check.check_in_other_process([bundle], device="cpu")
    monkeypatch.setattr(bundle_check, "_SCRIPT", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(HardenerError, match=r"ended the process that tried it by signal 9 .* more memory"):
        bundle_check.check_in_other_process([bundle], device="cpu")


def test_without_a_supervisor_the_folder_itself_is_served(tmp_path: Path) -> None:
    bare = settings(tmp_path / "b", tokens=tmp_path / "t")
    assert sources(bare) == bare.bundles
    assert tokens_file(bare) == tmp_path / "t"


def test_what_a_killed_server_left_goes_at_the_next_start_and_what_lives_stays(own_place: Path) -> None:
    script = (
        "import os, sys; from serving import private_folder as p; p.tempfile.gettempdir = lambda: sys.argv[1]\n"
        "print(p.make_private_folder('x', [None]), flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(own_place)], capture_output=True, text=True, check=False)
    left = Path(done.stdout.strip())
    assert left.is_dir()
    mine = private_folder.make_private_folder("x", ["/nowhere", None])
    other = private_folder.make_private_folder("x", [None])
    assert mine is not None
    assert other is not None
    assert (left.exists(), mine.is_dir(), other.is_dir()) == (False, True, True)
    assert mine.stat().st_mode & 0o777 == 0o700
    assert private_folder.make_private_folder("x", ["/nowhere"]) is None


def test_quick_deaths_cost_time_and_end_it_and_a_long_life_forgives() -> None:
    now = 0.0
    restarts = Restarts(4, lambda: now)
    assert restarts.died(QUICK_S)
    assert restarts.wait_s() == 0
    waits = []
    for _ in range(3):
        assert restarts.died(1)
        waits.append(restarts.wait_s())
        now += waits[-1]
    assert waits == [0.5, 1, 2]
    assert not restarts.died(1)
    assert restarts.died(QUICK_S)
    assert restarts.died(1)
    now += 61
    assert restarts.died(1)
    assert restarts.quick == 1


def test_what_was_in_work_is_there_when_the_worker_is_not(tmp_path: Path) -> None:
    in_work = InWork(tmp_path)
    slots = [in_work.begin(f"POST /predict {number}") for number in range(SLOTS)]
    assert in_work.begin("one too many") is None
    for slot in slots[2:]:
        assert slot is not None
        in_work.end(slot)
    again = in_work.begin("GET /ünï " + 500 * "x")
    assert again is not None
    lost = lost_with(tmp_path, os.getpid())
    assert sorted(lost)[1:] == ["POST /predict 0", "POST /predict 1"]
    assert lost_with(tmp_path, os.getpid()) == []


def test_the_counts_of_workers_are_there_before_the_first_death(tmp_path: Path) -> None:
    def shown() -> list[float]:
        return [metric.samples[0].value for metric in WorkerCounters(tmp_path).collect()]

    assert shown() == [0, 0, 0]
    WorkerFigures(tmp_path, deaths=2, restarts=1, lost_requests=3).write()
    assert shown() == [2, 1, 3]
    (tmp_path / "workers.json").write_text("torn")
    assert shown() == [0, 0, 0]


def test_a_drain_ends_early_when_somebody_waits(tmp_path: Path) -> None:
    server = SimpleNamespace(config=SimpleNamespace(), server_state=SimpleNamespace(default_headers=[]))
    end = ending.Ending()
    end.go_by(Settings(bundles=(), drain_s=60, stop_s=3, accepted=tmp_path))

    async def scene() -> None:
        drain = asyncio.create_task(end.drain(server))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert end.draining
        ending.stop_at_once(tmp_path)
        await asyncio.wait_for(drain, 10)

    asyncio.run(scene())
    assert server.server_state.default_headers == [ending.CLOSE]
    assert server.config.timeout_graceful_shutdown == 3
