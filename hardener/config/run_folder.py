"""A run is a folder that says everything: its files, and what `run.json` holds."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shlex
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hardener.config.data_findings import DataFound
from hardener.config.fault import first_fault
from hardener.config.files import read_lines_of_json, tidy, write_json, write_text, written_whole
from hardener.config.pixels import BEFORE, PixelRule
from hardener.config.reading import AS_FOUND, OtherRoots, Reading
from hardener.config.recipe import check_recipe
from hardener.config.run_lock import holder
from hardener.config.schema import Recipe
from hardener.config.yaml_file import read_yaml
from hardener.errors import HardenerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUN_SCHEMA: Literal["hardener/run/1"] = "hardener/run/1"
HEAD_BEHIND = "head_behind_features"
"""The layer that is put behind a network's features: its name in the network, and the record's `replaced_head`."""
Status = Literal["training", "interrupted", "failed", "finished"]
_PLOTTED = ("epoch", "loss", "target_mass", "clean_accuracy", "robust_accuracy")
_DEPTH = 2  # folders below `runs` that are looked through: an ablation's runs lie in its own


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class ModelRecord(_Strict):
    """Where the network came from. `file` is its copy inside the run, None for a registry's model.

    `weights` names one of several sets in `init`. `activation` stands in place of its ReLUs; `keep` leaves them.
    `arguments`: what else the network was built with. `replace_head`: a fresh final layer was asked for, whether one
    was needed (`replaced_head`) or the weights in `init` had another. `unfetched`: weights that its code fetches were
    left out. `files`: the sha256 of each file in the run's `model/`; runs of version 0.2 and before do not say.
    `outside`: that of each file elsewhere which the network is built from, by its path.
    """

    spec: str
    name: str
    file: str | None
    entry: str | None
    fingerprint: str
    parameters: int
    init: str | None
    weights: str | None = None
    pretrained: bool
    replaced_head: str | None
    activation: Literal["keep", "silu", "softplus", "gelu"] = "keep"
    arguments: dict[str, Any] = {}
    replace_head: bool = False
    unfetched: bool = False
    files: dict[str, str] = {}
    outside: dict[str, str] = {}


class SplitRecord(_Strict):
    images: int
    skipped: int
    fingerprint: str


class DataRecord(_Strict):
    """`validation_root` and `test_root`: where these splits lie, if elsewhere.

    `listings` holds, for each split, the sha256 over its file names: a change of the folder shows there.
    `reading`: how the user asked for the data to be read. `drawn`: the splits that were drawn by the seed. `found`:
    what was found before training; runs of version 0.2 and before do not say.
    """

    root: str
    validation_root: str | None
    skip_bad_images: bool
    splits: dict[str, SplitRecord]
    listings: dict[str, str]
    reading: Reading = AS_FOUND
    drawn: tuple[str, ...] = ()
    found: DataFound | None = None
    test_root: str | None = None

    def other_roots(self) -> OtherRoots:
        """Return where splits lie that are not below `root`, as `read_data_set` takes them."""
        validation, test = (None if root is None else Path(root) for root in (self.validation_root, self.test_root))
        return {"validation_root": validation, "test_root": test}


class InputRecord(_Strict):
    """Which images the network takes.

    `layout` is their order in memory; `copied`: it would change them in place; `paired`: it takes no image alone, and
    is given one twice. `pixels` is how files were read in training; runs of version 0.1 do not name it. `taught`: where
    in what the network returns in training its logits stand, where several tensors could be them. `exit`: which of
    several exits gives the logits: that to which the most parameters lead, or the first, as until version 0.2.
    """

    height: int
    width: int
    channels: Literal[1, 3]
    mean: list[float]
    std: list[float]
    layout: Literal["channels_last", "contiguous"] = "channels_last"
    copied: bool = False
    paired: bool = False
    taught: list[int | str] | None = None
    exit: Literal["first", "deepest"] = "first"
    pixels: PixelRule = BEFORE


class BestRecord(_Strict):
    """The epoch whose weights were kept; accuracies are of the validation split, `eps` is what it was trained at.

    `balanced_accuracy`: the mean over classes of the clean one, where classes differ by more than 3 times.
    `class_accuracies`: clean, in the order of the run's classes; None for one without images.
    """

    epoch: int
    score: float
    clean_accuracy: float
    robust_accuracy: float
    balanced_accuracy: float | None = None
    class_accuracies: list[float | None] = []
    eps: float | None = None


class RunRecord(_Strict):
    """`run.json`. Times are UTC; `seconds` is training time, validation included, over all its sittings.

    `processes` trained together in the last sitting; `launch` is what torchrun calls the job that they belong to.
    `ended`: why a finished run has fewer epochs than its recipe; None where it has all. `time_limit_s`: what all its
    sittings were given together, where that ended it; runs of version 0.2 and before do not say. `asks_evenly`: the
    quick attack after an epoch is asked about as many validation images of each class; older runs go on as they began.
    `recipe_sha256` is of the values in `recipe.yaml`: a run goes on with the recipe that it was begun with.
    """

    schema_name: Literal["hardener/run/1"] = Field(RUN_SCHEMA, alias="schema")
    name: str
    status: Status
    created_at: str
    seed: int
    device: str
    precision: str
    processes: int = 1
    launch: str | None = None
    classes: list[str]
    model: ModelRecord
    data: DataRecord
    input: InputRecord
    epochs_done: int = 0
    ended: Literal["patience", "time limit"] | None = None
    time_limit_s: float | None = None
    asks_evenly: bool = False
    recipe_sha256: str | None = None
    seconds: float = 0.0
    images_per_s: float | None = None
    best: BestRecord | None = None
    versions: dict[str, str] = {}
    hardware: dict[str, Any] = {}


class RunFolder:
    """The paths of a run's files, and its two descriptions."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record_file = path / "run.json"
        self.recipe_file = path / "recipe.yaml"
        self.weights = path / "model.safetensors"
        self.metrics = path / "metrics.jsonl"
        self.prints = path / "images.npz"
        self.curves = path / "train.png"
        self.train_page = path / "train.html"
        self.cropped = path / "cropped.jpg"
        self.model_files = path / "model"
        self.checkpoint = path / "checkpoint" / "last.pt"
        self.good_checkpoint = path / "checkpoint" / "good.pt"
        self.tensorboard = path / "tensorboard"
        self.evaluations = path / "eval"
        self.report = path / "report.html"
        self.requirements = path / "requirements.yaml"
        self.bundle = path / "bundle"
        self.int8_bundle = path / "bundle-int8"
        self.triton = path / "triton"

    @property
    def going_on(self) -> str:
        """The command that goes on with training, as a shell reads it."""
        return shlex.join(["hardener", "train", "--resume", str(self.path)])

    def read_record(self) -> RunRecord:
        """Read `run.json`.

        Raises:
            HardenerError: none there, or one that this version does not read.
        """
        if not self.record_file.is_file():
            raise HardenerError(f"{self.path} is no run folder: it has no run.json.")
        try:
            return RunRecord.model_validate_json(self.record_file.read_bytes())
        except ValidationError as error:
            raise HardenerError(
                f"{self.record_file} is not one that this version reads: {first_fault(error)}."
            ) from None

    def write_record(self, record: RunRecord) -> None:
        """Write `run.json` whole."""
        write_json(self.record_file, record.model_dump(by_alias=True))

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read what `metrics.jsonl` says of each epoch; a line that is damaged is passed over."""
        return [row for row in read_lines_of_json(self.metrics) if all(_is_number(row.get(key)) for key in _PLOTTED)]

    def tidy(self) -> None:
        """Clean what processes that were killed left half written."""
        tidy(self.path, self.checkpoint.parent, self.evaluations)

    def read_prints(self) -> dict[str, NDArray[np.uint8]]:
        """Return, for each split, what its images are known by again; nothing for a run that does not keep that.

        Raises:
            HardenerError: the file is damaged.
        """
        if not self.prints.is_file():
            return {}
        import numpy as np

        try:
            with self.prints.open("rb") as file, np.load(file, allow_pickle=False) as found:
                return {name: found[name] for name in found.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise HardenerError(
                f"{self.prints} is damaged ({error}). It says which images the run has seen. Remove it to go on "
                "without."
            ) from None

    def write_prints(self, prints: Mapping[str, NDArray[np.uint8]]) -> None:
        """Keep what the images of each split are known by."""
        import numpy as np

        with written_whole(self.prints) as beside, beside.open("wb") as file:
            np.savez(file, **dict(prints.items()))  # type: ignore[arg-type]

    def read_recipe(self) -> Recipe:
        """Read the resolved `recipe.yaml`."""
        if not self.recipe_file.is_file():
            raise HardenerError(f"{self.path} has no recipe.yaml.")
        return check_recipe(read_yaml(self.recipe_file), str(self.recipe_file))

    def recipe_sha256(self) -> str:
        """Return the sha256 over the values in `recipe.yaml`; comments and the order of lines do not count."""
        return hashlib.sha256(json.dumps(read_yaml(self.recipe_file), sort_keys=True, default=str).encode()).hexdigest()

    def write_recipe(self, recipe: Recipe) -> None:
        """Write the resolved `recipe.yaml`."""
        write_text(self.recipe_file, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))


def find_run(spec: str | None, runs: Path) -> RunFolder:
    """Return the run that a user names, or the newest one with trained weights.

    Args:
        spec: a run folder, or the name of one below `runs`; None for the newest.
    Raises:
        HardenerError: no such run, or none at all.
    """
    if spec is not None:
        for path in (Path(spec), runs / spec):
            if (path / "run.json").is_file():
                return RunFolder(path)
        what = "is no run folder: it has no run.json" if Path(spec).is_dir() else "does not exist"
        raise HardenerError(f"{spec} {what}. Runs are made by `hardener train`{_listed(runs)}.")
    begun: dict[datetime.datetime, RunFolder] = {}
    faults = []
    for run in runs_below(runs):
        try:
            if run.weights.is_file():
                begun[_moment(run)] = run
        except (HardenerError, OSError) as error:  # it must not hide the others
            faults.append(str(error))
    if begun:
        return begun[max(begun)]
    if faults:
        raise HardenerError(f"no run below {runs}/ can be read. The first: {faults[0]}")
    raise HardenerError(f"no trained run below {runs}/. Train one with `hardener train MODEL --data DIR`.")


def unfinished(run: RunFolder, record: RunRecord, epochs: int) -> str:
    """Return how an unfinished run is told of where its weights are used all the same."""
    by = holder(run.path)
    so_far = f"{record.epochs_done} of {epochs} epochs are done, and the weights are the best of these"
    if by is not None:
        return f"is being trained now, by {by}: {so_far}"
    if record.status == "failed":  # it would fail again
        return f"came to numbers that are not finite: {so_far}"
    return f"was not trained to its end: {so_far}. Go on with: {run.going_on}"


def runs_below(folder: Path) -> list[RunFolder]:
    """Return the runs in a folder and in folders of it, such as an ablation's; not those inside other runs."""
    found = []
    for place, folders, files in os.walk(folder, followlinks=True):
        below = Path(place)
        if "run.json" in files and below != folder:
            found.append(RunFolder(below))
        if "run.json" in files or len(below.relative_to(folder).parts) >= _DEPTH:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    return found


def now() -> str:
    """Return the time, UTC, to the microsecond, as ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat()


def _listed(runs: Path) -> str:
    names = sorted(str(run.path.relative_to(runs)) for run in runs_below(runs))
    return f"; below {runs}/ there are {', '.join(names[-5:])}" if names else ""


def _moment(run: RunFolder) -> datetime.datetime:
    """Return when a run was begun."""
    told = run.read_record().created_at
    try:
        moment = datetime.datetime.fromisoformat(told)
    except ValueError:
        raise HardenerError(f"{run.record_file} says that the run was begun at {told!r}, which is no time.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
