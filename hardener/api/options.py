"""What the functions of the Python door take besides their main arguments, and what the commands make of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from hardener.config.pixels import parse_range
from hardener.config.quantity import asked_radii, parse_image_size, parse_quantity
from hardener.config.reading import AS_FOUND, Reading
from hardener.config.run_folder import RunFolder, find_run
from hardener.errors import HardenerError

if TYPE_CHECKING:
    from hardener.evaluation.plan import EvaluateRequest
    from hardener.evaluation.subject import ForeignModel
    from hardener.training.request import TrainRequest

Run = RunFolder | str | Path
"""A run: its folder, its name below `runs/`, or what `train` returned."""
RUNS = Path("runs")
_ELSEWHERE = ("init", "normalize", "range", "weights", "entry", "model_args", "root", "image_size", "allow_pickle")


class ReadingOptions(TypedDict, total=False):
    """How images are read: what training and an evaluation take alike. Its fields are told of by those two."""

    skip_bad_images: bool
    ignore: Sequence[str]
    class_depth: int | Literal["leaf"] | None
    label_from: str | None
    path_column: str | None
    label_column: str | None
    split_column: str | None
    images_root: str | Path | None
    dedupe: bool


class TrainOptions(ReadingOptions, total=False):
    """What `hardener train` takes besides model and data; see `hardener train --help`.

    Attributes:
        recipe: a name that `hardener recipes` lists, or a YAML file; `sprout` by default.
        settings: fields of the recipe, such as {"optimizer.lr": 0.01, "epochs": 10}.
        entry: the name in the model file that builds the network; looked for by default.
        model_args: what else the network is built with, such as {"width": 64}.
        root: the uppermost folder that the model file's imports are looked for in.
        init: weights to start from: a checkpoint of nearly any kind, a folder of one, or a run.
        weights: which of several sets of weights in `init`: `plain`, `ema` or a name in the file.
        pretrained: start from a registry model's published weights. False: weights that a file's code fetches are not
            fetched.
        replace_head: put a fresh final layer in where the number of classes differs.
        validation, test: what `data` may be, not divided, to use as the validation and the test split.
        name: the run's name.
        out: the folder that runs lie in.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        seed: of every random choice.
        image_size: such as 96, or (128, 96) for height and width.
        range: (low, high), the levels of 16 bit or float images that become 0 and 255.
        skip_bad_images: leave out images that cannot be read.
        ignore: patterns of files and folders of the data to pass over.
        class_depth: how many folders below the data, or below a split, the classes lie; or "leaf".
        label_from: how the name of an image's file tells its class, such as "{label}.{*}.jpg".
        path_column, label_column, split_column: of a table that names images.
        images_root: the folder that the paths in a table count from.
        dedupe: leave images of train, or nearly so, out of validation.
        time_limit_s: seconds after which the run ends with the epochs that are done; all of its epochs by default.
        rehearse: see first, in a fresh interpreter, that the run will open, train and be exported.
        allow_pickle: unpickle `init`, which runs any code that the file carries.
    """

    recipe: str
    settings: Mapping[str, object]
    entry: str | None
    model_args: Mapping[str, Any]
    root: str | Path | None
    init: str | Path | None
    weights: str | None
    pretrained: bool | None
    replace_head: bool
    validation: str | Path | None
    test: str | Path | None
    name: str | None
    out: str | Path
    device: str
    seed: int
    image_size: int | str | tuple[int, int] | None
    range: str | tuple[float, float] | None
    time_limit_s: float | None
    rehearse: bool
    allow_pickle: bool


class EvaluateOptions(ReadingOptions, total=False):
    """What `hardener eval` takes; see `hardener eval --help`.

    Attributes:
        attacks: names that `hardener attacks` lists; not together with `suite`.
        suite: `fast` (the default), `quick`, `standard` or `full`.
        norm: `linf` (the default), `l2` or `l1`.
        eps: the radius, a number or a text such as "8/255"; the norm's own by default.
        threat: one without a norm instead, such as `spatial`.
        ranges: of that threat, such as {"rotation": (-15, 15)}; its own by default.
        settings: of the attacks, such as {"steps": 50}.
        restarts: how often attacks with a random start are repeated.
        measures: what is measured besides, such as "corruptions" or "certify".
        radii: to certify at, in l2, each a number or a text; they ask for "certify".
        samples: images, drawn by the seed; at most all there are.
        batch_size: images at once.
        device: `auto`, `cpu`, `cuda` or `cuda:N`; a module in memory stays where it is by default.
        seed: of every random choice.
        precision: of the attacks' gradients: `auto`, `float32` or `bfloat16`.
        surrogate: a run to transfer attacks from.
        skip_bad_images: leave out images that cannot be read.
        ignore, class_depth, label_from, path_column, label_column, split_column, images_root: how the images are read,
            as of `TrainOptions`; as the run read its own by default.
        dedupe: leave out images that the run has seen; a run that was trained so does it by itself.
        json_file: write the record here, and a report beside it.
        init: weights of a model from elsewhere; those below are of such a model too.
        normalize: `none`, `imagenet` or "MEAN/STD"; of an ONNX file as well.
        range: levels of 16 bit or float images that become 0 and 255; of an ONNX file as well.
        weights, entry, model_args, root, allow_pickle: as of `TrainOptions`.
        image_size: as of `TrainOptions`; a run may be asked at another one than it was trained at, where its network
            takes that. Such an evaluation is not kept in the run.
    """

    attacks: Sequence[str]
    suite: str | None
    norm: str | None
    eps: float | str | None
    threat: str | None
    ranges: Mapping[str, Any]
    settings: Mapping[str, Any]
    restarts: int
    measures: Iterable[str]
    radii: Iterable[float | str]
    samples: int
    batch_size: int
    device: str
    seed: int
    precision: str
    surrogate: Run | None
    json_file: str | Path | None
    init: str | Path | None
    normalize: str | None
    range: str | tuple[float, float] | None
    weights: str | None
    entry: str | None
    model_args: Mapping[str, Any]
    root: str | Path | None
    image_size: int | str | tuple[int, int] | None
    allow_pickle: bool


def train_request(model: str | Path, data: str | Path, options: TrainOptions) -> TrainRequest:
    """Return what `hardener train` would be asked for.

    Raises:
        HardenerError: a mistake in it.
    """
    from hardener.config.recipe import new_recipe
    from hardener.training.request import TrainRequest

    given: dict[str, Any] = dict(options)
    settings = given.pop("settings", {})
    own = {f"data.{key}": given.pop(key, None) for key in ("image_size", "range")}
    own = {key: None if value is None else _written(value) for key, value in own.items()}
    recipe = new_recipe(given.pop("recipe", "sprout"), [f"{key}={_written(settings[key])}" for key in settings], own)
    given |= {f"{key}_root": given.pop(key, None) for key in ("validation", "test")}
    paths = ("init", "out", "validation_root", "test_root", "root")
    given |= {key: Path(given[key]) for key in paths if given.get(key) is not None}
    reading = _reading(given, dedupe=bool(given.pop("dedupe", False))) or AS_FOUND
    return TrainRequest(model=str(model), data=Path(data), recipe=recipe, reading=reading, **given)


def evaluate_request(options: EvaluateOptions, data: str | Path | None) -> EvaluateRequest:
    """Return what `hardener eval` would be asked for, but for the model.

    Raises:
        HardenerError: a mistake in it.
    """
    from hardener.evaluation.plan import EvaluateRequest

    given: dict[str, Any] = {key: value for key, value in options.items() if key not in _ELSEWHERE}
    eps, surrogate, json_file = (given.pop(key, None) for key in ("eps", "surrogate", "json_file"))
    size = options.get("image_size") if options.get("init") is None else None
    radii = asked_radii(given.pop("radii", None) or ())
    settings = dict(given.pop("settings", None) or {})
    if settings.get("step_size") is not None:
        settings["step_size"] = parse_quantity(settings["step_size"], "step_size")
    return EvaluateRequest(
        attacks=tuple(given.pop("attacks", ())),
        sections=frozenset([*given.pop("measures", ()), *(["certify"] if radii else [])]),
        radii=radii,
        settings=settings,
        eps=None if eps is None else parse_quantity(eps),
        surrogate=None if surrogate is None else run_of(surrogate, RUNS),
        json_file=None if json_file is None else Path(json_file),
        data=None if data is None else Path(data),
        reading=_reading(given),
        image_size=None if size is None else parse_image_size(size),
        **given,
    )


def foreign_model(target: str | Path, options: EvaluateOptions) -> ForeignModel | None:
    """Return the model from elsewhere that is to be evaluated; None where `init` names no weights of one.

    Raises:
        HardenerError: it is not said how its inputs are normalised.
    """
    from hardener.evaluation.subject import ForeignModel

    init, normalize, size, root = (options.get(key) for key in ("init", "normalize", "image_size", "root"))
    if init is None:
        return None
    if normalize is None:
        raise HardenerError(
            f"{target} was not trained here: say how its inputs are normalised, by normalize='none', 'imagenet' or "
            "'MEAN/STD' (a wrong one makes every figure wrong)."
        )
    return ForeignModel(
        str(target),
        Path(str(init)),
        str(normalize),
        entry=options.get("entry"),
        image_size=None if size is None else parse_image_size(size),
        allow_pickle=options.get("allow_pickle", False),
        model_args=options.get("model_args", {}),
        root=None if root is None else Path(str(root)),
        range=ends_of(options),
        weights=options.get("weights"),
    )


def refuse_of_files(options: EvaluateOptions, data: str | Path | None = None) -> None:
    """Refuse what says how files are read, and where they lie: a module in memory gets its images with it.

    Raises:
        HardenerError: one was given.
    """
    given = {"data": data, **{key: options.get(key) for key in ReadingOptions.__annotations__}}
    for key, value in given.items():
        if value:
            raise HardenerError(f"{key} is for images in files; a module in memory is asked about the images given.")


def refuse_strays(options: EvaluateOptions, target: str, known: tuple[str, ...] = ()) -> None:
    """Refuse options that only a model from elsewhere needs.

    Raises:
        HardenerError: one was given.
    """
    for key in _ELSEWHERE:
        if options.get(key) is not None and key not in known:
            raise HardenerError(
                f"{key} is for a model from elsewhere, which init names the weights of; not for {target}."
            )


def ends_of(options: EvaluateOptions) -> tuple[float, float] | None:
    """Return the levels that become black and white, where they were named."""
    asked = options.get("range")
    return None if asked is None else parse_range(asked)


def run_of(run: Run, runs: str | Path) -> RunFolder:
    """Return the folder of a run."""
    return run if isinstance(run, RunFolder) else find_run(str(run), Path(runs))


def _reading(given: dict[str, Any], *, dedupe: bool = False) -> Reading | None:
    """Take out how data is to be read; None where nothing says so."""
    asked = {key: given.pop(key) for key in Reading.model_fields if key in given and key != "dedupe"}
    ignore, depth, root = asked.get("ignore", ()), asked.get("class_depth"), asked.get("images_root")
    if isinstance(ignore, str):
        raise HardenerError(f"ignore takes a list of patterns, such as [{ignore!r}]; got {ignore!r}.")
    if not (depth is None or depth == "leaf" or (isinstance(depth, int) and depth > 0)):
        raise HardenerError(f"class_depth takes a number from 1 on, or 'leaf'; got {depth!r}.")
    if root is not None and not Path(root).is_dir():
        raise HardenerError(f"images_root takes a folder; there is none at {root}.")
    told = {"ignore": tuple(ignore), "images_root": None if root is None else str(Path(root).resolve())}
    reading = Reading(**(asked | told), dedupe=dedupe)
    return None if reading == AS_FOUND else reading


def _written(value: object) -> str:
    """Write a value as `--set` reads it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)
