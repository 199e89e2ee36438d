"""The one writer of `hardener eval …`: the command that makes an evaluation again, or one like it, or a new one."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hardener.config.evaluation_record import EvaluatedAttack, Evaluation, EvaluationRequest
from hardener.config.quantity import parse_quantity
from hardener.config.reading import Reading
from hardener.config.run_folder import DataRecord, ModelRecord, RunFolder, RunRecord
from hardener.measures import MEASURES
from hardener.threat import Setting, Threat, ThreatModel, show_eps

AUDIT = "audit"
"""What the audit's own attacks broke stands among the attacks under this name."""
HERE = {"validation": "VALIDATION", "test": "TEST", "images": "IMAGES"}
"""What stands in a command for a folder that is another one on each machine; `DIR` is that of `--data`."""
_OWN_SURROGATE = "natural"
_SETTINGS = ("steps", "step_size", "queries", "random_start")


def eval_command(asked: EvaluationRequest) -> str | None:
    """Write a request as the command that asks for it.

    Returns:
        A line that a shell reads as it is meant; numbers are read back as the same ones. None where the command line
        has no words for it: a setting that has no option.
    """
    if not set(asked.settings) <= set(_SETTINGS):
        return None
    words = ["hardener", "eval", *_value(None, asked.target), *_value("--data", asked.data)]
    words += _value("--suite", asked.suite)
    words += [word for name in asked.attacks for word in ("--attack", name)]
    words += _value("--threat", asked.threat)
    words += [word for name, value in asked.ranges.items() for word in ("--set", f"{name}={_ends(value)}")]
    words += ["--norm", asked.norm] if asked.eps is not None or asked.norm != "linf" else []
    words += [] if asked.eps is None else ["--eps", exactly(asked.eps)]
    words += _setting_words(asked)
    words += _value("--surrogate", asked.surrogate)
    words += [word for section in asked.sections for word in _measure_words(section)]
    words += [word for radius in asked.radii for word in ("--radius", exactly(radius))]
    words += _value("--precision", asked.precision, but="auto")
    words += _value("--samples", asked.samples) + _value("--seed", asked.seed)
    words += _value("--batch-size", asked.batch_size, but=128) + _value("--device", asked.device, but="auto")
    words += ["--skip-bad-images"] if asked.skip_bad_images else []
    words += ([] if asked.reading is None else asked.reading.words()) + (["--dedupe"] if asked.dedupe else [])
    words += _value("--init", asked.init) + _value("--weights", asked.weights)
    words += _value("--normalize", asked.normalize) + _value("--entry", asked.entry)
    words += argument_words(asked.model_args) + _value("--root", asked.root)
    words += _value("--image-size", None if asked.image_size is None else "{}x{}".format(*asked.image_size))
    words += _value("--range", None if asked.range is None else "{!r},{!r}".format(*asked.range))
    words += ["--allow-pickle"] if asked.allow_pickle else []
    return shlex.join(words)


def _ends(value: Setting) -> str:
    return ",".join(map(repr, value)) if isinstance(value, tuple) else repr(value)


def fresh_command(target: Path, **asked: Any) -> str:
    """Write the command that evaluates a run anew; `asked` are fields of `EvaluationRequest`, no settings."""
    command = eval_command(EvaluationRequest(target=str(target), **asked))
    assert command is not None, "only settings can lack words"
    return command


def compare_command(runs: Sequence[Path]) -> str:
    """Write the command that puts runs side by side."""
    return shlex.join(["hardener", "compare", *map(str, runs)])


def export_command(run: RunFolder, *, int8: bool) -> str:
    """Write the command that exports a run."""
    return shlex.join(["hardener", "export", str(run.path), *(["--quantize", "int8"] if int8 else [])])


def gate_command(run: RunFolder, conditions: Sequence[tuple[str, str]], against: str | None = None) -> str:
    """Write the command that judges a run; `conditions` are pairs such as (min, clean=0.8)."""
    words = ["hardener", "gate", str(run.path), *(word for kind, text in conditions for word in (f"--{kind}", text))]
    return shlex.join([*words, *_value("--against", against)])


def train_command(run: RunFolder, record: RunRecord) -> str:
    """Write the command that trains a run again from what its folder keeps."""
    file = record.model.file
    model = record.model.spec if file is None else str(run.path / file)
    words = ["hardener", "train", model, *_data_words(record.data), *_network_words(record.model)]
    return shlex.join([*words, "--recipe", str(run.recipe_file), *_session_words(record)])


def train_command_anywhere(record: RunRecord) -> str:
    """Write the command that trains a run again on any machine: it names no folder of this one."""
    data, model = record.data, record.model
    named = Path(model.file).name if model.file else model.spec
    places = {"root": "DIR"} | {f"{key}_root": HERE[key] for key in HERE if getattr(data, f"{key}_root", None)}
    moved = data.model_copy(update={**places, "reading": anywhere(data.reading)})
    started = model.model_copy(update={"init": Path(model.init).name if model.init else None})
    words = ["hardener", "train", named, *_data_words(moved), *_network_words(started), "--recipe", "recipe.yaml"]
    return shlex.join([*words, *_session_words(record), "--name", record.name])


def anywhere(reading: Reading) -> Reading:
    """Return how data is read without the folder that it lay in."""
    root = None if reading.images_root is None else HERE["images"]
    return reading.model_copy(update={"images_root": root})


def _data_words(data: DataRecord) -> list[str]:
    words = ["--data", data.root, *_value("--val", data.validation_root), *_value("--test", data.test_root)]
    words += [*data.reading.words(), *(["--dedupe"] if data.reading.dedupe else [])]
    return words + (["--skip-bad-images"] if data.skip_bad_images else [])


def _network_words(model: ModelRecord) -> list[str]:
    """Write what a run's network was built with and started from."""
    words = _value("--entry", model.entry) + argument_words(model.arguments)
    words += ["--pretrained"] if model.pretrained else ["--no-pretrained"] if model.unfetched else []
    words += _value("--init", model.init) + _value("--weights", model.weights)
    return words + (["--replace-head"] if model.replaced_head or model.replace_head else [])


def _session_words(record: RunRecord) -> list[str]:
    limit = record.time_limit_s if record.ended == "time limit" else None
    return ["--seed", str(record.seed), *_value("--time-limit", None if limit is None else f"{math.ceil(limit)}s")]


def request_of(evaluation: Evaluation) -> EvaluationRequest | None:
    """Return what asks for the same evaluation again, what was left to hardener written out.

    An evaluation of version 1 or 2 does not hold what was asked; then it is what the figures tell of it. None where
    even the model is not known well enough: one from elsewhere.
    """
    if evaluation.request is not None:
        asked = evaluation.request
    elif evaluation.model.run is not None:
        asked = _told_by_figures(evaluation, evaluation.model.run)
    else:
        return None
    return asked if asked.precision != "auto" else asked.model_copy(update={"precision": _precision(evaluation)})


def alike(evaluation: Evaluation, run: Path, *, data: str | None = None) -> EvaluationRequest:
    """Return what asks that a run be attacked as another evaluation's model was.

    Args:
        data: the images, where the run's own are others.
    """
    asked = request_of(evaluation) or _told_by_figures(evaluation, str(run))
    elsewhere: dict[str, Any] = {
        **dict.fromkeys(("init", "weights", "normalize", "entry", "image_size", "root", "range")),
        "allow_pickle": False,
        "model_args": {},
    }
    rough = any(attack.settings.get("bf16") for attack in evaluation.attacks)
    precise = any("bf16" in attack.settings for attack in evaluation.attacks) and not rough
    pinned = "bfloat16" if rough else "float32" if precise else asked.precision  # never left to a stopwatch
    update = {"target": str(run), "data": data, "precision": pinned, **elsewhere}
    return asked.model_copy(update=update)


def argument_words(arguments: Mapping[str, Any]) -> list[str]:
    """Write what a network was built with as `--model-arg` reads it."""
    return [word for key, value in arguments.items() for word in ("--model-arg", f"{key}={json.dumps(value)}")]


def exactly(value: float) -> str:
    """Write a number so that the same one is read back, as `8/255` where that is exact."""
    return show_eps(value) if parse_quantity(show_eps(value)) == value else repr(value)


def _value(option: str | None, value: object, *, but: object = None) -> list[str]:
    """The words of an option, none where the value is None or the default."""
    if value is None or value == but:
        return []
    return [str(value)] if option is None else [option, str(value)]


def _setting_words(asked: EvaluationRequest) -> list[str]:
    words = []
    for key in _SETTINGS:
        value: Any = asked.settings.get(key)
        if key == "random_start" and value is not None:
            words.append("--random-start" if value else "--no-random-start")
        elif value is not None:
            words += ["--" + key.replace("_", "-"), exactly(value) if isinstance(value, float) else str(value)]
    return words + _value("--restarts", asked.restarts, but=1)


def _measure_words(section: str) -> list[str]:
    has_option = any(section == entry.option for entry in MEASURES.values())
    return [f"--{section}"] if has_option else ["--measure", section]


def _precision(evaluation: Evaluation) -> str:
    """What `auto` came to, so that no stopwatch decides again; a copy for attacks by scores is asked under it alone."""
    if any(attack.settings.get("bf16") for attack in evaluation.attacks):
        return "bfloat16"
    copied = any("asked" in attack.settings for attack in evaluation.attacks)
    chosen = any("bf16" in attack.settings for attack in evaluation.attacks)
    return "float32" if chosen and not copied else "auto"


def _told_by_figures(evaluation: Evaluation, target: str) -> EvaluationRequest:
    attacks = [attack for attack in evaluation.attacks if attack.name != AUDIT]
    suite, threat = evaluation.suite, evaluation.threat.model
    eps = threat.eps if isinstance(threat, ThreatModel) else None
    surrogates = [str(attack.settings["surrogate"]) for attack in attacks if attack.settings.get("surrogate")]
    found = {entry.option or name: entry for name, entry in MEASURES.items() if entry.field and not entry.always}
    told = {word for word, entry in found.items() if _is_told(evaluation, word)}
    return EvaluationRequest(
        target=target,
        data=evaluation.data.root,
        suite=suite,
        attacks=[] if suite is not None else list(dict.fromkeys(attack.name for attack in attacks)),
        **_threat(threat),
        settings={} if suite is not None or eps is None else _shared_settings(attacks, eps),
        restarts=1 if suite is not None else max((int(a.settings.get("restarts", 1)) for a in attacks), default=1),
        surrogate=next((name for name in surrogates if name != _OWN_SURROGATE), None),  # that one is found by itself
        sections=[word for word in found if word in told],
        samples=evaluation.samples + evaluation.data.skipped,
        seed=evaluation.seed,
        skip_bad_images=evaluation.data.skipped > 0,
    )


def _threat(threat: Threat) -> dict[str, Any]:
    if isinstance(threat, ThreatModel):
        return {"norm": threat.norm, "eps": threat.eps}
    settings = dict(threat.settings)
    return {"threat": threat.kind, "ranges": {name: settings[name] for name in threat.given}}


def _is_told(evaluation: Evaluation, word: str) -> bool:
    fields = [entry.field for name, entry in MEASURES.items() if word in {entry.option, name} and entry.field]
    return any(getattr(evaluation, field) for field in fields)


def _shared_settings(attacks: list[EvaluatedAttack], eps: float) -> dict[str, Any]:
    """The settings that all attacks share; where they differ, each had its own default."""
    shared: dict[str, Any] = {}
    for key in _SETTINGS:
        values = {attack.settings[key] for attack in attacks if key in attack.settings}
        value = values.pop() if len(values) == 1 else None
        if value is not None and not _is_default(key, value, attacks, eps):
            shared[key] = value
    return shared


def _is_default(key: str, value: Any, attacks: list[EvaluatedAttack], eps: float) -> bool:
    """Whether attacks have a value without being asked: any number of steps may be another attack's own."""
    if key == "random_start":
        return value is True
    having = [attack.settings for attack in attacks if key in attack.settings]
    return key == "step_size" and all(value == 2.5 * eps / settings.get("steps", 1) for settings in having)
