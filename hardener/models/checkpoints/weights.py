"""Tensors of a network -> a weights file, and back into a network."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_model
from torch import Tensor, nn

from hardener.config.files import written_whole
from hardener.errors import HardenerError
from hardener.models.buffers import put_buffer
from hardener.models.checkpoints.doubt import Doubt
from hardener.models.checkpoints.file import VERSIONS, Content, read_checkpoint
from hardener.models.checkpoints.in_parts import put_together
from hardener.models.checkpoints.kind import weights_in
from hardener.models.checkpoints.left_over import doubts_of_heads, doubts_of_kind, left_over, some
from hardener.models.checkpoints.match import Fit, choose, fits, nearest, with_heads
from hardener.models.checkpoints.plain import check_finite, check_plain
from hardener.models.checkpoints.told import Told
from hardener.models.hugging_face import in_its_names
from hardener.models.own_normalization import normalization_in

_OF_OPTIMIZERS = re.compile(r"(^|\.)(exp_avg(_sq)?|max_exp_avg_sq|momentum_buffer|square_avg|sum|step)$")
_FRESH_HEAD = "All else fits: pass --replace-head to begin with a fresh final layer."
_POSITIONS = re.compile(r"pos(ition)?_embed")


@dataclass(frozen=True)
class Start:
    """The weights that a network starts from, as the user names them.

    Attributes:
        path: a file, or a folder of a run or of HuggingFace.
        allow_pickle: unpickle what holds more than tensors. It runs any code that the file carries.
        which: the name of one of several sets of weights in it, `plain` or `ema`.
        trains: for training, where a head that does not fit can be replaced.
    """

    path: Path
    allow_pickle: bool = False
    which: str | None = None
    trains: bool = True


@dataclass(frozen=True)
class Loaded:
    """What came of loading weights.

    Attributes:
        extra: names of tensors in the file that the network has no place for.
        remarks: what the user should know, a line each.
        which: the set of weights that was taken, where the file holds several.
        normalization: mean and deviation of a layer that the file holds and the network does not, as MEAN/STD.
        doubts: what speaks against the file and the network belonging together.
        told: what the file says of its network.
        fresh: layers that the file has no values for.
    """

    extra: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    which: str | None = None
    normalization: str | None = None
    doubts: tuple[Doubt, ...] = ()
    told: Told = field(default_factory=Told)
    fresh: frozenset[str] = frozenset()

    @property
    def findings(self) -> tuple[str, ...]:
        """What the user should know, doubts and all."""
        return (*self.remarks, *(doubt.text for doubt in self.doubts))


def file_of(path: Path) -> Path:
    """Return the file that weights are read from: of a folder, the one in it."""
    return weights_in(path) if path.is_dir() else path


class _Contiguous(nn.Module):
    """A network whose tensors lie contiguous where they are read out; what is tied stays so."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = (network,)  # in a tuple: as no module of its own, it puts nothing before the names

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override] # torch's is overloaded
        """Return the network's tensors; safetensors looks at tied ones in a way that needs them contiguous."""
        state: dict[str, Any] = self._network[0].state_dict(*args, **kwargs)
        laid: dict[tuple[Any, ...], Tensor] = {}
        for name, value in state.items():
            if isinstance(value, Tensor) and not value.is_contiguous():
                place = (value.data_ptr(), tuple(value.shape), value.stride())
                state[name] = laid.setdefault(place, value.contiguous())
        return state


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's parameters and buffers as safetensors, whole or not at all; tied tensors are written once."""
    with written_whole(path) as beside:
        try:
            network = _Contiguous(network)
            save_model(network, str(beside), metadata={VERSIONS: json.dumps(_versions(network.state_dict()))})
        except SafetensorError as error:
            code = re.search(r"os error (\d+)", str(error))  # how its writer words a full disk
            if code is None:
                raise
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from None
        os.umask(mask := os.umask(0))
        beside.chmod(0o666 & ~mask)  # the writer leaves a file that its owner alone may read, which a container is not


def load_weights(
    network: nn.Module,
    start: Start | Path,
    *,
    fresh_head: str | Sequence[str] = (),
    heads: Sequence[str] = (),
    unsaved: Collection[str] = (),
) -> Loaded:
    """Copy a file's tensors into a network; every tensor of the network must be in it, with its shape.

    Args:
        fresh_head: names of layers that begin anew where the file has no values for them, or has them in another shape.
        heads: names of the layers that make the logits, as far as they are known.
        unsaved: buffers that a network does not save by itself: they may be missing in the file, and have other shapes.
    Raises:
        HardenerError: no such file, not a checkpoint, one that needs unpickling, or other names or shapes.
    """
    start = Start(start) if isinstance(start, Path) else start
    path, own = start.path, network.state_dict()
    content = read_checkpoint(path, network, allow_pickle=start.allow_pickle)
    own = {name: value for name, value in own.items() if isinstance(value, Tensor)}  # extra state may be anything
    tensors, put = put_together(content.tensors, own)
    content = replace(content, tensors=tensors, remarks=(*content.remarks, *put))
    for name in set(unsaved) & content.tensors.keys() & own.keys():
        put_buffer(network, name, content.tensors[name])
        own[name] = content.tensors[name]
    found = fits(content.tensors, own)
    if "transformers" in sys.modules and (not found or len(found[0].found) < len(own)):
        content = replace(content, tensors=in_its_names(network, content.tensors))
        found = fits(content.tensors, own)
    if not found:
        raise HardenerError(_nothing(path, content, own))
    learnt = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    first, said = choose(found, learnt, start.which, partial(_same, content.tensors), path)
    fresh = (fresh_head,) if isinstance(fresh_head, str) else tuple(fresh_head)
    fit = with_heads(first, content.tensors, own, heads, fresh)
    check_plain(path, fit, content.tensors, network)
    left = [*unsaved, *(name for name in own if _is_in(name, fresh) and name not in fit.found)]
    kept = _may_be_missing(network, own, fit, left)
    _check_whole(start, own, fit, {*left, *kept}, heads, content)
    check_finite(path, fit, content.tensors, network)
    chosen = OrderedDict((name, content.tensors[there]) for name, there in fit.found.items())
    chosen._metadata = _versions_of(content, fit) or _versions(network.state_dict())  # type: ignore[attr-defined]
    _copy(chosen, network, path)
    anew = frozenset(name for name in fresh if f"{name}.weight" in left)
    _begin_anew(network, anew)
    remarks = (*content.remarks, *said, *_of_kept(path, kept, _tied(own, fit)))
    apart = normalization_in(content.tensors, sorted(content.tensors.keys() - set(fit.found.values())))
    extra = left_over(content, fit, found)
    return Loaded(
        tuple(_short(name, content) for name in extra),
        remarks,
        fit.name if said else None,
        apart,
        (*doubts_of_heads(path, first, fit), *doubts_of_kind(path, content, fit, extra, own, heads)),
        content.told,
        anew,
    )


def _short(name: str, content: Content) -> str:
    return name.removeprefix(content.holders.get(name, ""))


def _begin_anew(network: nn.Module, heads: Collection[str]) -> None:
    """Give heads that the file has no values for those of a layer as torch makes it.

    A network's own start may be made for training all of it: timm's EfficientNet answers with logits of some tens, and
    the first steps towards smaller ones ruin the weights that were loaded.
    """
    for name in heads:
        layer = network.get_submodule(name)
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.reset_parameters()


def _copy(state: Mapping[str, Tensor], network: nn.Module, path: Path) -> None:
    try:
        with torch.no_grad():
            network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        told = (str(error).strip().splitlines() or [""])[-1].strip()
        raise HardenerError(f"{path} holds tensors that the model cannot take: {told}") from None


def _is_in(name: str, layers: Sequence[str]) -> bool:
    return any(name == layer or name.startswith(f"{layer}.") for layer in layers)


def _same(tensors: Mapping[str, Tensor], one: Fit, other: Fit) -> bool:
    shared = one.found.keys() & other.found.keys()
    return all(_equal(tensors[one.found[name]], tensors[other.found[name]]) for name in shared)


def _equal(one: Tensor, other: Tensor) -> bool:
    if one is other or one.is_nested or other.is_nested or one.is_meta or other.is_meta:
        return one is other
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)


def _may_be_missing(network: nn.Module, own: Mapping[str, Tensor], fit: Fit, left: Sequence[str]) -> list[str]:
    """Return buffers that a file need not hold: tables of whole numbers, and the means and deviations of a layer that
    normalises images in front of the network."""
    buffers = {name for name, _ in network.named_buffers(remove_duplicate=False)}
    missing = [n for n in own if n in buffers and n not in fit.found and n not in fit.unlike and n not in left]
    outside = [n for n in missing if fit.within and not n.startswith(fit.within) and own[n].numel() in {1, 3}]
    whole = [n for n in missing if not own[n].is_floating_point() and not own[n].is_complex()]
    return [*dict.fromkeys([*whole, *outside, *_tied(own, fit)])]


def _tied(own: Mapping[str, Tensor], fit: Fit) -> list[str]:
    """Return names of tensors that are others of the network as well, which are written once."""
    places = {(own[n].data_ptr(), own[n].shape) for n in fit.found if own[n].numel()}
    return [n for n in own if n not in fit.found and own[n].numel() and (own[n].data_ptr(), own[n].shape) in places]


def _of_kept(path: Path, kept: Sequence[str], tied: Sequence[str]) -> list[str]:
    told = [name for name in kept if name not in tied and not name.endswith("num_batches_tracked")]
    if not told:
        return []
    return [f"{path} has no {some(told)}: the model keeps {'it' if len(told) == 1 else 'them'} as it was built"]


def _check_whole(
    start: Start, own: Mapping[str, Tensor], fit: Fit, optional: Collection[str], heads: Sequence[str], content: Content
) -> None:
    """See that the file has what the network needs; else say what it lacks, and what to do."""
    theirs = content.tensors
    wrong = [name for name in fit.unlike if name not in optional]
    missing = [name for name in own if name not in fit.found and name not in fit.unlike and name not in optional]
    if not (wrong or missing):
        return
    of_head = bool(heads) and all(_is_in(name, heads) for name in (*wrong, *missing))
    parts, way = [], _way(start, own, fit, (*wrong, *missing), of_head=of_head, heads_known=bool(heads))
    options = "--replace-head" if way == _FRESH_HEAD else ""
    body = [name for name in (*wrong, *missing) if not _is_in(name, heads)]
    count = _channels_of_file({name: (theirs[fit.unlike[name]], own[name]) for name in body if name in fit.unlike})
    if count is not None and not set(body) & set(missing):
        way, options = _other_channels(start, count, head=len(body) < len(wrong) + len(missing))
    if wrong:
        shown = [
            f"{name} is {tuple(theirs[fit.unlike[name]].shape)} in the file and {tuple(own[name].shape)} in the model"
            for name in wrong
        ]
        parts.append(f"has other shapes than the model: {some(shown)}.")
    if missing:
        used = {*fit.found.values(), *fit.unlike.values()}
        free = {n.removeprefix(fit.before): v for n, v in theirs.items() if n not in used}
        listed = [nearest(name.removeprefix(fit.within), own[name].shape, free) for name in missing[:3]]
        also = f" It has instead: {some(list(free))}." if free and not of_head else ""
        named = some(missing) if of_head or not free else some([*listed, *missing[3:]])
        parts.append(f"lacks {len(missing)} of the model's {len(own)} tensors: {named}.{also}")
    raise HardenerError(f"{start.path} {' It '.join(parts)} {way}", options=options)


def _channels_of_file(pairs: Mapping[str, tuple[Tensor, Tensor]]) -> int | None:
    """Return how many channels a file's network takes, where its filters differ from the model's in that alone."""
    counts = set()
    for theirs, mine in pairs.values():
        alike = (
            theirs.ndim == mine.ndim == 4 and theirs.shape[::2] == mine.shape[::2] and theirs.shape[3] == mine.shape[3]
        )
        counts.add((theirs.shape[1], mine.shape[1]) if alike else None)
    found = counts.pop() if len(counts) == 1 else None
    return None if found is None or set(found) != {1, 3} else int(found[0])


def _other_channels(start: Start, count: int, *, head: bool) -> tuple[str, str]:
    """Say what to do where a file's network takes gray images and these have colour, or the other way round."""
    kind = "gray images, of 1 channel" if count == 1 else "colour images, of 3 channels"
    taken = f"The file's network takes {kind}."
    if not start.trains:
        return f"{taken} Evaluate it on such images.", ""
    options = f"--set data.channels={count}" + " --replace-head" * head
    fresh = ", with a fresh final layer" * head
    turned = "turned to gray" if count == 1 else "given three equal channels"
    return f"{taken} Pass {options}: the images are then {turned}{fresh}.", options


def _way(
    start: Start, own: Mapping[str, Tensor], fit: Fit, faulty: Sequence[str], *, of_head: bool, heads_known: bool
) -> str:
    if of_head and start.trains:
        return _FRESH_HEAD
    if of_head:
        return (
            "All else fits, and a model is judged with a final layer that has learnt these very classes. Train it "
            "first: hardener train MODEL --data DIR --init FILE --replace-head."
        )
    if all(_POSITIONS.search(name) for name in faulty):
        return "It was trained on images of another size: pass that by --image-size."
    advice = "Is it of another architecture?"
    if not heads_known and start.trains and fit.unlike:
        advice += " Where only the number of classes differs, pass --replace-head."
    return advice


def _nothing(path: Path, content: Content, own: Mapping[str, Tensor]) -> str:
    """Say why a file without one name of the network's is none of its checkpoints."""
    names = list(content.tensors)
    keys = f" It holds {some(list(content.keys))}." if content.keys else ""
    if not names:
        if "param_groups" in content.keys:
            return f"{path} holds the state of an optimizer, and no network's weights. Pass the network's checkpoint."
        return f"{path} holds no state dict: a mapping from names to tensors was looked for.{keys}"
    if all(_OF_OPTIMIZERS.search(name) for name in names):
        return f"{path} holds the state of an optimizer, and no network's weights. Pass the network's checkpoint."
    if all(part.isdecimal() for name in names for part in name.split(".")[-1:]):
        return (
            f"{path} holds {len(names)} tensors without names. Which is which could only be guessed by their shapes: "
            "save the network's state_dict."
        )
    first = next(iter(own), None)
    asked = f" The model's first is {first}." if first else ""
    return (
        f"{path} lacks {len(own)} of the model's {len(own)} tensors: no name in it is the model's. It has instead: "
        f"{some(names)}.{asked} Is it of another architecture?"
    )


def _versions_of(content: Content, fit: Fit) -> dict[str, dict[str, int]]:
    """Return the versions of the network's modules as the file tells them."""
    if all(name == there for name, there in fit.found.items()):
        return content.versions  # of modules without tensors of their own as well
    found: dict[str, dict[str, int]] = {}
    for name, there in fit.found.items():
        module, their_module = name.rpartition(".")[0], there.rpartition(".")[0]
        if their_module in content.versions:
            found[module] = content.versions[their_module]
    return found


def _versions(state: Mapping[str, Tensor]) -> dict[str, dict[str, int]]:
    found: Mapping[str, Mapping[str, int]] = getattr(state, "_metadata", {})
    return {name: dict(facts) for name, facts in found.items()}
