"""What exactly a dossier speaks of: files by their sha256, seeds, versions, and the commands that make it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from hardener import __version__
from hardener.config.bundle import Bundle, bundle_files, read_bundle, sha256_of
from hardener.config.dossier_record import DeployedFile, DossierData, HashedFile, Identity
from hardener.config.evaluation_record import Evaluation
from hardener.config.run_folder import RunFolder, RunRecord
from hardener.config.train_command import train_command
from hardener.errors import HardenerError
from hardener.reports.command import eval_command, export_command, request_of
from hardener.reports.ended import ended_early, not_repeated
from hardener.reports.shared import weights_gone


def identify(run: RunFolder, record: RunRecord, evaluations: Sequence[Evaluation], quantized: bool) -> Identity:
    """Say which run, which bytes and which commands."""
    recipe, asked = run.read_recipe(), [request_of(item) for item in evaluations]
    commands = [train_command(run, record)]
    commands += [words for item in asked if item is not None and (words := eval_command(item)) is not None]
    commands += [export_command(run, int8=quantized)] if run.bundle.is_dir() else []
    return Identity(
        run=record.name,
        recipe=recipe.name,
        network=record.model.name,
        parameters=record.model.parameters,
        classes=record.classes,
        status=record.status,
        seed=record.seed,
        files=[_hashed(run, path) for path in _files(run)],
        listings=record.data.listings,
        fingerprints={name: split.fingerprint for name, split in record.data.splits.items()},
        hardener_version=__version__,
        versions=record.versions,
        commands=list(dict.fromkeys(commands)),
        ended=_ended(record, recipe.epochs),
        weights_gone=weights_gone(run) or "",
    )


def _ended(record: RunRecord, epochs: int) -> str:
    why = ended_early(record)
    told = f"Training has {record.epochs_done} of {epochs} epochs: {why}. {not_repeated(record)}"
    return told.rstrip() if why else ""


def _files(run: RunFolder) -> list[Path]:
    own = [run.weights, run.recipe_file, run.record_file]
    code = sorted(path for path in run.model_files.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    exported = []
    for folder in (run.bundle, run.int8_bundle):
        if folder.is_dir():
            exported += [folder / name for name in bundle_files(folder, read_bundle(folder))]
    return [path for path in [*own, *code, *exported] if path.is_file()]


def _hashed(run: RunFolder, path: Path) -> HashedFile:
    return HashedFile(file=str(path.relative_to(run.path)), sha256=sha256_of(path), bytes=path.stat().st_size)


def describe_data(record: RunRecord, leading: Evaluation | None) -> DossierData:
    """Say where the images come from, and what was found in them that a reader must know."""
    found, evaluated = record.data.found, None if leading is None else leading.data.found
    remarks = []
    if found is None:
        remarks.append("The run was trained by a version that did not look its images through.")
    for facts, of in ((found, "training"), (evaluated, "evaluation")):
        if facts is not None and not any(fact.count for fact in facts.alike):
            remarks.append(
                f"No image of one split was found in another, when the images of the {of} were looked through."
            )
    return DossierData(root=record.data.root, found=found, evaluated=evaluated, remarks=remarks)


def deployed_files(run: RunFolder, fingerprint: str | None) -> tuple[list[DeployedFile], str]:
    """Return the exported files of these weights, and what to say where one is missing.

    Args:
        fingerprint: the sha256 of the weights; None where they are gone.
    """
    found, lacking = [], []
    for folder, int8 in ((run.bundle, False), (run.int8_bundle, True)):
        kind = "int8" if int8 else "float32"
        command = export_command(run, int8=int8)
        if not folder.is_dir():
            lacking.append(f"No {kind} file was exported. Run `{command}`")
            continue
        try:
            bundle = read_bundle(folder)
        except HardenerError as error:
            lacking.append(f"The {kind} file cannot be told of: {str(error).rstrip('.')}")
            continue
        if fingerprint is None:
            lacking.append(f"The {kind} file cannot be compared with the run's weights, which are gone")
            continue
        if bundle.fingerprint != fingerprint:
            lacking.append(f"The {kind} file was made from other weights. Run `{command}`")
            continue
        found.append(_deployed(folder, bundle))
    return found, ". ".join(lacking)


def _deployed(folder: Path, bundle: Bundle) -> DeployedFile:
    measured = None if bundle.quantization is None else bundle.evaluation
    return DeployedFile(
        file=f"{folder.name}/{bundle.model.file}",
        kind="float32" if bundle.quantization is None else "int8",
        sha256=bundle.model.sha256,
        parity=bundle.parity,
        quantization=bundle.quantization,
        flags=[] if measured is None else measured.flags,
        data=None if measured is None else measured.data,
    )


def verify_command(page: Path) -> str:
    """Return the command by which anybody checks a signature of minisign."""
    return shlex.join(["minisign", "-Vm", page.name, "-p", "minisign.pub"])
