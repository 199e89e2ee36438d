"""The bundle's facts for a person."""

from __future__ import annotations

from hardener.config.bundle import Bundle
from hardener.config.run_folder import RunRecord
from hardener.threat import ThreatModel


def model_card(bundle: Bundle, record: RunRecord) -> str:
    """Return a model card in Markdown."""
    spec, parity = bundle.input, bundle.parity
    train = record.data.splits["train"]
    lines = [
        f"# {bundle.name}",
        "",
        f"An image classifier with {len(bundle.classes)} classes, trained with the recipe `{bundle.recipe}` by "
        f"hardener {bundle.hardener_version}.",
        "",
        "## How robust it is",
        "",
    ]
    if bundle.evaluation is None:
        lines += ["It was not evaluated before it was exported: nothing is known of its robustness."]
    else:
        lines += [
            "| threat | split | images | clean accuracy | robust accuracy | 95 % interval | attacks |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for item in bundle.evaluations:
            low, high = item.interval
            lines.append(
                f"| {ThreatModel(item.norm, item.eps)} | {item.split} | {item.samples} "
                f"| {100 * item.clean_accuracy:.1f} % | {100 * item.robust_accuracy:.1f} % "
                f"| {100 * low:.1f} – {100 * high:.1f} % | {', '.join(item.attacks)} |"
            )
        lines += [
            "",
            "Robust accuracy is the worst case over the attacks named, image by image. It is an upper bound: an attack "
            "that was not run may break more images.",
        ]
    lines += [
        "",
        "## What it takes and gives",
        "",
        f"- Input `images`: uint8 (N, {spec.height}, {spec.width}, {spec.channels}), "
        f"{'RGB' if spec.channels == 3 else 'gray'}, brought to size by the rule `{spec.resize}`: scaled (bilinear, "
        "antialiased) until it covers the size, cropped at the centre. Normalisation is inside the graph.",
        "- Outputs: `logits` and `probabilities`, float32 (N, K), in this order of classes: "
        + ", ".join(f"`{name}`" for name in bundle.classes)
        + ".",
        f"- The file agrees with the trained network: largest logit difference "
        f"{parity.largest_logit_difference:.2g} on {parity.images} images, same answer on "
        f"{100 * parity.argmax_agreement:.0f} %.",
        "",
        "## Where it comes from",
        "",
        f"- Network: `{record.model.name}`, {record.model.parameters:,} parameters"
        + (f", fine-tuned from `{record.model.init}`" if record.model.init else "")
        + ".",
        f"- Data: {train.images:,} training and {record.data.splits['validation'].images:,} validation images; "
        f"fingerprint of the training images `{train.fingerprint[:16]}`.",
        f"- Training: {record.epochs_done} epochs, seed {record.seed}, {record.device}, {record.precision}, "
        f"{record.seconds:.0f} s.",
        f"- Fingerprint of the weights: `{bundle.fingerprint}`.",
        "",
    ]
    return "\n".join(lines)
