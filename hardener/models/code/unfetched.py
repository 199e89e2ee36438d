"""Build a network without the weights that its code fetches: they are looked at no more, or loaded over anyway."""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import nn
from torch.nn.modules.module import _IncompatibleKeys

_WAIT_S = 3.0
_asked: list[list[str]] = []
"""What was asked for, in each use of `unfetched` that goes on; the innermost one last."""


class Unfetched(dict[str, Any]):
    """Stands for weights that were not fetched: it holds none, and any name may be looked up, set or left out."""

    def __missing__(self, name: str) -> Any:
        return torch.zeros(1) if "." in name else Unfetched()

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def pop(self, name: str, *otherwise: Any) -> Any:
        """Return what a name stands for."""
        return super().pop(name, self[name])


def is_unfetched() -> bool:
    """Is a network built now without the weights that its code would fetch?"""
    return bool(_asked)


def can_be_fetched(asked: Sequence[str]) -> bool:
    """Are all these weights on this machine, or does the net answer for where they lie?

    Args:
        asked: as `unfetched` yields it.
    """
    kept = Path(torch.hub.get_dir()) / "checkpoints"
    elsewhere = [what for what in asked if what.startswith("http") and not (kept / _file_of(what)).is_file()]
    return all(_answers("/".join(what.split("/")[:3])) for what in elsewhere)


@functools.cache
def _answers(host: str) -> bool:
    try:
        asked = urllib.request.Request(host, method="HEAD")  # noqa: S310 - http alone
        urllib.request.urlopen(asked, timeout=_WAIT_S).close()  # noqa: S310
    except urllib.error.HTTPError:  # it answers, if only that there is nothing at its root
        return True
    except (OSError, ValueError):
        return False
    return True


@contextlib.contextmanager
def hub_asked_twice() -> Iterator[None]:
    """Let code ask HuggingFace's hub again once where it cannot be reached, and not five times in 23 s without a word
    of use: a network is built several times. What the hub's library logs of it is not shown."""
    asks = getattr(sys.modules.get("huggingface_hub.utils._http"), "http_backoff", None)
    defaults = getattr(asks, "__kwdefaults__", None) or {}
    kept = defaults.get("max_retries")
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    if kept is None:
        yield
        return
    defaults["max_retries"] = 1
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        defaults["max_retries"] = kept
        logger.setLevel(level)


def names_of(asked: Sequence[str]) -> list[str]:
    """Return the names of weights that code asked for, each once."""
    return list(dict.fromkeys(map(_file_of, asked)))


def _file_of(what: str) -> str:
    return urlsplit(what).path.rpartition("/")[2]


def note_asked(what: str) -> None:
    """Remember weights that code asked for and did not get."""
    _asked[-1].append(what)


# These two lend their code to functions of torch and timm, so they may use nothing of this module but what they import.
def _fetch(url: Any = "weights", *_: Any, **__: Any) -> Any:
    from hardener.models.code import unfetched

    unfetched.note_asked(str(url))
    return unfetched.Unfetched()


def _load_timm(model: Any = None, *_: Any, **__: Any) -> None:
    from hardener.models.code import unfetched

    unfetched.note_asked(f"https://huggingface.co/weights of {type(model).__name__}")


@contextlib.contextmanager
def unfetched(*, uses_timm: bool = False) -> Iterator[list[str]]:
    """Let nothing be fetched by torch's hub, torchvision and timm; what would be loaded of it stays as it is built.

    The functions that fetch are changed in place, so that each name under which code has imported them, or will, is
    that of the changed one.

    Args:
        uses_timm: timm is imported now: code that runs below may import it, and then it would be too late.
    Yields:
        What was asked for meanwhile: addresses.
    """
    if uses_timm:
        with contextlib.suppress(ImportError):
            importlib.import_module("timm")
    lent: list[tuple[Any, Any]] = [(torch.hub.load_state_dict_from_url, _fetch)]
    builder = sys.modules.get("timm.models._builder")
    if builder is not None:
        lent.append((builder.load_pretrained, _load_timm))
    codes = [(function, function.__code__) for function, _ in lent]
    load = nn.Module.load_state_dict

    def load_what_there_is(self: nn.Module, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        return _IncompatibleKeys([], []) if not state_dict else load(self, state_dict, *args, **kwargs)

    _asked.append([])
    for function, stand_in in lent:
        function.__code__ = stand_in.__code__
    nn.Module.load_state_dict = load_what_there_is  # type: ignore[method-assign]
    try:
        yield _asked[-1]
    finally:
        nn.Module.load_state_dict = load  # type: ignore[method-assign]
        for function, code in codes:
            function.__code__ = code
        _asked.pop()
