"""What every worker serves: copies of the bundles and the tokens as they were when the service last took them.

The supervisor makes the copies, checks them, and only then names them as accepted. A worker loads nothing else,
whenever it starts. So a folder that is overwritten under a running service changes nothing until a reload is accepted.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hardener.config.bundle import Bundle, bundle_files, read_bundle
from hardener.config.served import served_default, served_names, with_name
from hardener.errors import HardenerError

from .access import find_tokens
from .bundle_check import check_in_other_process
from .private_folder import make_private_folder
from .settings import ACCEPTED_VARIABLE, BUNDLES_VARIABLE, BundleSource, Settings

_CURRENT, _TOKENS = "current", "tokens"


def sources(settings: Settings) -> tuple[BundleSource, ...]:
    """Return where a worker finds its bundles: the accepted copies; without a supervisor, where the settings say."""
    if settings.accepted is None:
        return settings.bundles
    current = settings.accepted / (settings.accepted / _CURRENT).read_text(encoding="ascii")
    return tuple(BundleSource(current / str(place), source.name) for place, source in enumerate(settings.bundles))


def tokens_file(settings: Settings) -> Path | None:
    """Return where a worker finds the tokens' hashes; None: they come from no file."""
    if settings.accepted is None or settings.tokens is None:
        return settings.tokens
    return settings.accepted / _TOKENS


@dataclass(frozen=True)
class Taken:
    """What came of a reload: whether something new is accepted, and why something else is not."""

    anything: bool
    refusals: list[str]


class Acceptance:
    """Takes bundles and tokens, for the process that starts the workers."""

    def __init__(self, settings: Settings) -> None:
        """Take all that the settings name; workers that are started from now on load it.

        Raises:
            HardenerError: something cannot be served, or there is no place for the copies.
        """
        self._settings = settings
        self._round = 0
        folder = make_private_folder("accepted", [None])
        if folder is None:
            raise HardenerError("there is no folder for temporary files. Set TMPDIR to one that can be written to.")
        self.folder = folder
        self._take_tokens()
        self._take_bundles()
        os.environ[ACCEPTED_VARIABLE] = str(folder)
        # A worker that starts later takes the names from here, whatever has become of the folders.
        words = [with_name(source.name, source.path.absolute()) for source in settings.bundles]
        os.environ[BUNDLES_VARIABLE] = os.pathsep.join(words)

    def take_again(self) -> Taken:
        """Take the bundles and the tokens as they are now; what cannot be taken stays as it was."""
        parts = {"the models were not exchanged": self._take_bundles}
        if self._settings.tokens is not None:
            parts["the tokens stay as they were"] = self._take_tokens
        refusals = []
        for what, take in parts.items():
            try:
                take()
            except HardenerError as error:
                refusals.append(f"{what}: {error}")
        return Taken(len(refusals) < len(parts), refusals)

    def _take_tokens(self) -> None:
        find_tokens(self._settings.tokens, self._settings.token_hashes)
        if self._settings.tokens is None:
            return
        new = self.folder / "tokens.new"
        try:
            shutil.copyfile(self._settings.tokens, new)
            new.chmod(0o600)
        except OSError as error:
            raise self._no_copy(self._settings.tokens, error) from None
        try:
            find_tokens(new, "")
        except HardenerError as error:  # it was changed between the two looks
            raise _in_words_of_the_user(error, {new: self._settings.tokens}) from None
        new.replace(self.folder / _TOKENS)

    def _take_bundles(self) -> None:
        bundles = [(source, read_bundle(source.path)) for source in self._settings.bundles]
        names = served_names((source.name, source.path, bundle) for source, bundle in bundles)
        served_default(names, self._settings.default)
        self._round += 1
        new = self.folder / f"bundles-{self._round}"
        copies = {new / str(place): source for place, source in enumerate(self._settings.bundles)}
        try:
            self._remove_older()
            for (copy, source), (_, bundle) in zip(copies.items(), bundles, strict=True):
                self._copy(source, bundle, copy)
            check_in_other_process(copies, device=self._settings.device)
            self._name_as_current(new)
        except BaseException as error:
            shutil.rmtree(new, ignore_errors=True)
            if isinstance(error, HardenerError):
                raise _in_words_of_the_user(error, {copy: source.path for copy, source in copies.items()}) from None
            raise

    def _copy(self, source: BundleSource, bundle: Bundle, copy: Path) -> None:
        try:
            copy.mkdir(mode=0o700, parents=True)
            for name in bundle_files(source.path, bundle):
                # no hard link: what is overwritten in place there must not change here
                shutil.copyfile(source.path / name, copy / name)
        except OSError as error:
            raise self._no_copy(source.path, error) from None
        if read_bundle(copy) != bundle:
            raise HardenerError(f"{source.path} was changed while it was read. Try again when it is whole.")

    def _name_as_current(self, new: Path) -> None:
        written = self.folder / "current.new"
        try:
            written.write_text(new.name, encoding="ascii")
        except OSError as error:
            raise self._no_copy(new, error) from None
        written.replace(self.folder / _CURRENT)

    def _remove_older(self) -> None:
        """Make room: what is served stays, and a worker that starts may load it; what was served before goes."""
        current = self.folder / _CURRENT
        kept = current.read_text(encoding="ascii") if current.is_file() else None
        for folder in self.folder.glob("bundles-*"):
            if folder.name != kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _no_copy(self, what: Path, error: OSError) -> HardenerError:
        return HardenerError(
            f"{what} cannot be copied to {self.folder}: {error.strerror or error}. The service keeps a copy of what it "
            "serves, while it reloads two. Set TMPDIR to a folder with room for it."
        )


def _in_words_of_the_user(error: HardenerError, places: Mapping[Path, Path]) -> HardenerError:
    """Let a message speak of the user's own files, not of the copies."""
    told = str(error)
    for copy, own in places.items():
        told = told.replace(str(copy), str(own))
    return HardenerError(told)
