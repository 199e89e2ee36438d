"""Data sets of the HuggingFace hub: `hf:ORG/NAME`, from the local cache, or fetched into it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from hardener.config.data_path import hub_name
from hardener.config.reading import Reading
from hardener.data.brought import Brought
from hardener.data.data_set import read_source
from hardener.errors import HardenerError

_CODE = ("*.py", "*.pkl", "*.pickle", "*.pt", "*.bin")
_SPEC = re.compile(r"(?P<name>[\w.\-]+(?:/[\w.\-]+)?)(?P<below>(?:/[\w.\-]+)*)(?:@(?P<revision>[\w.\-/]+))?")


class Hub:
    """`hf:ORG/NAME`, `hf:ORG/NAME@REVISION`, or `hf:ORG/NAME/FOLDER` for one of several data sets in it."""

    def recognises(self, root: Path) -> bool:
        """Tell whether the path begins with `hf:`."""
        return hub_name(root) is not None

    def read(self, root: Path, reading: Reading) -> Brought:
        """Return the images of each split, by the source that knows the files.

        Raises:
            HardenerError: the library is not installed, or the data set cannot be had; else see the source.
        """
        name = hub_name(root)
        found = _SPEC.fullmatch(name or "")
        if found is None:
            raise HardenerError(f"hf:{name} names no data set. Write hf:ORG/NAME, such as hf:ylecun/mnist.")
        folder = _snapshot(found["name"], found["revision"])
        place = folder / found["below"].strip("/")
        if not place.exists():
            raise HardenerError(f"hf:{found['name']} has no folder {found['below'].strip('/')}.")
        return read_source(place, reading)


def _snapshot(name: str, revision: str | None) -> Path:
    """Return the folder of a data set in the cache, fetched where it is not there; no code is taken along."""
    try:
        import huggingface_hub as hub
    except ModuleNotFoundError as error:
        if error.name != "huggingface_hub":
            raise
        raise HardenerError("data sets of the hub need huggingface_hub: pip install 'hardener[hf]'.") from None
    asked: dict[str, Any] = {"repo_type": "dataset", "revision": revision, "ignore_patterns": list(_CODE)}
    try:
        return Path(hub.snapshot_download(name, local_files_only=True, **asked))
    except Exception:  # noqa: S110 - not in the cache, or not whole; the next call says what is wrong
        pass
    try:
        return Path(hub.snapshot_download(name, **asked))
    except Exception as error:  # the library's own, of the network, or of the disk
        way = shlex.join(["hf", "download", name, "--repo-type", "dataset", "--local-dir", name.rpartition("/")[2]])
        raise HardenerError(
            f"hf:{name} is not in the cache and could not be fetched ({type(error).__name__}). Fetch it where the hub "
            f"can be reached, {way}, and pass the folder: --data {name.rpartition('/')[2]}."
        ) from None
