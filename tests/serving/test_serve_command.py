"""`hardener serve`: what it hands to the server, and one clear error for each mistake."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundles import linear_bundle
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.cli.serve import _BENTOML
from serving.settings import BundleSource, parse_bundles


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[Path, Path]:
    """Two bundles of the same name."""
    weights = np.zeros((8, 8, 3, 2), np.float32)
    return linear_bundle(tmp_path / "a", weights, (0, 0)), linear_bundle(tmp_path / "b", weights, (0, 0))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """What would have been executed."""
    calls: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda program, command, environment: calls.append((command, environment)))
    for name in list(os.environ):
        if name.startswith("HARDENER_"):
            monkeypatch.delenv(name)
    return calls


def serve(*words: object) -> Result:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return CliRunner().invoke(app, ["serve", "--port", str(port), *(str(word) for word in words)])


def test_the_flags_become_settings(
    bundles: tuple[Path, Path], started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bundles
    tokens = first / "tokens"
    tokens.write_text("")
    flags = "--default second --workers 2 --device cpu --draws 50 --queries 20 --report-seconds 2.5 --rate 5:10"
    flags += " --cors https://a.example --cors https://b.example --close page --close docs --host localhost"
    found = serve(first, f"second={second}", *flags.split(), "--tokens", tokens)
    assert found.exit_code == 0, found.output
    assert "serving linear, second at http://127.0.0.1:" in found.stderr
    assert "warning" not in found.stderr
    ((command, environment),) = started
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert {name: text for name, text in environment.items() if name.startswith("HARDENER_")} == {
        "HARDENER_BUNDLE": f"{first}{os.pathsep}second={second}",
        "HARDENER_DEFAULT": "second",
        "HARDENER_WORKERS": "2",
        "HARDENER_DEVICE": "cpu",
        "HARDENER_DRAWS": "50",
        "HARDENER_QUERIES": "20",
        "HARDENER_REPORT_SECONDS": "2.5",
        "HARDENER_TOKENS": str(tokens),
        "HARDENER_RATE": "5:10",
        "HARDENER_CORS": "https://a.example,https://b.example",
        "HARDENER_CLOSED": "page,docs",
    }
    assert environment["BENTOML_DO_NOT_TRACK"] == "True"


def test_a_flag_that_is_not_given_leaves_the_environment_as_it_is(
    bundles: tuple[Path, Path], started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARDENER_DRAWS", "77")
    assert serve(bundles[0]).exit_code == 0
    assert {name for name in started[0][1] if name.startswith("HARDENER_")} == {"HARDENER_BUNDLE", "HARDENER_DRAWS"}
    assert started[0][1]["HARDENER_DRAWS"] == "77"


def test_a_door_that_is_open_to_all_is_said(
    bundles: tuple[Path, Path], started: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "warning: whoever reaches 0.0.0.0:" in serve(bundles[0], "--host", "0.0.0.0").stderr
    monkeypatch.setenv("HARDENER_TOKEN_HASHES", f"me {'0' * 64}")
    assert "warning" not in serve(bundles[0], "--host", "0.0.0.0").stderr


@pytest.mark.parametrize("name", ["HARDENER_TOKENS", "HARDENER_TOKEN_HASHES"])
def test_a_variable_of_tokens_that_is_empty_names_none(
    bundles: tuple[Path, Path],
    started: list[tuple[list[str], dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setenv(name, "")
    assert "warning: whoever reaches 0.0.0.0:" in serve(bundles[0], "--host", "0.0.0.0").stderr


def test_a_folder_with_an_equals_sign_has_no_name_whatever_becomes_of_it(
    bundles: tuple[Path, Path], started: list[tuple[list[str], dict[str, str]]], tmp_path: Path
) -> None:
    odd = bundles[0].rename(tmp_path / "lr=0.1")
    found = serve(odd, f"prod={odd}")
    assert "serving linear, prod at" in found.stderr, found.output
    odd.rename(tmp_path / "moved")
    assert parse_bundles(started[0][1]["HARDENER_BUNDLE"]) == (BundleSource(odd), BundleSource(odd, "prod"))


def test_a_run_with_an_equals_sign_is_found_by_its_name(
    bundles: tuple[Path, Path], started: list[tuple[list[str], dict[str, str]]], tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "lr=0.1"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")  # its weights are gone, so that nothing is compared with them
    bundles[0].rename(run / "bundle")
    found = serve("lr=0.1", "prod=lr=0.1", "--out", tmp_path / "runs")
    assert "serving linear, prod at" in found.stderr, found.output


def test_ctrl_c_while_the_server_is_imported_leaves_no_traceback(tmp_path: Path) -> None:
    slow = tmp_path / "bentoml"
    slow.mkdir()
    (slow / "__init__.py").touch()
    (slow / "__main__.py").write_text("import sys, time\nprint(sys.argv[1:], flush=True)\ntime.sleep(600)\n")
    process = subprocess.Popen(
        [sys.executable, "-c", _BENTOML, "serve", "x"], cwd=tmp_path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "['serve', 'x']\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


def test_a_link_to_a_bundle_stays_a_link(
    bundles: tuple[Path, Path], started: list[tuple[list[str], dict[str, str]]], tmp_path: Path
) -> None:
    link = tmp_path / "current"
    link.symlink_to(bundles[0])
    assert serve(link).exit_code == 0
    assert started[0][1]["HARDENER_BUNDLE"] == str(link)


def test_mistakes(bundles: tuple[Path, Path], started: list[tuple[list[str], dict[str, str]]], tmp_path: Path) -> None:
    first, second = bundles
    apart = linear_bundle(tmp_path / f"c{os.pathsep}d", np.zeros((8, 8, 3, 2), np.float32), (0, 0))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for message, words in (
            (f"two models have the name 'linear': {first} and {second}. Give one another name: NAME=", bundles),
            ("the default model 'liner' is not served. Known: linear. Did you mean", (first, "--default", "liner")),
            ("--host must be an IP address, such as 127.0.0.1 or 0.0.0.0; got 'example'", (first, "--host", "example")),
            ("which separates bundles. Rename it.", (apart,)),
            ("cannot listen on 127.0.0.1:", (first, "--port", taken.getsockname()[1])),
            ("does not exist", (tmp_path / "nowhere",)),
        ):
            found = serve(*words)
            assert found.exit_code == 2, found.output
            assert message in found.stderr.replace("\n", " "), found.stderr
    for words in ((first, "--close", "door"), (first, "--device", "tpu"), (first, "--workers", "0")):
        assert serve(*words).exit_code == 2
    assert started == []
