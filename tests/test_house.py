"""The house itself: floors, catalogs, start-up, flags, and what the project says of itself."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from hardener.attacks import ATTACKS
from hardener.attacks.searches import SEARCHES
from hardener.augmentation import AUGMENTATIONS
from hardener.catalog import Catalog, resolve
from hardener.data.conversions import CONVERSIONS
from hardener.data.layouts import LAYOUTS
from hardener.data.sources import SOURCES
from hardener.errors import HardenerError
from hardener.geometry import NORMS, Norm, norm_geometry
from hardener.losses import LOSSES
from hardener.measures import MEASURES
from hardener.methods import METHODS
from hardener.threat import THREATS
from hardener.vicinity import VICINITIES

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "hardener"
FLOORS = (
    {"cli", "api", "serving", "client"},
    {"rehearsal"},
    {"training", "exporters"},
    {"evaluation"},
    {"measures", "reports"},
    {"methods", "attacks", "models", "data"},
    {"vicinity"},
    {"geometry", "losses", "augmentation", "threats"},
    {"config", "statistics", "runtime", "terminal"},
    {"threat", "progress"},
    {"catalog", "words"},
    {"errors"},
)
ALLOWED_ON_ONE_FLOOR = {
    ("cli", "client"),
    ("reports", "measures"),
}
HEAVY = {"torch", "torchvision", "onnx", "onnxruntime", "bentoml", "matplotlib", "timm"}
CATALOGS: dict[str, Catalog] = {
    "attacks": ATTACKS,
    "augmentation": AUGMENTATIONS,
    "attacks/searches": SEARCHES,
    "data/conversions": CONVERSIONS,
    "data/layouts": LAYOUTS,
    "data/sources": SOURCES,
    "geometry": NORMS,
    "losses": LOSSES,
    "measures": MEASURES,
    "methods": METHODS,
    "threats": THREATS,
    "vicinity": VICINITIES,
}


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def files() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).parts
        if len(place) > 1 or place[0] not in {"__init__.py", "__main__.py"}:
            yield place[0].removesuffix(".py"), path
    for path in sorted((ROOT / "serving").rglob("*.py")):
        yield "serving", path


def imports(path: Path, *, top_level: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    nodes: Iterator[ast.AST] = iter(tree.body) if top_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def test_imports_point_down_only() -> None:
    wrong, drawn = [], set()
    for room, path in files():
        for name in imports(path):
            if not name.startswith("hardener."):
                continue
            other = name.split(".")[1]
            drawn.add((room, other))
            down = floor_of(other) > floor_of(room)
            if not (down or other == room or (room, other) in ALLOWED_ON_ONE_FLOOR):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []
    assert drawn >= ALLOWED_ON_ONE_FLOOR, "an arrow that nobody draws is not allowed either"


def test_light_rooms_import_nothing_heavy() -> None:
    light = {"cli", "api", "client", "config", "statistics", "terminal", *FLOORS[-3], *FLOORS[-2], *FLOORS[-1]}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for room, path in files()
        for name in imports(path, top_level=True)
        if (room in light or path.name == "__init__.py") and name.split(".")[0] in HEAVY
    ]
    assert wrong == []


def test_the_client_needs_nothing_of_the_house_but_what_the_answers_are_made_of() -> None:
    rooms = {
        name.split(".")[1]
        for room, path in files()
        for name in imports(path)
        if room == "client" and "hardener." in name
    }
    assert rooms == {"client", "config", "errors"}
    code = (
        "import sys, hardener.client\n"
        "loaded = {'numpy', 'PIL', 'starlette', 'typer', 'serving'} & set(sys.modules)\n"
        f"loaded |= {HEAVY!r} & set(sys.modules); assert not loaded, loaded"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_private_files_stay_inside_their_room() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for room, path in files()
        for name in imports(path)
        if name.startswith("hardener.") and "._" in name and name.split(".")[1] != room
    ]
    assert wrong == []


LIGHT_COMMANDS = (
    "--help",
    "--version",
    "train --help",
    "ablate --help",
    "predict --help",
    "recipes",
    "recipes sprout",
    "attacks",
    "doctor --help",
)


def test_help_and_lists_start_without_torch() -> None:
    code = (
        "import sys\n"
        "from hardener.__main__ import main\n"
        f"for words in {LIGHT_COMMANDS!r}:\n"
        "    sys.argv = ['hardener', *words.split()]\n"
        "    try: main()\n"
        "    except SystemExit as end: assert not end.code, (words, end.code)\n"
        f"    loaded = {HEAVY!r} & set(sys.modules); assert not loaded, (words, loaded)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


SHARED_FILES = {
    "methods": {"method"},
    "vicinity": {"chain", "prior"},
    "augmentation": {"chain"},
}  # what every entry of the room is made of


@pytest.mark.parametrize("room", CATALOGS)
def test_every_file_of_a_catalogs_room_has_a_line_and_every_line_resolves(room: str) -> None:
    catalog = CATALOGS[room]
    listed = {entry.module.rpartition(".")[2] for entry in catalog.values()}
    standing = {path.stem for path in (PACKAGE / room).glob("*.py") if not path.stem.startswith("_")}
    assert listed == standing - SHARED_FILES.get(room, set()) - {"run"}  # `run` is a room's entrance
    for name, entry in catalog.items():
        found = resolve(catalog, name, room)
        assert callable(found) or room == "geometry"
        assert (found if callable(found) else type(found)).__module__ == entry.module
        assert entry.line == entry.line.strip()


def test_every_norm_is_a_value_with_the_functions_of_norm() -> None:
    functions = [name for name in vars(Norm) if not name.startswith("_")]
    assert {"project", "random_point", "steepest", "size"} <= set(functions)
    for name in NORMS:
        ball = norm_geometry(name)
        assert isinstance(ball, Norm)
        for function in functions:
            assert inspect.signature(getattr(type(ball), function)) == inspect.signature(getattr(Norm, function))


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(HardenerError, match=r"unknown attack 'pdg'. Known: fgsm, .*pgd, .* Did you mean 'pgd'\?"):
        resolve(ATTACKS, "pdg", "attack")


def test_a_new_flag_is_a_decision() -> None:
    from hardener.cli.app import app

    found = {}
    command = typer.main.get_command(app)
    for name, sub in command.commands.items():  # type: ignore[attr-defined]
        options = {
            o
            for p in sub.params
            if not isinstance(p, click.Argument) and hasattr(p, "opts")
            for o in p.opts
            if o.startswith("--")
        }
        found[name] = options - {"--help"}
    shared = {
        "--out",
        "--device",
        "--seed",
        "--skip-bad-images",
        "--allow-pickle",
        "--entry",
        "--model-arg",
        "--root",
        "--init",
        "--weights",
        "--normalize",
        "--image-size",
        "--range",
        "--batch-size",
        "--data",
        "--ignore",
        "--class-depth",
        "--label-from",
        "--path-column",
        "--label-column",
        "--split-column",
        "--images-root",
    }
    assert found == {
        "train": shared
        | {
            "--dedupe",
            "--compile",
            "--freeze",
            "--recipe",
            "--pretrained",
            "--replace-head",
            "--rehearsal",
            "--val",
            "--test",
            "--epochs",
            "--precision",
            "--name",
            "--resume",
            "--set",
            "--find-lr",
            "--time-limit",
        },
        "eval": shared
        | {
            "--dedupe",
            "--attack",
            "--norm",
            "--eps",
            "--threat",
            "--set",
            "--queries",
            "--steps",
            "--step-size",
            "--restarts",
            "--random-start",
            "--samples",
            "--json",
            "--precision",
            "--suite",
            "--surrogate",
            "--invariance",
            "--corruptions",
            "--certify",
            "--radius",
            "--clever",
            "--curves",
            "--measure",
        },
        "inspect": {
            "--recipe",
            "--val",
            "--test",
            "--image-size",
            "--range",
            "--set",
            "--ignore",
            "--class-depth",
            "--label-from",
            "--path-column",
            "--label-column",
            "--split-column",
            "--images-root",
            "--seed",
            "--json",
            "--html",
            "--data",
            "--init",
            "--weights",
            "--entry",
            "--model-arg",
            "--root",
            "--classes",
            "--device",
            "--allow-pickle",
        },
        "ablate": {
            "--data",
            "--val",
            "--test",
            "--recipe",
            "--entry",
            "--model-arg",
            "--root",
            "--epochs",
            "--batch-size",
            "--set",
            "--attack",
            "--suite",
            "--norm",
            "--eps",
            "--samples",
            "--device",
            "--precision",
            "--seed",
            "--out",
            "--name",
            "--json",
            "--skip-bad-images",
            "--ignore",
            "--class-depth",
            "--label-from",
            "--path-column",
            "--label-column",
            "--split-column",
            "--images-root",
            "--dedupe",
        },
        "compare": {"--to", "--json", "--out"},
        "dossier": {"--against", "--out", "--purpose", "--requirements", "--since", "--sign"},
        "gate": {"--min", "--max-drop", "--requirements", "--against", "--junit", "--summary", "--out"},
        "export": {
            "--data",
            "--samples",
            "--out",
            "--quantize",
            "--quick",
            "--layout",
            "--skip-bad-images",
            "--ignore",
            "--class-depth",
            "--label-from",
            "--path-column",
            "--label-column",
            "--split-column",
            "--images-root",
        },
        "bundle": {"--output", "--out"},
        "serve": {
            "--default",
            "--port",
            "--host",
            "--workers",
            "--device",
            "--draws",
            "--queries",
            "--report-seconds",
            "--tokens",
            "--rate",
            "--cors",
            "--allowed-host",
            "--close",
            "--limits",
            "--json",
            "--out",
        },
        "predict": {"--url", "--report", "--top-k", "--model", "--token-file", "--json", "--save-found"},
        "recipes": set(),
        "attacks": set(),
        "quickstart": set(),
        "doctor": {"--out", "--json"},
        "convert": {"--images-root"},
    }


def test_the_package_carries_recipes_and_serving() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {"recipes": "hardener/recipes", "serving": "hardener/serving"}


def test_the_project_names_no_path_of_a_machine_and_no_package_host() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    words = ("/" + "work/", "../" + "shared", "pypi" + ".org", "python" + "hosted", "registry." + "npmjs")
    wrong = []
    for name in tracked.stdout.split():
        path = ROOT / name
        if path.is_file() and os.path.splitext(name)[1] not in {".png", ".jpg"}:
            text = path.read_text(encoding="utf-8", errors="ignore")
            wrong += [f"{name}: {word}" for word in words if word in text]
    assert wrong == []
