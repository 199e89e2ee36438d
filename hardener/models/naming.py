"""What MODEL names: a file, a package's folder, or a name of a module."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from hardener.errors import HardenerError

_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Named:
    """What MODEL names: a file, or an installed module, and the name in it where MODEL says that too."""

    path: Path | None
    module: str = ""
    entry: str | None = None
    root: Path | None = None


def named(spec: str, root: Path | None = None) -> Named:
    """Read MODEL: a Python file, a package's folder, or `package.module:Name` of a file below here or of what is
    installed.

    Raises:
        HardenerError: there is nothing by that name, or it is no Python.
    """
    path = Path(spec)
    module, colon, entry = spec.partition(":")
    if colon and _MODULE.fullmatch(module) and entry.isidentifier() and not path.exists():
        base = root or Path()
        file = base.joinpath(*module.split("."))
        found = next((p for p in (file.with_suffix(".py"), file / "__init__.py") if p.is_file()), None)
        if found is not None:
            return Named(found, entry=entry, root=base)
        if importlib.util.find_spec(module.partition(".")[0]) is None:
            raise HardenerError(
                f"no module {module} below {(root or Path()).resolve()}, and none is installed. Pass --root DIR, the "
                "folder that its name begins at, or name the file."
            )
        return Named(None, module, entry)
    if not path.is_file() and not (path / "__init__.py").is_file():
        holds = " It holds no __init__.py: name the file in it." if path.is_dir() else ""
        raise HardenerError(
            f"no model file {spec}.{holds} MODEL is a Python file, torchvision:NAME such as torchvision:resnet18, or "
            "timm:NAME."
        )
    if path.is_file() and path.suffix != ".py":
        raise HardenerError(
            f"{spec} is not a Python file. MODEL is the code that builds the network; weights go with --init."
        )
    return Named(path, root=root)
