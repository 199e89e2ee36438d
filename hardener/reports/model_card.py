"""The bundle's facts for a person: what a model is, how robust, how that is known, and what is not known."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from hardener.config.bundle import Bundle, OfflineRobustness, Quantization
from hardener.config.data_findings import SEEN, DataFound
from hardener.config.evaluation_record import Evaluation
from hardener.config.kept_eps import told_eps
from hardener.config.pixels import Fit, PixelRule
from hardener.config.run_folder import HEAD_BEHIND, RunRecord
from hardener.config.schema import Recipe
from hardener.config.train_command import anywhere, train_command_anywhere
from hardener.reports._card_measures import beyond_attacks
from hardener.reports._card_recipe import recipe_lines
from hardener.reports._card_threats import changed_table, lowest_changed
from hardener.reports._markdown import cell, text
from hardener.reports.attack_lists import settings_in_words
from hardener.reports.by_class import classes_of
from hardener.reports.command import AUDIT, eval_command, request_of
from hardener.reports.ended import ended_early, not_repeated
from hardener.reports.own_images import other_data, under
from hardener.threat import ThreatModel, norm_rank, show_eps
from hardener.words import ends, percent

_FITS: dict[Fit, str] = {
    "crop": "scaled (bilinear, antialiased) until it covers the size, cropped at the centre",
    "letterbox": "scaled (bilinear, antialiased) until it fits in, bars at the sides",
    "stretch": "each side scaled on its own (bilinear, antialiased)",
}


def model_card(
    bundle: Bundle, record: RunRecord, *, recipe: Recipe | None = None, evaluations: Sequence[Evaluation] = ()
) -> str:
    """Return a model card in Markdown.

    Args:
        recipe: what the run was trained with.
        evaluations: the run's own, with all that they say beyond what the bundle carries of them.
    """
    told = {item.created_at: item for item in evaluations}
    stale = {at for at, item in told.items() if item.model.fingerprint != bundle.fingerprint}
    current = [item for item in bundle.evaluations if item.evaluated_at not in stale]
    shown = _lowest(current)
    full = [told[item.evaluated_at] for item in shown if item.evaluated_at in told]
    mine = [item for item in evaluations if item.model.fingerprint == bundle.fingerprint]
    names = other_data(mine, record.data.root)
    changed = lowest_changed(evaluations, bundle.fingerprint, names)
    parts = [
        [
            f"# {bundle.name}",
            "",
            f"An image classifier with {len(bundle.classes)} classes, trained with the recipe `{bundle.recipe}` by "
            f"hardener {bundle.hardener_version}. This card was written on {bundle.created_at[:10]}.",
        ],
        _intended_use(bundle),
        _robustness(shown, told, of=len(current), stale=len(stale), changed=bool(changed)),
        changed_table(changed, names),
        _attacks([*full, *changed], names),
        classes_of([*full, *changed], names),
        beyond_attacks(evaluations, bundle.fingerprint, names) if evaluations else [],
        _quantized(bundle.quantization),
        _input_and_output(bundle, record),
        _training(bundle, record, recipe),
        _images(record.data.found, full, names),
        _limits(shown, full),
        _repeat(bundle, record, [*full, *changed], names),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _lowest(evaluations: Sequence[OfflineRobustness]) -> list[OfflineRobustness]:
    """For each threat model, split and data the evaluation with the lowest robust accuracy, of images that the run has
    not seen where there is one; the run's own images first, and wider balls first."""
    chosen: dict[tuple[str, str, str, str], OfflineRobustness] = {}
    for item in sorted(evaluations, key=lambda item: (SEEN in item.flags, item.robust_accuracy)):
        chosen.setdefault((item.norm, show_eps(item.eps), item.split, item.data or ""), item)
    return sorted(
        chosen.values(),
        key=lambda item: (item.data is not None, norm_rank(item.norm), -item.eps, item.split, item.data or ""),
    )


def _intended_use(bundle: Bundle) -> list[str]:
    return [
        "## Intended use",
        "",
        "**To be written by the owner**, who alone can know it: what the model decides and for whom, on which images, "
        "who checks its answers, what a wrong one costs, and what it must not be used for.",
        "",
        f"It answers every image with one of {len(bundle.classes)} classes, also an image of something else: "
        + ", ".join(_code(name) for name in bundle.classes)
        + ".",
    ]


def _robustness(
    shown: Sequence[OfflineRobustness], told: dict[str, Evaluation], *, of: int, stale: int, changed: bool
) -> list[str]:
    lines = ["## How robust it is", ""]
    if not shown:
        lines.append(
            "It was not evaluated under a norm before it was exported. How it did under what was asked stands below."
            if changed
            else "It was not evaluated before it was exported: nothing is known of its robustness."
        )
        return [*lines, f"Evaluations of other weights, left out: {stale}."] if stale else lines
    for item in shown:
        full = told.get(item.evaluated_at)
        if full is not None:
            lines += [f"**{_threat(item)}, {_split(item)}: {full.verdict}.** {text(full.reason)}", ""]
    lines += [
        "| threat | split | images | clean accuracy | robust accuracy, worst case | attacks |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for item in shown:
        full = told.get(item.evaluated_at)
        clean = f"{percent(item.clean_accuracy)}{'' if full is None else ' ' + ends(full.clean_interval)}"
        names = ", ".join(dict.fromkeys(_attack_name(name) for name in item.attacks))
        lines.append(
            f"| {_threat(item)} | {item.split if item.data is None else cell(_split(item))} | {item.samples} | {clean} "
            f"| {percent(item.robust_accuracy)} {ends(item.interval)} | {names} |"
        )
    lines += [
        "",
        "In brackets: the exact 95 % interval. Robust accuracy is the worst case over the attacks named, image by "
        "image. It is an upper bound: an attack that was not run may break more images.",
    ]
    if of > len(shown):
        lines.append(f"Of {of} evaluations, the lowest robust accuracy for each threat model and split is shown.")
    others = list(dict.fromkeys(text(item.data) for item in shown if item.data is not None))
    if others:
        lines.append(f"The images of {', '.join(others)} are not those that the run held out.")
    if stale:
        lines.append(f"Evaluations of other weights, left out: {stale}.")
    flags = [line for item in shown for line in _flags(item, told.get(item.evaluated_at))]
    if flags:
        lines += ["", "Flags, which make a figure less trustworthy than it looks:", "", *flags]
    elif any(item.evaluated_at in told for item in shown):
        lines += ["", "The audit raised no flag."]
    return lines


def _flags(item: OfflineRobustness, full: Evaluation | None) -> list[str]:
    where = _threat(item) + ("" if item.data is None else f" on {text(item.data)}")
    if full is None:
        return [f"- {where}, `{flag}` (docs/flags.md#{flag})" for flag in item.flags]
    return [f"- {where}, `{flag.id}`: {text(flag.message)} ({flag.page})" for flag in full.flags]


def _attacks(full: Sequence[Evaluation], names: Mapping[str, str]) -> list[str]:
    if not full:
        return []
    lines = [
        "## Attacks that were run, and not run",
        "",
        "Each goes only at images that still stand, in this order.",
        "",
        "| threat | attack | how | attacked | broken | accuracy left |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for item in full:
        for attack in item.attacks:
            settings = settings_in_words(attack)
            lines.append(
                f"| {cell(under(item, names))} | {_attack_name(attack.name)} | {cell(settings)} | {attack.attacked} "
                f"| {attack.broken} | {percent(attack.robust_accuracy)} |"
            )
    lines.append("")
    for item in full:
        missing = ", ".join(item.not_run) if item.not_run else "attacks that are not in the table"
        lines.append(f"- Not run under {text(under(item, names))}: {missing}.")
    return lines


def _quantized(cost: Quantization | None) -> list[str]:
    if cost is None:
        return []
    lines = [
        "## What int8 cost",
        "",
        f"The layers of this file are in int8, calibrated on {cost.calibration_images} training images"
        + (f"; the last layer and {cost.float32_layers} others stayed in float32" if cost.float32_layers else "")
        + f". The figures are of this file and of the float32 file of the same weights, on the same {cost.samples} "
        "images under the same attacks.",
        "",
        "| measure | images | float32 | int8 |",
        "| --- | --- | --- | --- |",
        f"| same answer as float32 | {cost.samples} | | {percent(cost.top1_agreement)} |",
        f"| clean accuracy | {cost.samples} | {percent(cost.clean_accuracy_float32)} "
        f"| {percent(cost.clean_accuracy)} |",
        f"| robust accuracy, {ThreatModel(cost.norm, cost.eps)} | {cost.samples} "
        f"| {percent(cost.robust_accuracy_float32)} | {percent(cost.robust_accuracy)} {ends(cost.interval)} |",
    ]
    if cost.certified_accuracy is not None and cost.certified_accuracy_float32 is not None:
        lines.append(
            f"| right and certified to l2 {cost.certified_radius:g}, smoothed with noise "
            f"{cost.certified_noise_sigma:g} | {cost.certified_samples} | {percent(cost.certified_accuracy_float32)} "
            f"| {percent(cost.certified_accuracy)} |"
        )
    return [
        *lines,
        "",
        "Gradient attacks followed the float32 network's gradients and counted what the file answered; `square` asked "
        "the file alone. What else was measured of the float32 network stands in its own card and need not hold here. "
        "A CPU without VNNI or its like may round sums of int8 products and answer a little differently.",
    ]


def _input_and_output(bundle: Bundle, record: RunRecord) -> list[str]:
    spec, parity = bundle.input, bundle.parity
    return [
        "## What it takes and gives",
        "",
        f"- Input `images`: uint8 ({spec.batch or 'N'}, {spec.height}, {spec.width}, {spec.channels}), "
        f"{'RGB' if spec.channels == 3 else 'gray'}, brought to size by the rule `{spec.resize}`: "
        f"{_FITS[spec.pixels.fit]}. Normalisation is inside the graph.",
        *_pixels(spec.pixels),
        *_at_once(spec.batch),
        *_paired(record),
        *_of_features(record),
        f"- Outputs: `logits` and `probabilities`, float32 ({spec.batch or 'N'}, K), in the order of classes above.",
        f"- {'The file agrees with' if bundle.quantization is None else 'Beside'} the trained network: largest logit "
        f"difference {parity.largest_logit_difference:.2g} on {parity.images} images, same answer on "
        f"{100 * parity.argmax_agreement:.0f} %.",
    ]


def _at_once(batch: int | None) -> list[str]:
    if batch is None:
        return []
    return [
        f"- It takes {batch} image{'s' if batch > 1 else ''} at once and no other number: split larger batches, fill "
        "smaller ones with any images and leave their answers out. `hardener serve`, `eval` and `predict` do so."
    ]


def _paired(record: RunRecord) -> list[str]:
    if not record.input.paired:
        return []
    return ["- The network takes no image alone: the first image of a batch goes in twice, and counts once."]


def _of_features(record: RunRecord) -> list[str]:
    if record.model.replaced_head != HEAD_BEHIND:
        return []
    return [
        "- The network by itself gives features, no scores of classes: a linear layer stands behind them, or behind "
        "their average where they are maps or tokens."
    ]


def _pixels(rule: PixelRule) -> list[str]:
    """Say what is done to pixels that are more than plain colours of 8 bits."""
    lines = []
    if rule.range is not None:
        low, high = (f"{end:.7g}" for end in rule.range)
        lines.append(f"- Images of more than 8 bits: levels from {low} to {high} become 0 to 255; others are clipped.")
    if rule.background is not None:
        lines.append(f"- Transparent pixels lie over the colour {', '.join(map(str, rule.background))} (RGB).")
    return lines + (["- Colours are converted to sRGB by the file's ICC profile."] if rule.profiles else [])


def _training(bundle: Bundle, record: RunRecord, recipe: Recipe | None) -> list[str]:
    train, validation = record.data.splits["train"], record.data.splits["validation"]
    start = "pretrained weights" if record.model.pretrained else "random weights"
    if record.model.init:
        start = f"`{Path(record.model.init).name}`"
    lines = [
        "## Where it comes from",
        "",
        f"- Network: `{record.model.name}`, {record.model.parameters:,} parameters, trained from {start}.",
        f"- Data: {train.images:,} training and {validation.images:,} validation images"
        + (f", {train.skipped} unreadable ones left out" if train.skipped else "")
        + f"; fingerprint of the training images `{train.fingerprint[:16]}`.",
        f"- Training: {_epochs(record, recipe)}, seed {record.seed}, {record.device}, {record.precision}, "
        f"{record.seconds:.0f} s.",
    ]
    if recipe is not None:
        lines += recipe_lines(recipe)
    if record.best is not None:
        eps = "" if recipe is None else told_eps(record.best, recipe)
        lines.append(
            f"- The weights are those of epoch {record.best.epoch}{eps}, chosen on the validation split alone "
            f"(clean {percent(record.best.clean_accuracy)}"
            + ("" if record.best.balanced_accuracy is None else f", balanced {percent(record.best.balanced_accuracy)}")
            + f", quick attack {percent(record.best.robust_accuracy)})."
        )
    return [*lines, f"- Fingerprint of the weights: `{bundle.fingerprint}`."]


def _epochs(record: RunRecord, recipe: Recipe | None) -> str:
    """Say how many epochs a run has, and why it has fewer than were due."""
    why = ended_early(record)
    due = f" of {recipe.epochs}" if why and recipe is not None else ""
    return f"{record.epochs_done}{due} epochs{f' ({why})' if why else ''}"


def _images(found: DataFound | None, full: Sequence[Evaluation], names: Mapping[str, str]) -> list[str]:
    """Say what was found in the images of the training, and in those of each evaluation."""
    facts = [("training", found), *((f"evaluation, {under(item, names)}", item.data.found) for item in full)]
    lines = [
        f"| {cell(title)} | {cell(name)} | {cell(words)} |"
        for title, known in facts
        if known is not None
        for name, words in known.rows()
    ]
    return ["## Its images", "", "| images of the | what | found |", "| --- | --- | --- |", *lines] if lines else []


def _limits(shown: Sequence[OfflineRobustness], full: Sequence[Evaluation]) -> list[str]:
    lines = [
        "## Limits",
        "",
        "- Every accuracy is of images like those evaluated. Other cameras, places or classes were not tested.",
        "- A robust accuracy holds for its threat model alone: a wider ball, or a change that is no small one, may do "
        "more. It is no guarantee.",
    ]
    if any(item.split == "validation" for item in shown):
        lines.append("- Figures of the validation split are a little high: it also chose the epoch that was kept.")
    if any(item.split == "all" for item in shown):
        lines.append("- Nothing shows that the model was not trained on images of the split `all`.")
    skipped = max((item.data.skipped for item in full), default=0)
    if skipped:
        lines.append(f"- {skipped} images could not be read and were left out of an evaluation.")
    if any(item.verdict == "inconclusive" for item in full):
        lines.append("- A figure whose verdict is inconclusive proves nothing: the true one may be far lower.")
    return lines


def _repeat(bundle: Bundle, record: RunRecord, full: Sequence[Evaluation], names: Mapping[str, str]) -> list[str]:
    train, why = train_command_anywhere(record), not_repeated(record)
    places = [
        *(["`VALIDATION` that of its validation split"] if record.data.validation_root else []),
        *(["`TEST` that of its test split"] if record.data.test_root else []),
        *(["`IMAGES` the one that paths in the table count from"] if record.data.reading.images_root else []),
        "`recipe.yaml` and the model file are those of the run",
    ]
    others = any(item.data.own is False for item in full)
    lines = [
        "## How to repeat it",
        "",
        f"`DIR` is the folder of images, {', '.join(places)}.{f' {why}' if why else ''}"
        + " Another name after `--data` is that of other data." * others,
        "",
        f"    {train}",
    ]
    lines += [f"    {words}" for item in full if (words := _eval_words(bundle, item, names)) is not None]
    lines += (
        []
        if bundle.quantization is None
        else [f"    {shlex.join(['hardener', 'export', record.name, '--quantize', 'int8'])}"]
    )
    made = dict.fromkeys(f"{name} {version}" for item in full for name, version in item.versions.items())
    return [*lines, "", f"Evaluated with {', '.join(made)}."] if made else lines


def _eval_words(bundle: Bundle, item: Evaluation, names: Mapping[str, str]) -> str | None:
    """The command that makes an evaluation again, on any machine: it names no folder of this one."""
    asked = request_of(item)
    if asked is None:
        return None
    surrogate = None if asked.surrogate is None else Path(asked.surrogate).name
    data = "DIR" if item.data.own is not False else names.get(item.created_at, "DIR")
    reading = None if asked.reading is None else anywhere(asked.reading)
    here = {"target": bundle.name, "data": data, "surrogate": surrogate, "device": "auto", "reading": reading}
    return eval_command(asked.model_copy(update=here))


def _threat(item: OfflineRobustness) -> str:
    return str(ThreatModel(item.norm, item.eps))


def _split(item: OfflineRobustness) -> str:
    return f"{item.split} split" if item.data is None else f"{item.split} split of {text(item.data)}"


def _attack_name(name: str) -> str:
    return "the audit's own attacks" if name == AUDIT else name


def _code(name: str) -> str:
    """Inline code that holds whatever a class is called."""
    return f"`` {name} ``" if "`" in name else f"`{name}`"
