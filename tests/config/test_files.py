from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hardener.config.files import (
    check_writable,
    read_lines_of_json,
    tidy,
    write_json,
    write_text,
    written_whole,
)
from hardener.errors import HardenerError


def test_a_file_appears_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "first")
    with pytest.raises(RuntimeError), written_whole(target) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    for text in ("first", "second"):
        with written_whole(target) as beside:
            beside.mkdir()
            (beside / text).write_text(text)
        assert [path.name for path in target.iterdir()] == [text]
    with pytest.raises(RuntimeError), written_whole(target) as beside:
        beside.mkdir()
        (beside / "third").write_text("half")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [target]


LEFT = """
import os, signal, sys
from pathlib import Path
from hardener.config.files import written_whole

what, target = sys.argv[1], Path(sys.argv[2])
with written_whole(target) as beside:
    beside.mkdir() if target.is_dir() else beside.write_text("half")
    if what == "between":
        os.rename = None
        Path.rename = lambda own, other: (os.replace(own, other), os.kill(os.getpid(), signal.SIGKILL))
    else:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(what: str, target: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LEFT, what, str(target)], capture_output=True, check=False, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_what_killed_processes_left_is_cleaned_and_what_is_being_written_stays(tmp_path: Path) -> None:
    file, folder = tmp_path / "a.json", tmp_path / "bundle"
    file.write_text("whole")
    folder.mkdir()
    (folder / "inside").write_text("whole")
    killed("a file", file)
    killed("between", folder)
    assert not folder.exists(), "it was moved aside, and its follower did not come"
    with written_whole(tmp_path / "now") as beside:
        beside.write_text("being written")
        assert len(list(tmp_path.iterdir())) == 5
        tidy(tmp_path, tmp_path / "nowhere")
        assert sorted(tmp_path.iterdir()) == sorted([beside, file, folder])
    assert (folder / "inside").read_text() == file.read_text() == "whole"


def test_what_a_killed_process_left_beside_a_file_is_cleaned_by_who_is_to_write_it(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("whole")
    killed("a file", file)
    assert len(list(tmp_path.iterdir())) == 2
    check_writable(file, tmp_path / "to" / "be" / "made.json")
    assert list(tmp_path.iterdir()) == [file]
    with pytest.raises(HardenerError, match="is a folder: name a file in it"):
        check_writable(tmp_path)
    with pytest.raises(HardenerError, match=r"a.json/b.json could not be written: Not a directory"):
        check_writable(file / "b.json")


def test_records_are_json_that_every_reader_takes(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    odd = os.fsdecode(b"caf\xe9")
    write_json(file, {odd: [odd, math.nan, math.inf, -math.inf, (1, True, None)], "猫": "🐈"})
    told = json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert told == {"caf\\xe9": ["caf\\xe9", "NaN", "Infinity", "-Infinity", [1, True, None]], "猫": "🐈"}
    assert "\\ud" not in json.dumps(told, ensure_ascii=False)


def test_what_another_machine_writes_stays_for_a_day(tmp_path: Path) -> None:
    foreign = tmp_path / ".a.json.012345-1-89abcdef"
    foreign.write_text("half")
    tidy(tmp_path)
    assert foreign.exists()
    os.utime(foreign, (time.time() - 90_000,) * 2)
    tidy(tmp_path)
    assert not foreign.exists()


def test_torn_lines_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    assert read_lines_of_json(file) == []
    file.write_bytes(b'{"a": 1}\n{"a": 2, "b\n[1]\n\xff\xfe\n\x00\x00\n{"a": 3}\n' + b"[" * 100_000 + b'\n{"a": 4')
    assert read_lines_of_json(file) == [{"a": 1}, {"a": 3}]
