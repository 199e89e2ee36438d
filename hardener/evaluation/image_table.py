"""The results of each image as a table that people sort: Parquet, beside the npz that programs read."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardener.config.files import written_whole

COLUMNS = {
    "index": "place among the images that were evaluated",
    "path": "the image's file",
    "label": "its class, a number",
    "prediction": "what the model takes it for untouched, a number",
    "became": "what the model takes it for in the worst case, a number; -1: not known",
    "label_name": "its class",
    "prediction_name": "what the model takes it for untouched",
    "became_name": "what the model takes it for in the worst case; empty: not known",
    "clean": "right untouched",
    "robust": "right in the worst case",
    "broken_by": "which attack broke it first, from 0; -1: none",
    "attack": "the name of that attack; empty: none",
    "distance": "length of the smallest change that was found to break it; 0: wrong untouched, inf: none was found",
    "margin": "logit of the true class minus the best other, untouched",
    "loss": "cross-entropy, untouched",
    "confidence": "probability of the answer, untouched",
    "certified_radius": "certified l2 radius; nan: not measured",
    "clever": "CLEVER score; nan: not measured",
    "mean-accuracy": "share of the eps up to the evaluation's own that it stands; nan: not measured",
}
"""What the columns hold; those of other measures are called by the measure's name."""


def write_table(arrays: Mapping[str, Any], path: Path) -> bool:
    """Write the arrays, (N,) each, as one table; False where pyarrow, which the extra `parquet` brings, is missing."""
    if importlib.util.find_spec("pyarrow") is None:
        return False
    import pyarrow as pa
    from pyarrow import parquet

    fields = [
        pa.field(name, pa.array(values).type, metadata={"about": COLUMNS.get(name, f"found by the measure {name}")})
        for name, values in arrays.items()
    ]
    table = pa.table({name: pa.array(values) for name, values in arrays.items()}, schema=pa.schema(fields))
    with written_whole(path) as beside:
        parquet.write_table(table, beside)
    return True
