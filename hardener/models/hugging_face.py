"""`hf:ORG/NAME`, or a folder with config.json -> an image classifier of transformers."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hardener.config.model_spec import CONFIG, HUB
from hardener.errors import HardenerError
from hardener.models.checkpoints.kind import read_json
from hardener.models.code.user_code import first_line


def refuse_code_of_others(spec: str) -> None:
    """Refuse `torchhub:` and `hub:`.

    Raises:
        HardenerError: MODEL is one of them.
    """
    if spec.partition(":")[0] in {"torchhub", "hub"} and not Path(spec).exists():
        raise HardenerError(
            f"{spec} would run code from the net that nobody here has seen. Download the repository, look at it, and "
            "pass its model file and weights: hardener train FILE.py --data DIR --init WEIGHTS."
        )


def build_hugging_face(
    spec: str, *, num_classes: int, pretrained: bool, arguments: Mapping[str, Any]
) -> tuple[nn.Module, Path]:
    """Build a network from its configuration.

    Args:
        pretrained: with the published weights and their own number of outputs; else with `num_classes`, untrained.
        arguments: fields of the configuration to change.
    Returns:
        The network, and the config.json that it was built from.
    Raises:
        HardenerError: transformers is not installed, there is no such configuration, or it is of no image classifier.
    """
    if importlib.util.find_spec("transformers") is None:
        raise HardenerError("a network of HuggingFace needs transformers: pip install 'hardener[hf]'.")
    file = _config_of(spec)
    told = read_json(file)
    if "auto_map" in told:
        raise HardenerError(
            f"{spec} brings code of its own (auto_map), which would run unseen. Download it, look at it, and pass its "
            "model file: hardener train FILE.py --data DIR --init WEIGHTS."
        )
    if "model_type" not in told:
        raise HardenerError(f"{file} is none of transformers: it has no model_type. MODEL is a Python file.")
    from transformers import AutoConfig, AutoModelForImageClassification
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    changed = dict(arguments) if pretrained else {"num_labels": num_classes, **arguments}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if pretrained:
                source = spec.removeprefix(HUB) if spec.startswith(HUB) else str(file.parent)
                network = AutoModelForImageClassification.from_pretrained(source, **changed)
            else:
                config = AutoConfig.from_pretrained(str(file.parent), **changed)
                config.architectures = config.architectures or []  # looked through also where none are
                network = AutoModelForImageClassification.from_config(config)
    except Exception as error:  # builders and downloads of others: they may raise anything
        fault = f"{type(error).__name__}: {first_line(error)}".rstrip(".")
        advice = " Bring the files and pass them by --init FOLDER instead of --pretrained." if pretrained else ""
        raise HardenerError(f"{spec} cannot be built as an image classifier: {fault}.{advice}") from error
    assert isinstance(network, nn.Module), "transformers returns modules"
    return network.float(), file


def in_its_names(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint's tensors under the names of a network of transformers, which differ from those in its files.

    Tensors of another network, or of other shapes, are returned as they are.
    """
    import torch
    from transformers import PreTrainedModel
    from transformers.utils import logging

    if not isinstance(network, PreTrainedModel):
        return state
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    random_state = torch.get_rng_state()
    try:
        made, told = type(network).from_pretrained(
            None, config=network.config, state_dict=dict(state), output_loading_info=True, ignore_mismatched_sizes=True
        )
    except Exception:  # of a library that changes: what it cannot convert is told as any other checkpoint
        return state
    finally:
        torch.set_rng_state(random_state)
    unlike = {name if isinstance(name, str) else name[0] for name in told["mismatched_keys"]}
    absent = unlike | set(told["missing_keys"])
    found = {name: value for name, value in made.state_dict().items() if name not in absent}
    left = {name: state[name] for name in (*unlike, *told["unexpected_keys"]) if name in state}
    return {**found, **left}


def _config_of(spec: str) -> Path:
    """Return the configuration's file: of a folder, from the local cache, or from the hub."""
    if not spec.startswith(HUB):
        path = Path(spec)
        return path / CONFIG if path.is_dir() else path
    name = spec.removeprefix(HUB)
    if Path(name).is_dir():
        return Path(name) / CONFIG
    from transformers.utils import cached_file

    try:
        found = cached_file(name, CONFIG)
    except Exception as error:  # of the hub's client: no network, no such name, no leave
        raise HardenerError(
            f"{spec} is neither in the local cache nor to be fetched from the hub: {first_line(error).rstrip('.')}. "
            "Check the name; without a network download the folder elsewhere and pass its path as MODEL."
        ) from None
    return _copied(Path(str(found)))


@functools.cache
def _copies() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hardener-")


def _copied(file: Path) -> Path:
    """Return a file by its own name: the cache keeps it under another, and a run copies what it is built from."""
    made = Path(tempfile.mkdtemp(dir=_copies().name)) / CONFIG
    shutil.copyfile(file, made)
    return made
