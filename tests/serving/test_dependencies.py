"""What is imported is declared, and what is patched is bounded and looked for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
import uvicorn
from packaging.requirements import Requirement

from hardener.errors import HardenerError
from serving.patched_names import PATCHED, check_patched_names

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = packages_distributions()
NEEDED = {
    "httptools": "uvicorn.protocols.http.httptools_impl imports it",
    "uvloop": "uvicorn takes it where it is installed",
}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> dict[str, Requirement]:
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return {canonical(found.name): found for found in map(Requirement, lines)}


def serving_requirements() -> dict[str, Requirement]:
    lines = (
        line.partition("#")[0].strip() for line in (ROOT / "serving" / "requirements.txt").read_text().splitlines()
    )
    return {canonical(found.name): found for found in map(Requirement, filter(None, lines))}


def imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, in functions too; those of its own folder are left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def packages(path: Path) -> Iterator[set[str]]:
    """Yield for each import of somebody else's the packages that could be meant, as both builds of ONNX Runtime."""
    for top in {name.partition(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"hardener", "serving"}:
        yield set(map(canonical, PACKAGES.get(top, [top])))


def files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def loaded_by(*rooms: str) -> set[Path]:
    """Find the files of some rooms, and those of hardener that they import, and so on."""
    found: set[Path] = set()
    waiting = files(*rooms)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        if path == ROOT / "hardener" / "__init__.py":
            continue  # the Python door: lazy, which a test of its own holds it to
        for name in imports(path):
            if name.split(".")[0] == "hardener":
                module = ROOT.joinpath(*name.split("."))
                places = [module.with_suffix(".py"), *(folder / "__init__.py" for folder in (module, *module.parents))]
                waiting += [place for place in places if place.is_file() and place.is_relative_to(ROOT)]
    return found


def test_every_package_that_is_imported_is_declared() -> None:
    known = declared(*(extra for extra in PROJECT["optional-dependencies"] if extra != "dev"))
    missing = {
        f"{path.relative_to(ROOT)} imports {' or '.join(sorted(names))}"
        for path in files("hardener", "serving")
        for names in packages(path)
        if not known.keys() & names
    }
    assert missing == set()


def test_the_server_alone_installs_what_it_needs_and_nothing_else() -> None:
    listed = serving_requirements().keys()
    both_builds = {"onnxruntime", "onnxruntime-gpu"}
    needed = set(NEEDED)
    for path in loaded_by("serving"):
        for names in packages(path):
            given = (names | both_builds if names & both_builds else names) & listed
            assert given, f"{path.relative_to(ROOT)} imports {names}"
            needed |= given
    assert listed == needed


@pytest.mark.parametrize("package", PATCHED)
def test_the_version_of_what_is_patched_is_bounded_on_both_sides(package: str) -> None:
    specifier = declared()[package].specifier
    assert {part.operator for part in specifier} == {">=", "<"}
    assert specifier.contains(version(package))
    assert serving_requirements()[package].specifier == specifier  # a machine that only serves


def test_all_that_is_patched_is_there() -> None:
    check_patched_names()


def test_a_patched_name_that_is_gone_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(uvicorn.Server, "shutdown")
    with pytest.raises(HardenerError, match=rf"uvicorn {version('uvicorn')} has no uvicorn\.Server\.shutdown, which"):
        check_patched_names()


def test_a_module_or_a_package_that_is_gone_is_the_same_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.patched_names.PATCHED", {"no-such-package": ("no_such_module:Name",)})
    with pytest.raises(HardenerError, match=r"no-such-package \(not installed\) has no no_such_module\.Name"):
        check_patched_names()


def test_the_service_does_not_start_without_a_patched_name() -> None:
    code = "from circus.sighandler import SysHandler; del SysHandler.quit; import serving.service"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert line.startswith(f"error: kantoku {version('kantoku')} has no circus.sighandler.SysHandler.quit")
