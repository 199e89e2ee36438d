"""Time and memory of training as the work grows: images, classes, resolution, parameters; one figure.

Each point is a process of its own, so that its peak memory is its own. Images: the first and the second start of a run
on generated files of 32x32 (decoded, then mapped), and one epoch of minibatches. The rest: SPROUT steps on 32 random
images, whose peak memory is read before a natural peer is built; then both take turns, and medians count.
`--largest 1000000` writes a million files; the default stops earlier. `--figure FILE` draws.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from common import Row, Stepper, begin, options, peak_resident, random_batch, ratio, seconds, show, take_turns
from input_rate import write_files
from torch import nn

from hardener.data.cache import PixelCache
from hardener.data.loader import ImageShape, load_images
from hardener.data.sources.image_folder import read_class_folders

IMAGES = (1_000, 10_000, 100_000, 1_000_000)
CLASSES = (2, 10, 100, 1_000)
SIZES = (32, 64, 128, 224)
PARAMETERS = (1, 3, 10, 30, 100)
BATCH, REPEATS = 32, 3


def convolutions(width: int, classes: int) -> nn.Module:
    """Four stages of two 3x3 convolutions, each stage twice as wide as the one before."""
    layers: list[nn.Module] = []
    inputs = 3
    for stage in range(4):
        for stride in (2, 1):
            outputs = width * 2**stage
            layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def sized(millions: int) -> nn.Module:
    """The narrowest of these networks with at least so many parameters."""
    width = 8
    while sum(p.numel() for p in convolutions(width, 10).parameters()) < millions * 1e6:
        width += 8
    return convolutions(width, 10)


def point(axis: str, value: int, device: torch.device) -> dict[str, float]:
    """Measure one point in this process."""
    if axis == "images":
        with tempfile.TemporaryDirectory() as folder:
            root = write_files(Path(folder) / "files", value, 32)
            cache = PixelCache(50, print, folder=Path(folder) / "cache")
            clocks = [time.perf_counter()]
            for _ in range(2):
                images = load_images(read_class_folders(root)[1], ImageShape(32, 32, 3), cache=cache)
                clocks.append(time.perf_counter())
            for _ in images.batches(torch.randperm(len(images)), 128):
                pass
            clocks.append(time.perf_counter())
            first, second, epoch = (b - a for a, b in itertools.pairwise(clocks))
        return {"first": first, "second": second, "epoch": epoch, "memory": _peak(device)}
    classes, size = (value if axis == "classes" else 10), (value if axis == "resolution" else 32)

    def stepper(recipe: str) -> Stepper:
        network = sized(value) if axis == "parameters" else torchvision.models.resnet18(num_classes=classes)
        return Stepper(network, recipe, device, classes=classes)

    batch = random_batch(BATCH, size, classes, device)
    sprout = stepper("sprout")
    sprout.run([batch] * 2)  # the optimiser's state comes with the first step
    memory = _peak(device)
    natural = stepper("natural")
    works = {"natural": partial(natural.run, [batch]), "sprout": partial(sprout.run, [batch])}
    times = take_turns(works, REPEATS, partial(seconds, device=device))
    return {
        "parameters": sum(p.numel() for p in sprout.exchange.training_loss.classifier.parameters()),
        "memory": memory,
        "against natural": ratio(times["sprout"], times["natural"])[0],
        **{recipe: statistics.median(taken) for recipe, taken in times.items()},
    }


def _peak(device: torch.device) -> float:
    if device.type == "cuda" and torch.cuda.max_memory_allocated(device):
        return float(torch.cuda.max_memory_allocated(device))
    return float(peak_resident())


def measure(axis: str, value: int, device: torch.device) -> dict[str, float]:
    """Measure one point in a fresh process."""
    words = [sys.executable, __file__, "--point", f"{axis}={value}", "--device", str(device)]
    found: dict[str, float] = json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)
    return found


def draw(points: dict[str, dict[int, dict[str, float]]], path: Path) -> None:
    """One panel an axis: time on the left scale, peak memory on the right one."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(points), figsize=(4.2 * len(points), 3.8), layout="constrained")
    labels = {"first": "first start", "second": "second start", "epoch": "an epoch's minibatches"}
    shown = {"images": ("first", "second", "epoch")}
    for panel, (axis, found) in zip(panels, points.items(), strict=True):
        for color, name in zip(("#1f4e79", "#3a9188", "#7a7a7a"), shown.get(axis, ("sprout", "natural")), strict=False):
            times = [row[name] for row in found.values()]
            panel.plot(list(found), times, "o-", color=color, label=labels.get(name, f"a {name} step"))
        memory = panel.twinx()
        peaks = [row["memory"] / 1e9 for row in found.values()]
        memory.plot(list(found), peaks, "s--", color="#b8500f", alpha=0.7)
        memory.set(ylabel="peak memory of the process, GB", ylim=(0, 1.3 * max(peaks)))  # below the legend
        memory.yaxis.label.set_color("#b8500f")
        units = {"parameters": "parameters, millions", "resolution": "height and width, pixels"}
        panel.set(xscale="log", yscale="log", xlabel=units.get(axis, axis), ylabel="seconds")
        low, high = panel.get_ylim()
        if high < 30 * low:  # what hardly grows must not look as if it did
            panel.set_ylim(low / 4, high * 4)
        panel.set_xticks(list(found), [f"{value:,}" for value in found], minor=False)
        panel.minorticks_off()
        panel.grid(alpha=0.25)
        panel.legend(frameon=False, loc="upper left", fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Print a row an axis, and draw."""
    parser = options(__doc__)
    parser.add_argument("--point", help="print one point, such as classes=10, as JSON and nothing else")
    parser.add_argument("--largest", type=int, default=10_000, help="number of images to go up to")
    parser.add_argument("--most", type=int, default=100, help="millions of parameters to go up to")
    parser.add_argument("--figure", type=Path, help="draw to this PNG file")
    asked = parser.parse_args()
    device = begin(asked)
    if asked.point:
        axis, _, value = asked.point.partition("=")
        print(json.dumps(point(axis, int(value), device)))
        return
    axes: dict[str, Any] = {
        "images": [value for value in IMAGES if value <= asked.largest],
        "classes": CLASSES,
        "resolution": SIZES,
        "parameters": [value for value in PARAMETERS if value <= asked.most],
    }
    if asked.quick:
        axes = {axis: values[:1] for axis, values in axes.items()}
    points = {axis: {value: measure(axis, value, device) for value in values} for axis, values in axes.items()}
    rows = []
    for axis, found in points.items():
        low, high = min(found), max(found)
        main_time = "epoch" if axis == "images" else "sprout"
        times = f"{found[low][main_time]:.3g} → {found[high][main_time]:.3g} s"
        memory = f"peak {found[low]['memory'] / 1e9:.2f} → {found[high]['memory'] / 1e9:.2f} GB"
        also = ""
        if axis == "images":
            also = f"; first start {found[high]['first']:.3g} s, second {found[high]['second']:.3g} s"
        else:
            also = f"; {found[high]['against natural']:.2f} natural steps"
        unit = " M parameters" if axis == "parameters" else f" {axis}" if axis != "resolution" else " pixels"
        rows.append(Row(f"{low:,} → {high:,}{unit}", main_time, f"{times}; {memory}{also}"))
    if asked.figure:
        draw(points, asked.figure)
    show(f"growth; steps of {BATCH} images", rows, asked, device)


if __name__ == "__main__":
    main()
