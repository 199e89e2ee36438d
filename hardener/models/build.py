"""A network for some images: built with the channels that it takes, and given weights and a head that fit."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from hardener.config.run_folder import HEAD_BEHIND
from hardener.errors import HardenerError
from hardener.models.answer import Way
from hardener.models.checkpoints.weights import Loaded, Start, load_weights
from hardener.models.choosing.entry import EntryNeeded
from hardener.models.code.arguments import size_names, takes
from hardener.models.code.user_code import describe, fetches
from hardener.models.conditions import noise
from hardener.models.features import Headed, gives_features
from hardener.models.head import (
    Answer,
    OtherRows,
    auxiliary_heads,
    count_outputs,
    find_head,
    look_at_answer,
    replace_heads,
)
from hardener.models.load import LoadedModel, ModelChoice, load_model
from hardener.models.rows import lay_out_as_rows
from hardener.models.tame import line_of, tame, unscripted
from hardener.runtime.model_state import device_of

USUAL_SIZES = (28, 32, 64, 96, 128, 224, 256, 299, 331, 384)
_OTHER_SIZES = (
    48, 227, 112, 150, 100, 84, 160, 180, 192, 200, 50, 40, 60, 36, 56, 72, 80, 120, 144, 240, 300, 448, 512,
)  # fmt: skip
"""Sides of square images that are tried where no usual one fits: some networks' weights fit one alone."""


@dataclass(frozen=True)
class Built:
    """A network for images of some shape.

    Attributes:
        remarks: what was done to it, a line each.
    """

    loaded: LoadedModel
    channels: int
    height: int
    width: int
    answer: Answer
    remarks: tuple[str, ...]

    @property
    def network(self) -> nn.Module:
        """The network itself."""
        return self.loaded.network

    @property
    def outputs(self) -> int:
        """Columns of the logits, before any head is replaced."""
        return self.answer.outputs

    @property
    def way(self) -> Way | None:
        """Where in what the network returns its logits stand, where several tensors could be them."""
        return self.answer.way


def build_for(
    choice: ModelChoice,
    *,
    num_classes: int,
    channels: Sequence[int],
    height: int,
    width: int,
    advises: bool = True,
) -> Built:
    """Build a network and find which number of channels it takes.

    Args:
        channels: the numbers to try, the preferred one first.
        advises: where it fails on such images, find those that it takes.
    Raises:
        HardenerError: it cannot be built, or takes images with none of these numbers of channels.
    """
    faults: list[HardenerError] = []
    for count in channels:
        random_state = torch.get_rng_state()
        loaded: LoadedModel | None = None
        try:
            with unscripted() as said:
                loaded = load_model(choice, num_classes=num_classes, channels=count, size=(height, width))
            remarks = [*said, *tame(loaded.network), *_laid_out(loaded.network, count, height, width)]
            answer = _asked(loaded.network, count, height, width, num_classes, first_exit=choice.first_exit)
            return Built(loaded, count, height, width, answer, tuple(remarks))
        except HardenerError as error:
            if choice.pretrained is None and choice.offers_head and fetches(error.__cause__):
                more = _besides(choice, num_classes, [count, *channels], (height, width))
                sized = ", on images of a size that it takes" if "--image-size" in more else ""
                fresh = ", with a fresh final layer" if "--replace-head" in more else ""
                told = f"{error} Or start from random numbers{sized}{fresh}:"
                raise HardenerError(told, options=f"--no-pretrained{more}") from error
            if isinstance(error, EntryNeeded) and not _is_of_channels(error):
                raise
            faults.append(error)
            if choice.pretrained and loaded is None and isinstance(error.__cause__, OSError):
                break  # what cannot be downloaded cannot be so for other channels either, after as long a wait
            if loaded is not None and not isinstance(error, _Unfit):
                break  # it takes the images, and its answer is none of a classifier
            torch.set_rng_state(random_state)
    fault = next((error for error in faults if not _is_of_channels(error)), faults[0])
    unfit = next((error for error in [fault, *faults] if isinstance(error, _Unfit)), None)  # gray alone, say
    fits = _what_fits(choice, num_classes, channels, height, width) if advises and unfit is not None else None
    if unfit is None or (fits is None and unfit is not fault):
        raise fault
    told = f"{unfit.where}{unfit.otherwise if fits is None else '.'}"
    if unfit.__cause__ is not None:
        told = f"{unfit.where}: {describe(unfit.__cause__, advise=fits is None)}"
    if fits is None:
        raise HardenerError(told) from unfit.__cause__
    raise HardenerError(f"{told} {fits.text}".rstrip(), options=fits.options) from unfit.__cause__


def _laid_out(network: nn.Module, channels: int, height: int, width: int) -> list[str]:
    told = lay_out_as_rows(network, noise(2, channels, height, width, device_of(network)))
    return [told] if told else []


_WITHOUT_NUMBERS = "Invalid channel dimensions"
"""What torch says of wrong channels where a network has shapes alone."""


class _Unfit(HardenerError):
    """The network fails on images of a shape; `where` says of which, `otherwise` what to do where no other fits."""

    def __init__(self, where: str, otherwise: str = "") -> None:
        super().__init__(where)
        self.where, self.otherwise = where, otherwise


def _asked(
    network: nn.Module, channels: int, height: int, width: int, num_classes: int, *, first_exit: bool = False
) -> Answer:
    device = device_of(network)
    try:
        return look_at_answer(network, noise(2, channels, height, width, device), num_classes, first_exit=first_exit)
    except OtherRows as error:
        line = line_of(network, re.compile(r"(view|reshape)[(]"))
        raise _Unfit(
            f"{error}, where they are {channels} x {height} x {width}{line}",
            ": a number of images or of features is fixed in its code. Write x.flatten(1), which keeps images apart.",
        ) from None
    except HardenerError:
        raise
    except (Exception, SystemExit) as error:  # the user's own code: it may raise anything
        raise _Unfit(
            f"the model fails on images of {channels} x {height} x {width} (channels, height, width)"
        ) from error


def _is_of_channels(error: HardenerError) -> bool:
    """Whether the network failed because of the number of channels alone, as far as its error tells."""
    return "channels" in str(error.__cause__) or _WITHOUT_NUMBERS in str(error)


@dataclass(frozen=True)
class _Fits:
    """Which images a network does take, in words, and the options that give it such."""

    text: str
    options: str


def _what_fits(choice: ModelChoice, num_classes: int, channels: Sequence[int], height: int, width: int) -> _Fits | None:
    """Say which images the network does take, of usual sizes and of one or three channels; None where of none."""
    for count in dict.fromkeys([*channels, 3, 1]):
        sizes = list(dict.fromkeys([(height, width), *((usual, usual) for usual in USUAL_SIZES)]))
        loaded = _plain(choice, num_classes, count, (height, width))
        fits = {} if loaded is None else _outputs(loaded.network, count, sizes, num_classes)
        if loaded is not None and not fits:
            others = (_outputs(loaded.network, count, [(side, side)], num_classes) for side in _OTHER_SIZES)
            fits = next((fit for fit in others if fit), {})
        if loaded is not None and not fits and _is_built_for_a_size(loaded.network):
            named = choice if ":" in choice.spec else dataclasses.replace(choice, entry=choice.entry or loaded.entry)
            made = ((size, _plain(named, num_classes, count, size)) for size in sizes[1:])
            found = ((_outputs(one.network, count, [size], num_classes), one) for size, one in made if one is not None)
            fits, loaded = next(((fit, one) for fit, one in found if fit), ({}, loaded))
        if fits:
            assert loaded is not None, "what fits was built"
            return _advice(choice, loaded, count, fits, channels, (height, width), num_classes)
    return None


def _besides(choice: ModelChoice, num_classes: int, channels: Sequence[int], size: tuple[int, int]) -> str:
    """Return the options that a network needs besides when its weights are left out, each after a space."""
    bare = dataclasses.replace(choice, pretrained=False)
    loaded = _plain(bare, num_classes, channels[0], size)
    outputs = {} if loaded is None else _outputs(loaded.network, channels[0], [size], num_classes)
    if loaded is not None and outputs:
        return f" {loaded.scripts}" * bool(loaded.scripts) + " --replace-head" * (outputs[size] != num_classes)
    fits = _what_fits(bare, num_classes, channels, *size)
    return "" if fits is None else f" {fits.options}"


def _is_built_for_a_size(network: nn.Module) -> bool:
    """Does the network's class take the size of its images?"""
    taken = takes(type(network))
    return taken is not None and bool(size_names(taken))


def _plain(choice: ModelChoice, num_classes: int, channels: int, size: tuple[int, int]) -> LoadedModel | None:
    """Build the network for images of a size, without weights; None where it cannot be built for them."""
    try:
        with unscripted():
            unfetched = dataclasses.replace(choice, pretrained=False)
            loaded = load_model(unfetched, num_classes=num_classes, channels=channels, size=size)
        tame(loaded.network)
    except HardenerError:
        return None
    return loaded


def _outputs(
    network: nn.Module, channels: int, sizes: Sequence[tuple[int, int]], num_classes: int
) -> dict[tuple[int, int], int]:
    """Return how many logits a network gives for images of the sizes that it takes."""
    found: dict[tuple[int, int], int] = {}
    for height, width in sizes:
        _laid_out(network, channels, height, width)
        with contextlib.suppress(HardenerError):
            found[height, width] = count_outputs(
                network, channels=channels, height=height, width=width, num_classes=num_classes
            )
    return found


def _fault_of(network: nn.Module, channels: int, size: tuple[int, int], num_classes: int) -> str:
    """Say why a network cannot be trained on images of a size that it takes."""
    try:
        _asked(network, channels, *size, num_classes)
    except HardenerError as error:
        return f"{error}"
    return ""


def _advice(
    choice: ModelChoice,
    loaded: LoadedModel,
    count: int,
    fits: Mapping[tuple[int, int], int],
    channels: Sequence[int],
    size: tuple[int, int],
    num_classes: int,
) -> _Fits | None:
    fits = {size: outputs for size, outputs in fits.items() if outputs == num_classes} or fits  # more: several of each
    flags = []
    if count not in channels:
        flags.append(f"--set data.channels={count}")
    chosen = size if size in fits else _nearest([side for side, _ in fits], size)
    if chosen != size:
        flags.append(f"--image-size {chosen[0]}")
    if not flags:
        return None
    found_by_looking = chosen != size and loaded.entry is not None and not choice.entry and ":" not in choice.spec
    if found_by_looking and _plain(choice, num_classes, count, chosen) is None:  # on such images others fit as well
        flags.insert(0, f"--entry {loaded.entry}")
    flags += [loaded.scripts] if loaded.scripts else []
    if fits[chosen] != num_classes and choice.offers_head:
        flags.append("--replace-head")
    sizes = ", ".join(f"{height} x {width}" for height, width in fits)
    options = " ".join(flags)
    head = f" It has {fits[chosen]} outputs, and the data has {num_classes} classes." * ("--replace-head" in flags)
    taken = f"It takes images of {count} channel{'s' if count > 1 else ''} and {sizes}."
    if fault := _fault_of(loaded.network, count, chosen, num_classes):
        return _Fits(f"{taken} But there {fault}", "")
    text = f"{taken}{head} Pass {options}."
    return _Fits(text, options)


def _nearest(sides: Sequence[int], size: tuple[int, int]) -> tuple[int, int]:
    """Choose among sizes that a network takes: 224 where it is one, else the smallest that loses no pixel."""
    larger = [side for side in sides if side >= max(size)]
    chosen = 224 if 224 in sides and max(size) < 224 else min(larger) if larger else max(sides)
    return chosen, chosen


def fit_head(
    built: Built,
    num_classes: int,
    *,
    replace: bool,
    heads: Sequence[str] | None = None,
    start: Start | None = None,
) -> tuple[Built, str | None, Loaded]:
    """Load the weights of `start` into a network and give it the right number of outputs.

    What gives features and no scores of classes gets a linear layer behind it.

    Args:
        replace: put a fresh final layer in where the network's, or the file's, has another number of outputs.
        heads: what was replaced before, by its name; by default the layers that make the logits.
    Returns:
        The network with its head, the names of the fresh layers or None, and what came of loading weights.
    Raises:
        HardenerError: the numbers differ and `replace` is not set, or the weights do not fit.
    """
    network, outputs = built.network, built.outputs
    behind = (outputs != num_classes or bool(heads)) and gives_features(network, built.answer, heads)
    if outputs != num_classes and not replace:
        differ = f"the model has {outputs} outputs and the data has {num_classes} classes."
        if built.answer.averaged:
            differ = f"the model gives features and no scores of classes: {built.answer.averaged} for each image."
        fresh = (
            _of_fresh(num_classes, built.answer, behind=behind)
            if start is None or start.trains
            else "Evaluate it on images of its own classes, or train it on these first: hardener train MODEL --data "
            "DIR --init FILE --replace-head."
        )
        raise HardenerError(
            f"{differ} {fresh}",
            options=f"{built.loaded.scripts} --replace-head".lstrip() if start is None or start.trains else "",
        )
    if replace and behind:
        return _with_head_behind(built, num_classes, start)
    chosen = tuple(heads or built.answer.heads)
    if replace and not chosen:  # no graph tells
        chosen = (find_head(network, outputs),)
    if replace and not heads:
        images = noise(2, built.channels, built.height, built.width)
        chosen = tuple(dict.fromkeys([*chosen, *auxiliary_heads(network, outputs, images)]))
    loaded = Loaded()
    if start is not None:
        loaded = load_weights(network, start, fresh_head=chosen if replace else (), heads=chosen)
    if outputs == num_classes:
        return built, None, loaded
    replaced = replace_heads(network, outputs, num_classes, chosen)
    left = _asked(network, built.channels, built.height, built.width, num_classes).outputs
    if left != num_classes:
        raise HardenerError(
            f"with a fresh {', '.join(replaced)} the model still has {left} outputs, and the data has {num_classes} "
            "classes. Let the model file build the right number: build_model(num_classes)."
        )
    return built, ", ".join(replaced), loaded


def _of_fresh(num_classes: int, answer: Answer, *, behind: bool) -> str:
    """Say how a network gets the right number of outputs."""
    if answer.averaged:
        over = "places" if "maps" in answer.averaged else "tokens"
        return (
            f"Pass --replace-head to take their average over the {over} and put a linear layer with {num_classes} "
            "outputs behind it."
        )
    if behind:
        return (
            "No layer of it makes these: where they are features, pass --replace-head to put a linear layer with "
            f"{num_classes} outputs behind them."
        )
    return (
        f"Pass --replace-head to put a fresh final layer with {num_classes} outputs in, or let the model file build "
        "it: build_model(num_classes)."
    )


def _with_head_behind(built: Built, num_classes: int, start: Start | None) -> tuple[Built, str, Loaded]:
    """Load weights into a network that gives features, and put a linear layer behind it."""
    loaded = Loaded() if start is None else load_weights(built.network, start)
    averages = bool(built.answer.averaged)
    headed = Headed(built.network, built.outputs, num_classes, built.way, averages=averages)
    answer = Answer(built.outputs, (HEAD_BEHIND,), None, (), built.answer.averaged)
    return (
        dataclasses.replace(built, loaded=dataclasses.replace(built.loaded, network=headed), answer=answer),
        HEAD_BEHIND,
        loaded,
    )
