"""A bundle -> a Bento: the service, the bundle and their requirements, served by BentoML alone."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from hardener.config.bundle import Bundle, bundle_files, read_bundle
from hardener.config.files import READ_ONLY, packaged_folder, written_whole
from hardener.errors import Failure, HardenerError

_ENTRY = "hardener_bento"
_ENTRY_TEXT = '''"""The service with the bundle beside this file; HARDENER_BUNDLE names another one."""

import os
from pathlib import Path

os.environ.setdefault("HARDENER_BUNDLE", str(Path(__file__).resolve().parent / "bundle"))

from serving.service import HardenerService  # noqa: E402

__all__ = ["HardenerService"]
'''
_CHECK = (
    "import sys, hardener_bento\n"
    "from hardener.errors import HardenerError\n"
    "from serving.registry import check_bundles\n"
    "from serving.settings import settings_from_environment\n"
    "try: check_bundles(settings_from_environment())\n"
    "except HardenerError as error: sys.exit(f'error: {error}')\n"
)
# BentoML and ONNX Runtime report to their makers unless told not to; BentoML understands no word but True.
_SILENT = {"BENTOML_DO_NOT_TRACK": "True", "ORT_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class Bento:
    """A Bento in BentoML's store: its tag, the folder that it was built from, and the file it was exported to."""

    tag: str
    source: Path
    file: Path | None


def build_bento(bundle: Path, *, output: Path | None = None) -> Bento:
    """Check a bundle, lay it out beside the service, and build a Bento from that; needs no network.

    The folder is written beside the bundle (`bundle` -> `bento`, `bundle-int8` -> `bento-int8`) and stays:
    `bentoml build` makes the same Bento from it. The store is that of BENTOML_HOME.

    Args:
        output: a file to export the Bento to as well, with the ending .bento.
    Raises:
        HardenerError: no bundle, a changed one, one that the service would refuse, `output` in no folder, or
            the bundle in one that may only be read.
        Failure: BentoML cannot build or export it. Its store is then as it was.
    """
    if output is not None and (output.suffix != ".bento" or not output.resolve().parent.is_dir()):
        raise HardenerError(f"--output takes a file FILE.bento in a folder that exists; got {output}.")
    described = read_bundle(bundle)
    source = bundle.parent / (
        bundle.name.replace("bundle", "bento") if "bundle" in bundle.name else f"{bundle.name}-bento"
    )
    try:
        with written_whole(source) as folder:
            lay_out(bundle, described, folder)
            _check(folder)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        raise HardenerError(
            f"{source} cannot be written ({error.strerror}): a Bento is laid out beside its bundle. Make "
            f"{bundle.parent} writable, or copy {bundle.name} to where you may write, and name the copy."
        ) from None
    # The version is made here: BentoML prints its tag by rich, for which `:cat:` is a picture.
    made = f"{datetime.now(UTC):%Y%m%d%H%M%S}-{secrets.token_hex(3)}"
    tag = f"{bento_name(described.name)}:{made}"
    _run(["build", "--version", made, "-o", "tag", str(source)], source)
    if output is not None:
        try:
            _run(["export", tag, str(output.resolve())], source)
        except Failure:
            _run(["delete", "-y", tag], source)
            raise
    return Bento(tag, source, output)


def lay_out(bundle: Path, described: Bundle, folder: Path) -> None:
    """Write what a Bento is built from: service, bundle, requirements and `bentofile.yaml`.

    It is one layout, that of a checkout, whether hardener runs from a checkout or is installed.
    """
    folder.mkdir()
    service, package = packaged_folder("serving"), Path(__file__).resolve().parents[1]
    shutil.copytree(package, folder / "hardener", ignore=shutil.ignore_patterns("__pycache__", "serving", "recipes"))
    shutil.copytree(service, folder / "serving", ignore=shutil.ignore_patterns("__pycache__", "deploy"))
    (folder / "bundle").mkdir()
    for name in bundle_files(bundle, described):
        shutil.copyfile(bundle / name, folder / "bundle" / name)
    (folder / f"{_ENTRY}.py").write_text(_ENTRY_TEXT, encoding="utf-8")
    (folder / "requirements.txt").write_text(_pinned(service / "requirements.txt"), encoding="utf-8")
    bentofile = {
        "service": f"{_ENTRY}:HardenerService",
        "name": bento_name(described.name),
        "labels": {"fingerprint": described.fingerprint[:16], "recipe": described.recipe},
        "python": {"requirements_txt": "./requirements.txt", "lock_packages": False},
        "envs": [{"name": name, "value": value} for name, value in _SILENT.items()],
    }
    (folder / "bentofile.yaml").write_text(yaml.safe_dump(bentofile, sort_keys=False), encoding="utf-8")


def bento_name(name: str) -> str:
    """Turn a model's name into one that BentoML, Triton and Kubernetes take: at most 63 of a-z, 0-9 and -."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:63].strip("-") or "model"


def _pinned(requirements: Path) -> str:
    """Pin each requirement of the service to the version that is installed here, where it is."""
    lines = []
    for line in requirements.read_text(encoding="utf-8").splitlines():
        wanted = line.strip()
        if wanted and not wanted.startswith("#"):
            name = re.split(r"[<>=!~ ]", wanted)[0]
            found = _version(name) or (_version("onnxruntime-gpu") if name == "onnxruntime" else None)
            lines.append(f"{name}=={found}" if found else wanted)
    return "\n".join(lines) + "\n"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _environment(folder: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name not in {"HARDENER_BUNDLE", "HARDENER_DEFAULT"}}
    return own | _SILENT | {"PYTHONPATH": str(folder), "HARDENER_DEVICE": "cpu"}


def _check(folder: Path) -> None:
    """Ask the very code that will serve the bundle whether it can, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _CHECK], cwd=folder, env=_environment(folder), capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise HardenerError(f"the service refuses this bundle: {last.removeprefix('error: ')}")


def _run(words: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", *words], cwd=folder, env=_environment(folder), capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no message"]
        raise Failure(f"bentoml {words[0]} failed: {said[-1]}")
    return done.stdout
