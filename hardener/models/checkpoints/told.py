"""What a checkpoint says of its network besides the tensors: classes, architecture, and how images were normalised."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from hardener.models.checkpoints.kind import read_json
from hardener.models.checkpoints.unpickling import StandIn

_TO_NUMBERS = ("class_to_idx", "class2idx", "class_to_index", "label2id", "label_to_idx")
_TO_NAMES = ("idx_to_class", "idx2class", "index_to_class", "id2label", "idx_to_label")
_NAMES = (*_TO_NUMBERS, *_TO_NAMES, "class_names", "classes", "label_names")
_ARCHITECTURE = ("arch", "architecture")
_DEEP = 4  # mappings in mappings that are looked into
_OF_FOLDERS = re.compile(r"(model|pytorch_model)\.(safetensors|bin)(\.index\.json)?")


@dataclass(frozen=True)
class Told:
    """What a checkpoint, or what lies beside it, says of its network.

    Attributes:
        classes: names in the order of the outputs, each list that was found; the most telling ones first.
        architecture: the name of the network in a registry, as far as that is one.
        run: the folder of the run that the weights are of.
        activation: what stands in place of that run's ReLUs.
        normalization: how its images were normalised, as `--normalize` takes it.
        size: height and width of that run's images.
    """

    classes: tuple[tuple[str, ...], ...] = ()
    architecture: str | None = None
    run: Path | None = None
    activation: str = "keep"
    normalization: str | None = None
    size: tuple[int, int] | None = None


def told_in(held: Any) -> Told:
    """Read what a checkpoint holds besides tensors."""
    found = list(_named(held, 0))
    classes = [(_NAMES.index(key), names) for key, value in found if key in _NAMES and (names := _classes(key, value))]
    built = [value for key, value in found if key in _ARCHITECTURE and isinstance(value, str)]
    ordered = dict.fromkeys(names for _, names in sorted(classes, key=lambda one: one[0]))
    return Told(tuple(ordered), built[0] if built else None)


def told_in_header(facts: Mapping[str, str]) -> Told:
    """Read what the header of a safetensors file holds: texts, or JSON in texts."""
    found: dict[str, Any] = {}
    for key, text in facts.items():
        try:
            found[key] = json.loads(text)
        except (ValueError, RecursionError):
            found[key] = text
    return told_in(found)


def with_what_lies_beside(told: Told, path: Path) -> Told:
    """Add what a run, or a folder of HuggingFace, says of the weights in it."""
    for folder in (path.parent, path.parent.parent):
        inside = path.name == "model.safetensors" if folder == path.parent else path.parent.name == "checkpoint"
        record = read_json(folder / "run.json") if inside and (folder / "run.json").is_file() else {}
        if str(record.get("schema", "")).startswith("hardener/run/"):
            return _of_run(told, folder, record)
    config = path.parent / "config.json"
    if not _OF_FOLDERS.fullmatch(path.name) or not config.is_file():
        return told
    settings = read_json(config)
    of_folder = told_in(settings)
    read = path.parent / "preprocessor_config.json"
    images = read_json(read) if read.is_file() else {}
    of_timm = _mapping(settings.get("pretrained_cfg"))
    mean, std = (images.get(f"image_{key}", of_timm.get(key)) for key in ("mean", "std"))
    return replace(
        told,
        classes=(*told.classes, *of_folder.classes),
        architecture=told.architecture or of_folder.architecture,
        normalization="none" if images.get("do_normalize") is False else _normalization(mean, std),
    )


def tells_nothing(names: Sequence[str]) -> bool:
    """Whether names are their own numbers, in order, alone or behind one word, as where nobody gave any: LABEL_0, …"""
    if names and names[0] == "LABEL_0":
        return True
    return any(list(names) == [str(at + first) for at in range(len(names))] for first in (0, 1))


def _of_run(told: Told, folder: Path, record: Mapping[str, Any]) -> Told:
    model, images = _mapping(record.get("model")), _mapping(record.get("input"))
    names = _classes("classes", record.get("classes"))
    mean, height, width = images.get("mean"), images.get("height"), images.get("width")
    return replace(
        told,
        classes=(names, *told.classes) if names else told.classes,
        architecture=told.architecture or str(model.get("spec", "")).partition(":")[2] or None,
        run=folder,
        activation=str(model.get("activation", "keep")),
        normalization="none" if mean == [] else _normalization(mean, images.get("std")),
        size=(height, width) if type(height) is int and type(width) is int else None,
    )


def _mapping(held: Any) -> Mapping[str, Any]:
    return held if isinstance(held, dict) else {}


def _normalization(mean: Any, std: Any) -> str | None:
    """Write means and deviations of [0, 1] pixels as `--normalize` takes them; None where they are none."""
    for part in (mean, std):
        if not isinstance(part, list | tuple) or len(part) not in {1, 3}:
            return None
        if not all(isinstance(one, int | float) and 0 <= one <= 1 for one in part):
            return None
    if len(mean) != len(std) or min(std) <= 0:
        return None
    return "/".join(",".join(f"{one:.6g}" for one in part) for part in (mean, std))


def _named(held: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield what stands under names in mappings, and in what holds such: outer ones first."""
    if isinstance(held, StandIn):
        held = {**held.__dict__["held"], **held.__dict__}
    elif isinstance(held, nn.Module) or type(held).__name__ in {"Namespace", "SimpleNamespace"}:
        held = vars(held)
    if not isinstance(held, Mapping) or depth > _DEEP:
        return
    for key, value in held.items():
        if isinstance(key, str):
            yield key.lower(), value
    for value in held.values():
        yield from _named(value, depth + 1)


def _classes(key: str, value: Any) -> tuple[str, ...] | None:
    """Return names in the order of their numbers; None where they are no names of two classes or more."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        pairs = list(value.items())
        turned = [(number, name) for name, number in pairs]
        orders = (turned, pairs) if key in _TO_NUMBERS else (pairs, turned)
        value = next((names for order in orders if (names := _by_number(order)) is not None), None)
    if not isinstance(value, list | tuple) or len(value) < 2:
        return None
    if not all(isinstance(name, str) or type(name) is int for name in value) or len(set(value)) < len(value):
        return None
    return tuple(map(str, value))


def _by_number(pairs: Sequence[tuple[Any, Any]]) -> list[Any] | None:
    try:
        found = {int(number): name for number, name in pairs}
    except (TypeError, ValueError):
        return None
    return [found[at] for at in range(len(pairs))] if sorted(found) == list(range(len(pairs))) else None
