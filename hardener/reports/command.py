"""The one writer of `hardener eval …`: the command that makes an evaluation again, or one like it, or a new one."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hardener.config.evaluation_record import EvaluatedAttack, Evaluation, EvaluationRequest
from hardener.config.quantity import parse_quantity
from hardener.config.run_folder import RunFolder
from hardener.config.train_command import argument_words, value_words
from hardener.measures import MEASURES
from hardener.threat import Setting, Threat, ThreatModel, show_eps

AUDIT = "audit"
"""What the audit's own attacks broke stands among the attacks under this name."""
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
    words = ["hardener", "eval", *value_words(None, asked.target), *value_words("--data", asked.data)]
    words += value_words("--suite", asked.suite)
    words += [word for name in asked.attacks for word in ("--attack", name)]
    words += value_words("--threat", asked.threat)
    words += [word for name, value in asked.ranges.items() for word in ("--set", f"{name}={_ends(value)}")]
    words += ["--norm", asked.norm] if asked.eps is not None or asked.norm != "linf" else []
    words += [] if asked.eps is None else ["--eps", exactly(asked.eps)]
    words += _setting_words(asked)
    words += value_words("--surrogate", asked.surrogate)
    words += [word for section in asked.sections for word in _measure_words(section)]
    words += [word for radius in asked.radii for word in ("--radius", exactly(radius))]
    words += value_words("--precision", asked.precision, but="auto")
    words += value_words("--samples", asked.samples) + value_words("--seed", asked.seed)
    words += value_words("--batch-size", asked.batch_size, but=128) + value_words("--device", asked.device, but="auto")
    words += ["--skip-bad-images"] if asked.skip_bad_images else []
    words += ([] if asked.reading is None else asked.reading.words()) + (["--dedupe"] if asked.dedupe else [])
    words += value_words("--init", asked.init) + value_words("--weights", asked.weights)
    words += value_words("--normalize", asked.normalize) + value_words("--entry", asked.entry)
    words += argument_words(asked.model_args) + value_words("--root", asked.root)
    words += value_words("--image-size", None if asked.image_size is None else "{}x{}".format(*asked.image_size))
    words += value_words("--range", None if asked.range is None else "{!r},{!r}".format(*asked.range))
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
    return shlex.join([*words, *value_words("--against", against)])


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


def exactly(value: float) -> str:
    """Write a number so that the same one is read back, as `8/255` where that is exact."""
    return show_eps(value) if parse_quantity(show_eps(value)) == value else repr(value)


def _setting_words(asked: EvaluationRequest) -> list[str]:
    words = []
    for key in _SETTINGS:
        value: Any = asked.settings.get(key)
        if key == "random_start" and value is not None:
            words.append("--random-start" if value else "--no-random-start")
        elif value is not None:
            words += ["--" + key.replace("_", "-"), exactly(value) if isinstance(value, float) else str(value)]
    return words + value_words("--restarts", asked.restarts, but=1)


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
