"""Networks that are derived from an older timm's, as that ran them."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from hardener.models.code.source_code import is_network_class

_BLOCKS = "timm.models.vision_transformer"
_DROPPED = b"qk_scale"


def run_as_written(modules: Iterable[ModuleType]) -> list[str]:
    """Let classes that bring a `forward_features` of their own, which does not take what timm hands it now, such as
    `attn_mask`, answer as in timm up to 0.5: by their `head` after it. From 0.6 on `forward_head` lies between, for
    features that are not pooled.

    Returns:
        Their names.
    """
    own = {module.__name__ for module in modules}
    classes = [one for module in modules for one in vars(module).values() if is_network_class(one)]
    older = [one for one in dict.fromkeys(classes) if one.__module__ in own and _is_older(one)]
    for kind in older:
        kind.forward = _forward
    return [kind.__name__ for kind in older]


@contextlib.contextmanager
def older_blocks(file: Path) -> Iterator[None]:
    """Let timm's blocks and attention take `qk_scale=None`, where a file says it: they no longer have it."""
    kinds: list[Any] = []
    with contextlib.suppress(OSError, ImportError):
        if _DROPPED in file.read_bytes():
            module = importlib.import_module(_BLOCKS)
            kinds = [module.Block, module.Attention]
    before = [kind.__init__ for kind in kinds]
    for kind in kinds:
        kind.__init__ = _without_scale(kind.__init__)
    try:
        yield
    finally:
        for kind, init in zip(kinds, before, strict=True):
            kind.__init__ = init


def _is_older(kind: Any) -> bool:
    """Is a class's `forward` timm's own, and its `forward_features` not able to take what that hands it?"""
    base = next((one for one in kind.__mro__ if one.__module__.startswith("timm.")), None)
    if base is None or kind.forward is not base.forward or not hasattr(base, "forward_features"):
        return False
    taken, handed = (inspect.signature(one.forward_features).parameters for one in (kind, base))
    anything = any(one.kind is one.VAR_KEYWORD for one in taken.values())
    return not anything and bool(set(handed) - set(taken) - {next(iter(handed), ""), *list(handed)[1:2]})


def _forward(self: Any, x: Any) -> Any:
    features = self.forward_features(x)
    return self.head(features) if features.ndim == 2 else self.forward_head(features)


def _without_scale(init: Callable[..., None]) -> Callable[..., None]:
    def initialized(self: Any, *values: Any, qk_scale: Any = None, **options: Any) -> None:
        more = {} if qk_scale is None else {"qk_scale": qk_scale}
        init(self, *values, **options, **more)

    return initialized
