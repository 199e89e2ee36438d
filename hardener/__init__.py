"""Train an image classifier to be robust, say with evidence how robust it is, export it to ONNX and serve it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hardener.api import attack, audit, compare, dossier, evaluate, export, gate, load, train

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reads it when it is imported

__version__ = "0.2.0"
__all__ = ["attack", "audit", "compare", "dossier", "evaluate", "export", "gate", "load", "train"]


if not TYPE_CHECKING:  # a type checker must know the names, not take any

    def __getattr__(name: str) -> Any:
        """Import what the door offers when it is asked for: `import hardener` itself costs nothing."""
        if name not in __all__:
            raise AttributeError(f"module 'hardener' has no attribute {name!r}")
        try:
            import hardener.api as door
        except ModuleNotFoundError as error:
            if error.name != "hardener.api":
                raise
            said = f"hardener.{name} is not part of hardener-light, the client and the service: pip install hardener"
            raise ImportError(said) from None
        return getattr(door, name)


def __dir__() -> list[str]:
    """List the door, though nothing of it is loaded yet."""
    return [*__all__, "__version__"]
