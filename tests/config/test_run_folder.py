from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from run_folders import write_run

from hardener.config.run_folder import RunFolder, find_run, runs_below
from hardener.errors import HardenerError


def begun(run: RunFolder, moment: str) -> RunFolder:
    told = json.loads(run.record_file.read_text())
    run.record_file.write_text(json.dumps({**told, "created_at": moment}))
    return run


def test_the_newest_run_is_the_one_that_was_begun_last_wherever_it_lies(tmp_path: Path) -> None:
    with pytest.raises(HardenerError, match="no trained run below"):
        find_run(None, tmp_path / "runs")
    begun(write_run(tmp_path / "runs", "z"), "2026-03-01T10:00:00.000000+00:00")
    newest = begun(write_run(tmp_path / "runs" / "ablation", "a"), "2026-03-01T05:00:00-08:00")
    inner = begun(write_run(newest.path / "surrogate", "natural"), "2027-01-01T00:00:00+00:00")
    begun(write_run(tmp_path / "runs", "m"), "2026-03-01T12:59:59")
    untrained = begun(write_run(tmp_path / "runs", "untrained"), "2028-01-01T00:00:00+00:00")
    untrained.weights.unlink()
    assert find_run(None, tmp_path / "runs").path == newest.path
    assert inner.path not in [run.path for run in runs_below(tmp_path / "runs")]


def test_broken_runs_hide_no_other(tmp_path: Path) -> None:
    good = write_run(tmp_path, "good")
    for place, content in enumerate((b"", b"{", b"\xff", b"null", b'{"schema": "hardener/run/9"}')):
        write_run(tmp_path, f"broken-{place}").record_file.write_bytes(content)
    begun(write_run(tmp_path, "no-time"), "yesterday")
    begun(write_run(tmp_path, "too-late"), "99999-01-01T00:00:00+00:00")
    assert find_run(None, tmp_path).path == good.path
    with pytest.raises(HardenerError, match=r"nowhere does not exist.*there are .*good"):
        find_run("nowhere", tmp_path)
    shutil.rmtree(good.path)
    with pytest.raises(HardenerError, match="no run below .* can be read. The first: .*run.json is not one"):
        find_run(None, tmp_path)
