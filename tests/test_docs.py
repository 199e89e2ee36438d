"""What the documents tell a user to type works, what they link to is there, and they speak plainly.

A fenced block `sh` holds commands. They are run, in order, in a folder with a tiny model, tiny images and runs of
them; a block after `<!-- parsed: WHY -->` needs a server, a GPU or an hour and is only read by the command's own
parser, as commands inside a sentence are.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from oracles import TINY_MODEL, write_image_folder
from torch.distributed.run import parse_args
from typer.testing import CliRunner

from hardener import __version__
from hardener.cli.app import app
from hardener.config.recipe import load_recipe, recipe_files
from hardener.config.run_folder import RunFolder

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    if not {"_build", "_generated"} & set(path.relative_to(ROOT).parts)
)
GROUP: Any = typer.main.get_command(app)
EXIT_CODES = {"gate": {0, 1}}  # a gate that does not open has run as well


@dataclass(frozen=True)
class Block:
    """A fenced block: the words after its fence, its text, and why it is not run, if it is not."""

    page: Path
    info: str
    text: str
    parsed_because: str | None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(
        r"(?:^<!-- parsed: (?P<why>.+?) -->\n\n)?^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", text, re.M | re.S
    ):
        yield Block(page, found["info"].strip(), found["text"], found["why"])


def commands(text: str) -> Iterator[list[str]]:
    """Yield the simple commands of a shell text as words, without what is assigned before them."""
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), ";"]:
            if word in {";", "&&", "||", "|"}:
                if words:
                    yield words
                words = []
            elif words or not re.fullmatch(r"[A-Z_]+=.*", word):
                words.append(word)


def mentioned(page: Path) -> Iterator[list[str]]:
    """Yield the commands inside sentences."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for code in re.findall(r"`((?:hardener|make|torchrun) [^`]+)`", text):
        if "COMMAND" not in code:
            for words in commands(code):
                yield words if len(words) > 2 else [*words, "--help"]  # a name alone


def check(words: list[str]) -> None:
    """Let a command's own parser read it.

    Raises:
        Exception: it does not take these words.
    """
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M), words
    elif words[0] == "torchrun":
        understood = parse_args(words[1:])
        assert (understood.module, understood.training_script) == (True, "hardener")
        check(["hardener", *understood.training_script_args])
    elif len(words) > 1 and not words[1].startswith("-"):
        known = GROUP.commands
        assert words[1] in known, f"no command {words[1]}"
        if words[2:] == ["--help"]:
            return
        root = GROUP.make_context("hardener", words[1:])
        command = known[words[1]]
        settings = command.make_context(words[1], words[2:], parent=root).params
        if settings.get("recipe") in recipe_files():
            changes = next(parameter.name for parameter in command.params if "--set" in parameter.opts)
            load_recipe(settings["recipe"], settings[changes])


FOLLOWED = {ROOT / "CONTRIBUTING.md"}  # in a house that has what it adds, by tests/test_contributing.py
PARSED = sorted(
    {
        (str(page.relative_to(ROOT)), tuple(words))
        for page in PAGES
        for words in [
            *(
                words
                for block in blocks(page)
                if block.info == "sh"
                for words in commands(block.text)
                if page not in FOLLOWED
            ),
            *mentioned(page),
        ]
        if words[0] in {"hardener", "make", "torchrun"}
    }
    | {
        (str(path.relative_to(ROOT)), tuple(words))
        for path in ROOT.glob("recipes/*.yaml")
        for line in re.findall(r"^#(?: Command:)?\s+(hardener .*)$", path.read_text(encoding="utf-8"), re.M)
        for words in commands(line)
    }
)


@pytest.mark.parametrize(
    ("page", "words"), PARSED, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_every_command_is_one_that_its_parser_takes(page: str, words: tuple[str, ...]) -> None:
    check(list(words))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make what the documents speak of: a model, weights, images in three forms, runs NAME, A and B, attacked alike."""
    place = tmp_path_factory.mktemp("user")
    (place / "model.py").write_text(TINY_MODEL)
    write_image_folder(place / "imgs", {"cat": 30, "dog": 30})
    images = [(path.relative_to(place), path.parent.name) for path in sorted((place / "imgs").rglob("*.png"))]
    (place / "labels.csv").write_text("image,label\n" + "".join(f"{path},{label}\n" for path, label in images))
    (place / "pets").mkdir()
    for path, label in images:
        shutil.copy(place / path, place / "pets" / f"{label}.{path.stem}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run(["hardener", "train", "model.py", "--data", "imgs", "--epochs", "1", "--name", "NAME"])
        run(["hardener", "eval", "--suite", "quick"])
    shutil.copy(RunFolder(place / "runs" / "NAME").weights, place / "weights.safetensors")
    for name in ("A", "B"):
        shutil.copytree(place / "runs" / "NAME", place / "runs" / name)
    return place


def run(words: list[str]) -> None:
    """Run a command of hardener's in this process."""
    found = CliRunner().invoke(app, words[1:])
    assert found.exit_code in EXIT_CODES.get(words[1], {0}), f"{' '.join(words)}\n{found.output}"


RUN_PAGES = [
    page
    for page in PAGES
    if page not in FOLLOWED and any(b.info == "sh" and b.parsed_because is None for b in blocks(page))
]


@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: page.name)
def test_every_command_that_can_be_run_here_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = set((folder / "runs").iterdir())
    try:
        for block in blocks(page):
            named = re.match(r"# ([a-z][a-z0-9-]*\.yaml)\n", block.text)
            if named:
                (folder / named[1]).write_text(block.text)
            if block.info == "sh" and block.parsed_because is None:
                for words in commands(block.text):
                    if words[0] != "make":  # one of its targets runs this test
                        assert words[0] == "hardener", f"mark the block as parsed: {' '.join(words)}"
                        run(words)
    finally:
        for made in set((folder / "runs").iterdir()) - before:
            shutil.rmtree(made)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_of_its_language(page: Path) -> None:
    for block in blocks(page):
        if re.fullmatch(r"python \S+ \S+", block.info):
            continue  # lines of a file, which tests/test_contributing.py puts into it
        language = block.info.split(" ")[0]
        if language == "sh":
            subprocess.run(["bash", "-n"], input=block.text, text=True, check=True)
        elif language == "python":
            compile(block.text, str(page), "exec")
        elif language == "yaml":
            assert yaml.safe_load(block.text)
        else:
            assert language in {"", "text"} or language.startswith("{"), f"{page}: {language}"


def slug(heading: str) -> str:
    """Name a heading as GitHub and MyST do."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_the_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), target
        if anchor and other.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", other.read_text(encoding="utf-8"), re.M)
            assert anchor in map(slug, headings), target


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 500


def test_the_documents_speak_of_what_is_and_not_of_what_was_wished_for() -> None:
    unwanted = re.compile(r"\bgoals?\b|\bowed\b|\bby a hair\b", re.IGNORECASE)
    texts = [*PAGES, *ROOT.glob("recipes/*.yaml"), *(ROOT / "hardener" / "reports").rglob("*.html*")]
    assert [
        (path.name, found[0]) for path in texts if (found := unwanted.search(path.read_text(encoding="utf-8")))
    ] == []


def test_every_page_of_the_site_is_reached_from_another() -> None:
    named = {
        (page.parent / f"{line.strip()}.md").resolve()
        for page in PAGES
        for block in blocks(page)
        if block.info == "{toctree}"
        for line in block.text.splitlines()
        if line.strip() and not line.startswith(":")
    }
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - named == {ROOT / "docs" / "index.md"}


def tool(name: str) -> Any:
    """Import a script of docs/_ext."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "_ext" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_names_every_command_recipe_and_entry() -> None:
    reference = tool("reference")
    assert re.findall(r"^## hardener (.+)$", reference.commands_page(), re.M) == list(GROUP.commands)
    assert re.findall(r"^### (.+)$", reference.recipes_page(), re.M) == list(recipe_files())
    page = reference.catalogs_page()
    for _, _, catalog in reference.catalogs():
        assert set(catalog) <= set(re.findall(r"^\| `([^`]+)`", page, re.M))
    assert "| `mixup_alpha` | number ≥ 0 | `0.0` |" in reference.schema_page("hardener.config.schema:Recipe", "")


def test_the_figure_of_the_floors_shows_the_floors_that_imports_are_held_to() -> None:
    floors = tool("floors")
    assert floors.FIGURE.read_text(encoding="utf-8") == floors.drawing(), "run python docs/_ext/floors.py"


def test_the_house_map_names_every_room() -> None:
    rooms = {room for floor in tool("floors").floors() for room in floor}
    for page in (ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"):
        assert {room for room in rooms if f"`{room}`" not in page.read_text(encoding="utf-8")} == set(), page.name


def test_every_file_that_the_architecture_names_is_there() -> None:
    named = re.findall(r"`([a-z_]+/[a-z_]+\.py)`", (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    assert [name for name in named if not ((ROOT / "hardener" / name).exists() or (ROOT / name).exists())] == []


def test_every_place_that_names_the_version_names_this_one() -> None:
    assert re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M) == [__version__]
    newest = re.findall(r"^## \[(\d[^]]*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M)[0]
    assert newest == __version__
    texts = [*PAGES, *ROOT.glob("docs/scaling/*"), *ROOT.glob("serving/deploy/**/*.yaml")]
    tags = {tag for path in texts for tag in re.findall(r"registry\.example\.org/[\w-]+:([\d.]+)", path.read_text())}
    assert tags == {__version__}


@pytest.mark.parametrize("path", sorted(ROOT.glob(".github/**/*.yml")), ids=lambda path: path.name)
def test_what_runs_on_the_host_of_the_code_is_well_formed(path: Path) -> None:
    held = yaml.safe_load(path.read_text(encoding="utf-8"))
    if path.parent.name != "workflows":
        return
    steps = [step for job in held["jobs"].values() for step in job["steps"]]
    for step in steps:
        assert ("run" in step) != ("uses" in step), step
        subprocess.run(["bash", "-n"], input=step.get("run", ""), text=True, check=True)
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[\w/.]+", step["uses"])
    for script in re.findall(r"^\.ci/\w+", "\n".join(step.get("run", "") for step in steps), re.M):
        assert (ROOT / script).exists()
