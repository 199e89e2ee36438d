"""The files that a run depends on besides those that it copies."""

from __future__ import annotations

from hardener.config.bundle import sha256_of
from hardener.errors import HardenerError
from hardener.models.code.code_outside import kept_elsewhere
from hardener.models.load import LoadedModel
from hardener.progress import Reporter
from hardener.words import are

MOST_COPIED = 2_000_000_000  # bytes
_MOST_NAMED = 5


def say_what_it_reads(loaded: LoadedModel, reporter: Reporter) -> None:
    """Name the files that a run of this network depends on.

    Raises:
        HardenerError: they are too large to be copied into the run.
    """
    size = sum(path.stat().st_size for path in loaded.data)
    if size > MOST_COPIED:
        largest = max(loaded.data, key=lambda path: path.stat().st_size)
        raise HardenerError(
            f"{loaded.sources[0]} reads {size / 1e9:.1f} GB from its folder while the network is built, {largest} "
            "most of all. A run keeps a copy of what it needs to open again, and that is too much. Build the network "
            "without it, and pass weights by --init."
        )
    copied = [path.name for path in loaded.data if path not in loaded.elsewhere]
    whole = [path for path in loaded.data if path in loaded.elsewhere]
    other = [path for path in loaded.elsewhere if path not in loaded.data]
    if copied:
        reporter.say(f"the model file reads {', '.join(copied)}: copied into the run")
    if whole:
        reporter.warn(
            f"the model file reads {', '.join(map(str, whole))} by its whole path, and not the copy in the run: "
            "it opens as long as that stays there, as it is. Name it by a path from __file__ to be free of it"
        )
    if other:
        reporter.warn(
            f"the model file reads {', '.join(map(str, other))}, outside of its own folder: the run can be "
            "opened as long as that stays there. Copy it beside the model file to be free of it"
        )
    if loaded.outside:
        named = ", ".join(map(str, loaded.outside[:_MOST_NAMED])) + (" …" if len(loaded.outside) > _MOST_NAMED else "")
        reporter.warn(
            f"the network's code in {named} {are(len(loaded.outside))} not copied into the run, which opens as long as "
            "that stays there, as it is. Put it beside the model file to be free of it"
        )


def outside_files(loaded: LoadedModel) -> dict[str, str]:
    """Return the sha256 of each file that a run's network is built from and that the run does not hold, by its path."""
    return {str(path): sha256_of(path) for path in kept_elsewhere([*loaded.outside, *loaded.elsewhere])}
