from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hardener.config.run_lock import holder, locked
from hardener.errors import HardenerError

HOLDS = """
import sys, time
from pathlib import Path
from hardener.config.run_lock import locked
with locked(Path(sys.argv[1]), "trained", print):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_excludes_another_process_and_ends_with_it_when_it_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert holder(tmp_path) == f"process {other.pid} on {os.uname().nodename}"
        told = rf"is being trained by process {other.pid} on .*\. Wait until it ends, or stop it first"
        with pytest.raises(HardenerError, match=told), locked(tmp_path, "trained", pytest.fail):
            pytest.fail("two hold it")
        with locked(tmp_path, "exported", pytest.fail, name=".export.lock"):
            assert holder(tmp_path) is not None
        other.send_signal(signal.SIGKILL)
    assert holder(tmp_path) is None
    with locked(tmp_path, "trained", pytest.fail):
        assert holder(tmp_path) == f"process {os.getpid()} on {os.uname().nodename}"
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    said: list[str] = []
    with locked(tmp_path, "trained", said.append):
        assert holder(tmp_path) is None
    assert said == [
        f"the file system of {tmp_path} has no locks (No locks available): see to it that no other process works on "
        "it meanwhile"
    ]


def test_a_folder_that_may_only_be_read_is_said() -> None:
    with pytest.raises(HardenerError, match=r"/sys cannot be written to .* or copy it to where you may write"):
        locked(Path("/sys"), "exported", print).__enter__()
