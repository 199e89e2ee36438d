"""What kind of thing MODEL names, as far as its words and the files there tell."""

from __future__ import annotations

from pathlib import Path

CONFIG = "config.json"
HUB = "hf:"


def is_hugging_face(spec: str) -> bool:
    """Does MODEL name a network of HuggingFace: `hf:ORG/NAME`, a folder with config.json, or that file?"""
    path = Path(spec)
    if spec.startswith(HUB) or (path.name == CONFIG and path.is_file()):
        return True
    return (path / CONFIG).is_file() and not any((path / name).is_file() for name in ("__init__.py", "run.json"))
