"""MODEL, as the user names it, -> an nn.Module with the right number of outputs."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import os
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from hardener.config.model_spec import is_hugging_face
from hardener.errors import HardenerError
from hardener.models.choosing.candidates import Wish
from hardener.models.choosing.entry import BuiltEntry, build_entry, conventional_entry, find_entry
from hardener.models.choosing.given import ATTRIBUTE, as_built_with
from hardener.models.code.arguments import Facts
from hardener.models.code.code_outside import code_behind, named_whole, variables_read
from hardener.models.code.done_without import done_without
from hardener.models.code.files_around import files_around
from hardener.models.code.files_read import data_files, files_read
from hardener.models.code.imports_read import repository_above
from hardener.models.code.model_file import Imported, ModelFile, find_model_file, imported
from hardener.models.code.unfetched import hub_asked_twice, names_of, unfetched
from hardener.models.code.user_code import user_code
from hardener.models.hugging_face import build_hugging_face, refuse_code_of_others
from hardener.models.naming import named
from hardener.models.registry import REGISTRIES, from_registry, see_that_it_is_known


@dataclass(frozen=True)
class ModelChoice:
    """What the user says of MODEL.

    Attributes:
        spec: a Python file, a package's folder, `torchvision:NAME` or `timm:NAME`.
        entry: the name in the file to use; found by looking where there is none.
        arguments: what else the network is built with; `self.NAME` is set on it once it is built.
        root: the uppermost folder that the file's imports are looked for in.
        pretrained: registry models only: start from the published weights, with their own number of outputs. Where
            it is False, weights that a file's own code fetches are not fetched.
        offers_head: what has another number of outputs may be offered with `--replace-head`.
        first_exit: of several exits the first gives the logits, as in runs that were trained so.
    """

    spec: str
    entry: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    root: Path | None = None
    pretrained: bool | None = None
    offers_head: bool = False
    first_exit: bool = False


@dataclass(frozen=True)
class LoadedModel:
    """A network as it was built, and the files it was built from, the model file first (none for a registry's model).

    `root` is the folder that their imports begin at. `entry`: the name in the file that builds it, where the
    record has to hold it. `data` is what the code read from below that folder while it was built, `elsewhere` what it
    read from other places, or by a path that is written whole in the code, and `outside` the code that was imported
    from other places. `found` says what of which file was taken, and how that was found; `notes` what the
    user should know of it, a line each. `scripts`: the options by which it is built as the repository's scripts build
    it, where that is another network. `bare`: its code would fetch weights, and did not.
    """

    network: nn.Module
    name: str
    sources: tuple[Path, ...]
    root: Path = Path()
    entry: str | None = None
    data: tuple[Path, ...] = ()
    elsewhere: tuple[Path, ...] = ()
    outside: tuple[Path, ...] = ()
    found: str = ""
    notes: tuple[str, ...] = ()
    scripts: str = ""
    bare: bool = False


def see_that_it_is_there(spec: str, root: Path | None) -> None:
    """See that there is something by the name of MODEL, before anything else is read.

    Raises:
        HardenerError: no such file, or no such network in the registry.
    """
    registry, colon, name = spec.partition(":")
    if colon and registry in REGISTRIES:
        see_that_it_is_known(registry, name)
    elif not is_hugging_face(spec):
        named(spec, root)


def load_model(
    choice: ModelChoice | str, *, num_classes: int, channels: int = 3, size: tuple[int, int] | None = None
) -> LoadedModel:
    """Build the network that MODEL names.

    Args:
        choice: what the user says of it, or the Python file, `torchvision:NAME` or `timm:NAME` alone.
        num_classes, channels: given to whatever takes them, under the names that are in use.
        size: height and width of the images that it must take.
    Raises:
        HardenerError: nothing by that name, a file that raises, or no single entry.
    """
    choice = ModelChoice(choice) if isinstance(choice, str) else choice
    spec, entry = choice.spec, choice.entry
    registry, colon, name = spec.partition(":")
    if colon and registry in REGISTRIES:
        if entry:
            raise HardenerError("--entry is for model files; a registry model is named in full.")
        network = from_registry(
            registry,
            name,
            num_classes=num_classes,
            channels=channels,
            pretrained=bool(choice.pretrained),
            arguments=choice.arguments,
        )
        return LoadedModel(network, name, ())
    refuse_code_of_others(spec)
    if is_hugging_face(spec):
        return _of_hugging_face(choice, num_classes)
    if choice.pretrained:
        raise HardenerError("--pretrained is for torchvision:, timm: and hf: names; give a file's weights by --init.")
    facts = Facts(num_classes, channels, size)
    what = named(spec, choice.root)
    entry = entry or what.entry
    if what.path is None:
        assert entry is not None, "an installed module is named with what to use of it"
        with user_code(what.module, when=" when it is imported"):
            module = importlib.import_module(what.module)
        return _unless_fetched(choice, lambda: _of_module(choice, module, entry, facts))
    file = find_model_file(what.path, what.root)
    uses_timm = choice.pretrained is False and _uses_timm(file)
    return _unless_fetched(choice, lambda: _of_file(choice, file, entry, facts), uses_timm=uses_timm)


def _uses_timm(file: ModelFile) -> bool:
    """Does a model file name timm, or another from which it may import?"""
    top = repository_above(file.own)
    around = files_around(top or file.own.parent, deep=top is not None)
    code = [file.own, *(path for path in around if path.suffix == ".py")]
    return any("timm" in path.read_text(errors="replace") for path in code)


def _unless_fetched(choice: ModelChoice, build: Callable[[], LoadedModel], *, uses_timm: bool = False) -> LoadedModel:
    """Build a network; where published weights are not wanted, without those that its code would fetch."""
    if choice.pretrained is not False:
        return build()
    with unfetched(uses_timm=uses_timm) as left_out:
        loaded = build()
    if not left_out:
        return loaded
    told = f"weights that its code would fetch were not fetched: {', '.join(names_of(left_out))}"
    return dataclasses.replace(loaded, notes=(*loaded.notes, told), bare=True)


def _of_module(choice: ModelChoice, module: ModuleType, entry: str, facts: Facts) -> LoadedModel:
    file = ModelFile(Path(module.__name__), (Path(module.__name__),))
    found = Imported(file, module, set(sys.modules))
    built = build_entry(entry, found, facts, _wish(choice, found))
    said = f"{entry} of {module.__name__}, as asked for"
    behind = [sys.modules[name] for name in {type(one).__module__ for one in built.network.modules()}]
    code = code_behind([module, *behind], package=module.__name__.partition(".")[0])
    return LoadedModel(
        built.network, entry, (), outside=tuple(sorted(code)), found=said, notes=_notes(built, entry, said)
    )


def _of_file(choice: ModelChoice, file: ModelFile, entry: str | None, facts: Facts) -> LoadedModel:
    numbers, others, state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    with files_read() as read, variables_read() as asked, imported(file) as found, hub_asked_twice():
        wish = _wish(choice, found)
        known = entry or conventional_entry(found, facts, wish)
        if known is not None:
            how = "by its name" if entry is None else "as asked for"
            return _with_variables(_built(known, found, read, facts, wish, entry=entry, how=how), asked)
        chosen = find_entry(found, facts, wish)
    random.setstate(numbers)  # what was tried leaves no trace in what is built
    np.random.set_state(others)
    torch.set_rng_state(state)
    with files_read() as read, variables_read() as asked, imported(file) as found, hub_asked_twice():
        how, wish = "found by looking", _wish(choice, found)
        built = _built(chosen.name, found, read, facts, wish, entry=chosen.name, how=how)
        built = dataclasses.replace(built, notes=(*built.notes, *chosen.also), scripts=chosen.scripts)
        return _with_variables(built, asked)


def _with_variables(built: LoadedModel, asked: Iterable[str]) -> LoadedModel:
    """Say which environment variables a network's code reads: a run does not keep these."""
    if not (names := ", ".join(asked)):
        return built
    told = f"{built.sources[0].name} reads {names} of the environment while the network is built. A run does not keep"
    return dataclasses.replace(built, notes=(*built.notes, f"{told} that: set the same for eval and export"))


def _wish(choice: ModelChoice, found: Imported) -> Wish:
    given = as_built_with(choice.arguments, found)
    attributes = {key.removeprefix(ATTRIBUTE): one for key, one in given.items() if key.startswith(ATTRIBUTE)}
    arguments = {key: one for key, one in given.items() if not key.startswith(ATTRIBUTE)}
    return Wish(arguments, attributes, choice.offers_head)


def _of_hugging_face(choice: ModelChoice, num_classes: int) -> LoadedModel:
    if choice.entry:
        raise HardenerError("--entry is for model files; a network of HuggingFace is named in full.")
    network, file = build_hugging_face(
        choice.spec,
        num_classes=num_classes,
        pretrained=bool(choice.pretrained),
        arguments=choice.arguments,
    )
    name = choice.spec.rstrip("/").removesuffix("/config.json").rpartition("/")[2].removeprefix("hf:")
    said = f"{type(network).__name__} of transformers, as {choice.spec} says"
    return LoadedModel(network, name or "model", (file,), file.resolve().parent, found=said)


def _built(
    name: str, found: Imported, read: set[str], facts: Facts, wish: Wish, *, entry: str | None, how: str
) -> LoadedModel:
    file = found.file
    built = build_entry(name, found, facts, wish)
    data, elsewhere = data_files(read, file.folders[-1])
    fresh = [sys.modules[name] for name in set(sys.modules) - found.loaded_before]
    code = code_behind(found.modules(), fresh)
    outside = tuple(sorted(path for path in code if not path.is_relative_to(file.folders[-1])))
    elsewhere += named_whole(data, [*found.sources(), *outside])
    root = Path(os.path.commonpath([found.root(), *(path.parent for path in data)]))
    said = f"{name} of {file.path.name}, {how}"
    notes = _notes(built, name, said)
    if found.left_out:
        notes += (
            f"{file.path.name} is a script: when it is imported, {found.left_out}. Its imports, classes, functions and "
            "written values were taken, and no other line of it was run",
        )
    if found.parsed:
        told = f"{' and '.join(found.parsed)} of {file.path.name} would come from the command line of its main part"
        notes += (f"{told}: what its networks read there is what its parser has by default",)
    if found.older:
        told = f"{', '.join(found.older)} of {file.path.name} was written for a timm before 0.6"
        notes += (f"{told}: the head follows its forward_features, as there",)
    if found.stand_ins is not None:
        names = ", ".join(found.stand_ins.names)
        notes += (f"{names} cannot be imported, and the network does without: what needs it fails",)
    if found.absent:
        one = len(found.absent) == 1
        told = f"{', '.join(found.absent)} {'is' if one else 'are'} not installed"
        notes += (f"{told}: what is called of {'it' if one else 'them'} does nothing",)
    notes += tuple(done_without(found.sources()))
    sources = found.sources()
    loaded = LoadedModel(built.network, file.name, sources, root, entry, data, elsewhere, outside, said, notes)
    return dataclasses.replace(loaded, bare=bool(built.switched_off))


def _notes(built: BuiltEntry, name: str, found: str) -> tuple[str, ...]:
    """Say which entry was taken and how it was found, and what of the file's own defaults was not followed."""
    numbers = list(built.network.parameters())
    lazy = any(isinstance(one, UninitializedParameter) for one in numbers)
    told = f"entry: {found}" + ("" if lazy else f"; {sum(one.numel() for one in numbers):,} parameters")
    told += f"; {', '.join(built.replaced)}" if built.replaced else ""
    off = " ".join(f"--model-arg {one.partition('=')[0]}=…" for one in built.switched_off)
    if not off:
        return (told,)
    given = ", ".join(built.switched_off)
    return (told, f"{name} would fetch weights by default and is built with {given}. {off} builds it otherwise")


def fingerprint(model: LoadedModel) -> str:
    """Return the sha256 over a model's source files, or over its class and name for a registry's."""
    digest = hashlib.sha256(f"{type(model.network).__name__}\n{model.name}\n".encode())
    for source in (*model.sources, *model.data):
        digest.update(source.read_bytes())
    return digest.hexdigest()
