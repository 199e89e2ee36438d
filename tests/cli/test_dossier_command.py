"""`hardener dossier` as its owner types it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer
from run_folders import bits, certification, corruptions, write_evaluation, write_run
from typer.testing import CliRunner, Result

import hardener as door
from hardener.cli.app import app
from hardener.config.dossier_record import Dossier, read_dossier
from hardener.config.evaluation_record import EVALUATION_SCHEMA, Flag
from hardener.config.purpose import TEMPLATE
from hardener.errors import HardenerError
from hardener.reports.dossier.page import ANCHORS

PURPOSE = """
use: sorts clothes
operating_conditions: indoor light
who_decides: the clerk <b>
threat_model: nobody gains from it
review_by: 2027-06-30
"""
REQUIREMENTS = """
requirements:
  - {measure: clean, min: 0.80, why: a parcel comes back}
  - {measure: linf-8/255, min: 0.90}
  - {measure: l2-0.5, min: 0.10}
  - {measure: clean, max-drop: 0.50}
"""


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two evaluated runs and the owner's files."""
    monkeypatch.chdir(tmp_path)
    base, new = (write_run(tmp_path / "runs", name, seed=seed) for seed, name in enumerate(("base", "new")))
    write_evaluation(base, bits(95, 100), bits(10, 100))
    seen = Flag(id="unfinished", message="1 of 3 epochs are done", page="docs/flags.md#unfinished")
    write_evaluation(new, bits(95, 100), bits(40, 100), corruptions=corruptions(0.6), flags=[seen])
    Path("purpose.yaml").write_text(PURPOSE)
    Path("requirements.yaml").write_text(REQUIREMENTS)
    return tmp_path


def made(*words: object) -> Dossier:
    found = hardener("dossier", "new", "--out", "d.html", *words)
    assert found.exit_code == 0, found.output
    return read_dossier(Path("d.json"))


def test_each_requirement_is_met_or_not_or_comes_with_a_command_that_hardener_takes(home: Path) -> None:
    dossier = made("--requirements", "requirements.yaml", "--against", "base")
    assert [row.state for row in dossier.requirements] == ["met", "not met", "not measured", "met"]
    first = dossier.requirements[0]
    assert (first.value, first.samples, first.why) == (0.95, 100, "a parcel comes back")
    assert first.interval is not None
    assert first.interval[0] < 0.95 < first.interval[1]
    assert first.beside is not None
    assert (first.beside.run, first.beside.value, first.beside.same_images) == ("base", 0.95, True)
    command = typer.main.get_command(app)
    lacking = [row for row in (*dossier.requirements, *dossier.evidence) if row.state == "not measured"]
    assert len(lacking) > 3
    for row in lacking:
        words = shlex.split(str(row.command))[1:]
        parser = command.commands[words[0]]  # type: ignore[attr-defined]
        parser.make_parser(typer.Context(parser)).parse_args(words[1:])
    page = Path("d.html").read_text()
    for row in lacking:
        assert str(row.command) in page
    assert '1</b><span class="state not-measured">not measured' in page


def test_the_page_has_every_section_and_shows_what_others_wrote_as_text(home: Path) -> None:
    made("--purpose", "purpose.yaml")
    page = Path("d.html").read_text()
    assert set(re.findall(r'<section id="(\w+)"', page)) >= set(ANCHORS.values())
    assert "the clerk &lt;b&gt;" in page
    assert "By 2027-06-30, the day that the owner set." in page
    assert "Flag: unfinished" in page
    assert "claims no conformity" in page
    assert not re.search(r"<script|src=\"http|@import", page)
    ids = re.findall(r' id="([\w-]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([\w-]+)"', page)) <= set(ids)


def test_a_run_without_evaluations_or_of_other_weights_is_all_not_measured(home: Path) -> None:
    Path("runs/new/model.safetensors").write_bytes(b"others")
    dossier = made("--requirements", "requirements.yaml")
    assert {row.state for row in (*dossier.requirements, *dossier.evidence)} == {"not measured"}
    assert "The present weights were not evaluated." in Path("d.html").read_text()
    assert dossier.requirements[-1].command == "hardener eval runs/new"


def test_without_the_owners_words_the_page_holds_a_template_that_is_taken_once_filled_in(home: Path) -> None:
    assert made().purpose is None
    assert "operating_conditions: &#34;&#34;" in Path("d.html").read_text()
    Path("filled.yaml").write_text(TEMPLATE)
    found = hardener("dossier", "new", "--purpose", "filled.yaml", "--out", "e.html")
    assert found.exit_code == 2
    assert "not filled in: use, operating_conditions, who_decides, threat_model" in found.stderr
    Path("runs/new/purpose.yaml").write_text(TEMPLATE.replace('""', '"x"'))
    own = made().purpose
    assert own is not None
    assert own.use == "x"


def test_the_next_dossier_says_what_changed(home: Path) -> None:
    made()
    assert made().changes == []
    write_run(home / "runs", "new2", seed=1)
    write_evaluation(
        made_run := write_run(home / "runs", "third", seed=1), bits(95, 100), bits(40, 100),
        certification=certification({0.25: 0.5}),
    )  # fmt: skip
    found = hardener("dossier", made_run.path, "--out", "d.html")
    assert found.exit_code == 0, found.output
    changes = {item.what: (item.before, item.now) for item in read_dossier(Path("d.json")).changes}
    assert changes["run"] == ("new", "third")
    assert "file model.safetensors" in changes
    assert changes["accuracy certified to l2 0.25"][0] is None
    assert changes["mean accuracy under corruptions"][1] == "not measured"
    assert changes["flags"] == ("unfinished", "none")
    assert "clean accuracy" not in changes


def test_the_python_door_writes_what_the_command_does(home: Path) -> None:
    given = {"purpose": "purpose.yaml", "requirements": "requirements.yaml"}
    asked = made("--purpose", "purpose.yaml", "--requirements", "requirements.yaml", "--against", "base")
    told = door.dossier("new", "e.html", against="base", **given)
    assert read_dossier(Path("e.json")) == told
    assert told == asked.model_copy(update={"created_at": told.created_at})
    again = door.dossier("new", against="base", since="d.json")
    assert [item.what for item in again.changes][:1] == ["purpose"]
    for file, message in (("e.pdf", "a file .html"), ("none/e.html", "no such folder: none")):
        with pytest.raises(HardenerError, match=message):
            door.dossier("new", file)


@pytest.mark.parametrize(
    ("file", "text", "words", "message"),
    [
        ("p.yaml", PURPOSE + "uze: x", ["--purpose", "p.yaml"], "unknown key 'uze'. Did you mean 'use'?"),
        ("p.yaml", "use: x", ["--purpose", "p.yaml"], "who_decides: is missing."),
        ("p.yaml", PURPOSE.replace("2027-06-30", "soon"), ["--purpose", "p.yaml"], "review_by"),
        ("r.yaml", "requirements:\n- {measure: clean, mim: 1}", ["--requirements", "r.yaml"], "Did you mean 'min'?"),
        ("d.json", "{}", [], "d.json is no dossier that this version reads"),
        ("x", "", ["--since", "none.json"], "no dossier none.json"),
        ("x", "", ["--sign", "none.key"], "no key none.key"),
        ("k.key", "secret", ["--sign", "k.key"], "k.key is no secret key of minisign"),
        ("x", "", ["--purpose", "none.yaml"], "no purpose file none.yaml"),
        ("x", "", ["--out", "d.pdf"], "--out names the page, a file .html"),
        ("x", "", ["--out", "none/d.html"], "no such folder: none"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    home: Path, file: str, text: str, words: list[str], message: str
) -> None:
    Path(file).write_text(text)
    found = hardener("dossier", "new", "--out", "d.html", *words)
    assert found.exit_code == 2, found.output
    assert message in found.stderr
    assert not Path("d.html").exists()


def test_a_run_to_stand_beside_that_was_not_evaluated_is_an_error(home: Path) -> None:
    write_run(home / "runs", "empty")
    found = hardener("dossier", "new", "--against", "empty")
    assert found.exit_code == 2
    assert "has not been evaluated. Run `hardener eval runs/empty`" in found.stderr
    found = hardener("dossier", "new", "--against", "new", "--out", "d.html")
    assert found.exit_code == 2
    assert "--against names runs/new itself: name another run" in found.stderr
    assert not Path("d.html").exists()


def test_a_signature_is_minisigns_and_that_of_an_older_file_goes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minisign = pytest.importorskip("minisign")
    pair = minisign.KeyPair.generate()
    Path("k.key").write_bytes(bytes(pair.secret_key))
    made("--sign", "k.key")
    for name in ("d.html", "d.json"):
        signature = minisign.Signature.from_file(f"{name}.minisig")
        pair.public_key.verify(Path(name).read_bytes(), signature)
        assert f"file:{name}" in signature.trusted_comment
        with pytest.raises(minisign.VerifyError):
            pair.public_key.verify(Path(name).read_bytes() + b" ", signature)
    pair.secret_key.encrypt("secret", opslimit=32768, memlimit=16777216)
    Path("locked.key").write_bytes(bytes(pair.secret_key))
    monkeypatch.setenv("HARDENER_SIGN_PASSWORD", "wrong")
    found = hardener("dossier", "new", "--out", "d.html", "--sign", "locked.key")
    assert found.exit_code == 2
    assert "the password is not that of locked.key" in found.stderr
    monkeypatch.setenv("HARDENER_SIGN_PASSWORD", "secret")
    made("--sign", "locked.key")
    made()
    assert not Path("d.html.minisig").exists()


def test_the_json_is_strict_and_says_its_version(home: Path) -> None:
    made("--requirements", "requirements.yaml", "--purpose", "purpose.yaml")
    written = json.loads(Path("d.json").read_text())
    assert written["schema"] == "hardener/dossier/1"
    assert written["evaluations"][0]["schema"] == EVALUATION_SCHEMA
