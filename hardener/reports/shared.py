"""Which evaluations of runs can stand side by side, and what to run where none can."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from hardener.config.bundle import sha256_of
from hardener.config.evaluation_record import Evaluation, read_evaluations
from hardener.config.run_folder import RunFolder
from hardener.config.train_command import train_command
from hardener.errors import HardenerError
from hardener.reports.command import alike, eval_command, fresh_command
from hardener.reports.own_images import precedence
from hardener.threat import Threat, ThreatModel

SAME_EPS = 1e-6


def current_evaluations(run: RunFolder) -> list[Evaluation]:
    """Return the evaluations of a run's present weights, newest first.

    Raises:
        HardenerError: it has none, or only some of other weights, or a file that this version does not read.
    """
    found = evaluations_of_today(run)
    if not found and read_evaluations(run.evaluations):
        raise HardenerError(
            f"the evaluations of {run.path} are of other weights than its {run.weights.name} of today. "
            f"Run `{fresh_command(run.path)}`."
        )
    if not found:
        raise HardenerError(f"{run.path} has not been evaluated. Run `{fresh_command(run.path)}`.")
    return found


def evaluations_of_today(run: RunFolder) -> list[Evaluation]:
    """Return the evaluations of a run's present weights, newest first; none where there are none.

    Where the weights are gone these are all: whoever shows them tells that by `weights_gone`, and the gate refuses.
    """
    found = read_evaluations(run.evaluations)[::-1]
    if not run.weights.is_file():
        return found
    fingerprint = sha256_of(run.weights)
    return [evaluation for evaluation in found if evaluation.model.fingerprint == fingerprint]


def weights_gone(run: RunFolder) -> str | None:
    """Say that a run's weights are gone, so that nothing tells which ones it was evaluated with; None: they are there.

    Raises:
        HardenerError: the run cannot be read.
    """
    if run.weights.is_file():
        return None
    record = run.read_record()
    if record.status != "finished":
        return f"{run.path} has no trained weights yet. Go on with `{run.going_on}`"
    return (
        f"{run.weights} is missing: nothing tells which weights were evaluated. Put the file back, or train the run "
        f"again: `{train_command(run, record)}`"
    )


def threats_of(evaluations: Sequence[Evaluation]) -> list[Threat]:
    """The threat models of evaluations: by `rank`: the wider of two balls first, as nothing may flatter."""
    found: list[Threat] = []
    for item in evaluations:
        if not any(is_under(item, known) for known in found):
            found.append(item.threat.model)
    return sorted(found, key=lambda threat: threat.rank)


def is_under(evaluation: Evaluation, threat: Threat) -> bool:
    """Say whether an evaluation was made under a threat model, of a change: with all the same ranges."""
    return is_same(evaluation.threat.model, threat)


def is_same(one: Threat, other: Threat) -> bool:
    """Say whether two threat models are one, but for how their eps was written."""
    if isinstance(one, ThreatModel) and isinstance(other, ThreatModel):
        return one.norm == other.norm and abs(one.eps - other.eps) < SAME_EPS
    return one == other


def newest_alike(
    candidates: Sequence[Sequence[Evaluation]], kind: Callable[[Evaluation], Hashable | None]
) -> list[Evaluation | None]:
    """Return, for each run, its newest evaluation of one kind: the kind that most runs have, then one of images that
    they held out before other data, then the newest."""
    newest: list[dict[Hashable, Evaluation]] = []
    for evaluations in candidates:
        mine: dict[Hashable, Evaluation] = {}
        for item in evaluations:
            key = kind(item)
            if key is not None:
                mine.setdefault(key, item)
        newest.append(mine)

    def rank(key: Hashable) -> tuple[int, int, str]:
        having = [mine[key] for mine in newest if key in mine]
        return len(having), -max(map(precedence, having)), max(item.created_at for item in having)

    kinds = {key for mine in newest for key in mine}
    if not kinds:
        return [None] * len(candidates)
    best = max(kinds, key=rank)
    return [mine.get(best) for mine in newest]


def same_images(one: Evaluation, other: Evaluation) -> bool:
    """Say whether two evaluations were made on the same images."""
    return one.data.fingerprint == other.data.fingerprint and one.samples == other.samples


def command_like(run: RunFolder, like: Evaluation) -> str:
    """Return the command that evaluates a run as another evaluation was made: attacks, settings, images."""
    elsewhere = run.record_file.is_file() and Path(run.read_record().data.root) != Path(like.data.root)
    words = eval_command(alike(like, run.path, data=like.data.root if elsewhere else None))
    return fresh_command(run.path) if words is None else words


def nothing_shared(runs: Sequence[RunFolder], names: list[str], found: list[list[Evaluation]]) -> str:
    """Say why no threat model and images are shared by all runs, and what to run."""
    for threat in threats_of(found[0]):
        under = [[item for item in evaluations if is_under(item, threat)] for evaluations in found]
        if all(under):
            return f"under {threat}, {what_differs(runs, names, under)}"
    like = found[0][0]
    lacking = [
        run
        for run, mine in zip(runs, found, strict=True)
        if not any(is_under(item, like.threat.model) for item in mine)
    ]
    each = "; ".join(
        f"{name}: {', '.join(map(str, threats_of(evaluations)))}"
        for name, evaluations in zip(names, found, strict=True)
    )
    commands = "` and `".join(command_like(run, like) for run in lacking)
    return f"there is no threat model under which all runs were evaluated ({each}). Run `{commands}`."


def what_differs(runs: Sequence[RunFolder], names: list[str], under: list[list[Evaluation]]) -> str:
    """Say why the newest evaluations of one threat model are not of the same images, and what to run."""
    like = under[0][0]
    for run, name, evaluations in zip(runs[1:], names[1:], under[1:], strict=True):
        if any(same_images(like, item) for item in evaluations):
            continue
        own = evaluations[0]
        pairs = {
            "folder": (like.data.root, own.data.root),
            "split": (like.data.split, own.data.split),
            "number of images": (like.samples, own.samples),
            "seed of their choice": (like.seed, own.seed),
        }
        differing = [f"{what} ({one} and {other})" for what, (one, other) in pairs.items() if one != other]
        seeds = (runs[0].read_record().seed, run.read_record().seed)
        if seeds[0] != seeds[1] and like.data.split in {"test", "validation"}:
            differing.append(f"seed of training, which may have split the folder ({seeds[0]} and {seeds[1]})")
        what = "; ".join(differing) or "contents of the images"
        other_splits = seeds[0] != seeds[1] or like.data.root != own.data.root
        hint = " Or evaluate all on a folder that none was trained on, with --data DIR." if other_splits else ""
        return (
            f"{names[0]} and {name} were not evaluated on the same images; they differ in: {what}. "
            f"Run `{command_like(run, like)}`.{hint}"
        )
    return (
        f"no images are shared by all runs, though each shares some with {names[0]}. Run "
        f"`{'` and `'.join(command_like(run, like) for run in runs[1:])}`."
    )
