"""The one writer of `hardener train …`: the command that trains a run again."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hardener.config.reading import Reading
from hardener.config.run_folder import DataRecord, ModelRecord, RunFolder, RunRecord

HERE = {"validation": "VALIDATION", "test": "TEST", "images": "IMAGES"}
"""What stands in a command for a folder that is another one on each machine; `DIR` is that of `--data`."""


def train_command(run: RunFolder, record: RunRecord) -> str:
    """Write the command that trains a run again from what its folder keeps."""
    file = record.model.file
    model = record.model.spec if file is None else str(run.path / file)
    words = ["hardener", "train", model, *_data_words(record.data), *_network_words(record.model)]
    return shlex.join([*words, "--recipe", str(run.recipe_file), *_session_words(record)])


def train_command_anywhere(record: RunRecord) -> str:
    """Write the command that trains a run again on any machine: it names no folder of this one."""
    data, model = record.data, record.model
    named = Path(model.file).name if model.file else model.spec
    places = {"root": "DIR"} | {f"{key}_root": HERE[key] for key in HERE if getattr(data, f"{key}_root", None)}
    moved = data.model_copy(update={**places, "reading": anywhere(data.reading)})
    started = model.model_copy(update={"init": Path(model.init).name if model.init else None})
    words = ["hardener", "train", named, *_data_words(moved), *_network_words(started), "--recipe", "recipe.yaml"]
    return shlex.join([*words, *_session_words(record), "--name", record.name])


def anywhere(reading: Reading) -> Reading:
    """Return how data is read without the folder that it lay in."""
    root = None if reading.images_root is None else HERE["images"]
    return reading.model_copy(update={"images_root": root})


def _data_words(data: DataRecord) -> list[str]:
    words = ["--data", data.root, *value_words("--val", data.validation_root), *value_words("--test", data.test_root)]
    words += [*data.reading.words(), *(["--dedupe"] if data.reading.dedupe else [])]
    return words + (["--skip-bad-images"] if data.skip_bad_images else [])


def _network_words(model: ModelRecord) -> list[str]:
    """Write what a run's network was built with and started from."""
    words = value_words("--entry", model.entry) + argument_words(model.arguments)
    words += ["--pretrained"] if model.pretrained else ["--no-pretrained"] if model.unfetched else []
    words += value_words("--init", model.init) + value_words("--weights", model.weights)
    return words + (["--replace-head"] if model.replaced_head or model.replace_head else [])


def _session_words(record: RunRecord) -> list[str]:
    limit = record.time_limit_s if record.ended == "time limit" else None
    return ["--seed", str(record.seed), *value_words("--time-limit", None if limit is None else f"{math.ceil(limit)}s")]


def argument_words(arguments: Mapping[str, Any]) -> list[str]:
    """Write what a network was built with as `--model-arg` reads it."""
    return [word for key, value in arguments.items() for word in ("--model-arg", f"{key}={json.dumps(value)}")]


def value_words(option: str | None, value: object, *, but: object = None) -> list[str]:
    """Return the words of an option, none where the value is None or the default."""
    if value is None or value == but:
        return []
    return [str(value)] if option is None else [option, str(value)]
