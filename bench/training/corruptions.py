"""Natural training, AugMix and `sturdy` on CIFAR-10: accuracy as it is, and under the fifteen corruptions.

What is trained stands in ROWS. Each is judged on 1,000 test images as they are and on 300 of them corrupted, at all
five severities. What is done is left alone, so that the same command goes on where it was stopped:

    python bench/training/corruptions.py --cifar cifar10 --out work
    python bench/training/corruptions.py --out work --table
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

import torch
from fine_tune_recipes import shown
from ingredients import Row, data_in, judged_images, slug, stands, train

from hardener.config.run_folder import RunFolder
from hardener.measures.corruption import measure_corruptions

LONG = 30
STRONG = ("vicinity.patch_gaussian.sigma=1", "vicinity.patch_gaussian.chance=1")
ROWS = {
    "natural": Row("natural", start=None, epochs=LONG),
    "natural with AugMix": Row("natural", ("augment.augmix=true",), None, LONG),
    "sturdy": Row("sturdy", start=None, epochs=LONG),
    "sturdy, noise up to 1 on all images": Row("sturdy", STRONG, None, LONG),
    "natural, 15 epochs": Row("natural", start=None, epochs=LONG // 2),
    "sturdy, 15 epochs from natural of 15": Row("sturdy", start="natural, 15 epochs", epochs=LONG // 2),
    "sturdy, noise up to 1, 15 epochs from natural of 15": Row("sturdy", STRONG, "natural, 15 epochs", LONG // 2),
}


def judge(run: RunFolder, data: Path) -> dict[str, object]:
    """Return which test images are right, and the accuracies under each kind of corruption."""
    model, images, labels = judged_images(run, data, None)
    corrupted = measure_corruptions(model, images[:300], labels[:300], generator=torch.Generator().manual_seed(0))
    return {
        "clean": [int(one) for one in stands(model, images, labels, 0.0)],
        "corrupted": 1 - corrupted.mean_corruption_error,
        "kinds": {kind.name: [kind.family, statistics.mean(kind.accuracies)] for kind in corrupted.kinds},
    }


def table(out: Path) -> None:
    """Print a line of Markdown for each row that is judged."""
    print("| what | clean (95 %) | corruptions | noise | blur | weather | digital |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in ROWS:
        done = out / "judged" / f"{slug(name)}.json"
        if not done.exists():
            continue
        found = json.loads(done.read_text())
        families: dict[str, list[float]] = {}
        for family, accuracy in found["kinds"].values():
            families.setdefault(family, []).append(accuracy)
        shares = [100 * found["corrupted"]]
        shares += [100 * statistics.mean(families[family]) for family in ("noise", "blur", "weather", "digital")]
        clean = shown(sum(found["clean"]), len(found["clean"]))
        print(f"| {name} | {clean} | {' | '.join(f'{share:.1f}' for share in shares)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, help="an image folder with train and test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=list(ROWS), help="these rows alone, in this order")
    parser.add_argument("--table", action="store_true", help="print what is judged, and train nothing")
    asked = parser.parse_args()
    if asked.table:
        table(asked.out)
        return
    if asked.cifar is None:
        parser.error("name the images: --cifar FOLDER")
    torch.set_num_threads(1)
    data = data_in(asked.out / "data", asked.cifar)
    for name in asked.only or ROWS:
        run = train(asked, data, name, ROWS[name], watched=["validation.samples=16", "validation.select=clean"])
        done = asked.out / "judged" / f"{slug(name)}.json"
        if not done.exists():
            done.parent.mkdir(exist_ok=True)
            done.write_text(json.dumps(judge(run, data)) + "\n")


if __name__ == "__main__":
    main()
