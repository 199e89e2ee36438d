"""The limits of the service: each can be set, is shown, and is refused where it makes no sense."""

from __future__ import annotations

import dataclasses
import json

import pytest
import typer
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.serving_limits import FIXED, LIMITS, Limit, read_limits
from hardener.errors import HardenerError
from serving.settings import Settings, settings_from_environment


def serve(*words: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["serve", *words])
    return found.exit_code, found.stdout, found.stderr


def another(limit: Limit) -> float:
    """A value of the range that is not the default."""
    return limit.most if limit.default != limit.most else limit.least


def test_every_number_of_the_settings_is_a_limit() -> None:
    kinds = {field.name: str(field.type) for field in dataclasses.fields(Settings)}
    assert set(LIMITS) == {name for name, kind in kinds.items() if kind.split(" |")[0] in {"int", "float"}}
    assert {name for name, limit in LIMITS.items() if limit.whole} == {n for n in LIMITS if kinds[n].startswith("int")}
    for name, limit in LIMITS.items():
        assert getattr(Settings(bundles=()), name) == limit.default
        assert limit.default is None or limit.least <= limit.default <= limit.most


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_each_can_be_set(limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDENER_BUNDLE", "somewhere")
    monkeypatch.setenv("HARDENER_MAX_HELD_BYTES", str(2**40))
    value = another(limit)
    monkeypatch.setenv(limit.variable, f"{value:.15g}")
    found = settings_from_environment()
    assert getattr(found, limit.name) == value
    assert isinstance(getattr(found, limit.name), int if limit.whole else float)


@pytest.mark.parametrize("limit", LIMITS.values(), ids=LIMITS)
def test_each_is_refused_in_one_line_where_it_makes_no_sense(limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ["many", "nan", f"{limit.least - 1:.15g}", f"{limit.most + 1:.15g}", *(["1.5"] if limit.whole else ["inf"])]
    for text in wrong:
        monkeypatch.setenv(limit.variable, text)
        code, shown, message = serve("--limits")
        assert (code, shown) == (2, "")
        (line,) = message.splitlines()
        assert limit.variable in line
        assert line.endswith(f"from {limit.least:.15g} to {limit.most:.15g}; got {text!r}")


def test_a_flag_is_refused_in_the_same_words() -> None:
    for flag, text in (("--workers", "0"), ("--draws", "x"), ("--queries", "-1"), ("--report-seconds", "0")):
        code, _, message = serve(flag, text)
        assert code == 2
        assert message.startswith(f"error: {flag} (HARDENER_")
        assert message.count("\n") == 1


def test_a_body_that_could_never_be_held_is_refused() -> None:
    with pytest.raises(HardenerError, match="no body of the largest size could be taken. Raise the second"):
        read_limits({"HARDENER_MAX_BODY_BYTES": "2000", "HARDENER_MAX_HELD_BYTES": "1999"})


def test_the_list_shows_each_with_its_variable_and_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDENER_DRAWS", "7")
    monkeypatch.setenv("HARDENER_MAX_PIXELS", "12345")
    code, shown, _ = serve("--limits", "--draws", "33", "--rate", "2:9")
    assert code == 0
    rows = {words[0]: words[1:3] for line in shown.splitlines() if (words := line.split())[0].startswith("HARDENER_")}
    assert set(rows) == {limit.variable for limit in LIMITS.values()} | {"HARDENER_RATE"}
    assert rows["HARDENER_RATE"] == ["2:9", "any"]
    assert rows["HARDENER_DRAWS"] == ["33", "500"]
    assert rows["HARDENER_MAX_PIXELS"] == ["12345", "50000000"]
    assert rows["HARDENER_LANES"] == ["automatic", "automatic"]
    assert shown.count("(cannot be set)") == len(FIXED)


def test_the_list_is_json_on_request() -> None:
    code, shown, _ = serve("--limits", "--json", "--workers", "3")
    assert code == 0
    found = {row["name"]: row for row in json.loads(shown)}
    assert set(found) == {*LIMITS, "rate", *FIXED}
    assert found["form_fields"] == {
        "name": "form_fields", "variable": None, "flag": None, "value": 16, "bounds": FIXED["form_fields"].bounds,
    }  # fmt: skip
    assert found["rate"]["value"] is None
    assert found["workers"] == {
        "name": "workers",
        "variable": "HARDENER_WORKERS",
        "flag": "--workers",
        "value": 3,
        "default": 1,
        "least": 1,
        "most": 256,
        "bounds": LIMITS["workers"].bounds,
    }
    code, _, message = serve("--json")
    assert (code, message) == (2, "error: --json belongs to --limits. The service answers in JSON in any case.\n")


def test_each_flag_named_in_the_table_is_one_of_the_command() -> None:
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    flags = {option for parameter in command.params for option in parameter.opts}
    assert {limit.flag for limit in LIMITS.values() if limit.flag} <= flags
