"""What every exporter writes besides the model: the bundle's description and its card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from hardener.config.bundle import CARD_FILE, DESCRIPTION_FILE, Bundle, ModelFile, sha256_of
from hardener.config.evaluation_record import Evaluation
from hardener.config.files import write_json, write_text
from hardener.config.run_folder import RunRecord
from hardener.config.schema import Recipe
from hardener.exporters.onnx import opset_of
from hardener.reports.model_card import model_card


def describe_file(path: Path) -> ModelFile:
    """Return what a bundle says of its ONNX file."""
    return ModelFile(
        file=path.name,
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        opset=opset_of(onnx.load(str(path))),
    )


def write_description(
    folder: Path, bundle: Bundle, record: RunRecord, recipe: Recipe, evaluations: Sequence[Evaluation] = ()
) -> None:
    """Write `bundle.json` and `model_card.md` into the bundle's folder."""
    write_json(folder / DESCRIPTION_FILE, bundle.model_dump(by_alias=True))
    card = model_card(bundle, record, recipe=recipe, evaluations=evaluations)
    write_text(folder / CARD_FILE, card)
