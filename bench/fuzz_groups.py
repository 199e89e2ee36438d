"""The groups of odd input that `fuzz.py` draws from: each a function that makes one case and runs it.

What a case takes must also hold: a recipe that is taken is written and read as the same, cached pixels that are given
out are those that were decoded.
"""

from __future__ import annotations

import datetime
import io
import json
import math
import os
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import typer
import yaml
from fuzz_bundles import bundles
from fuzz_data import DATA_SHARES
from fuzz_home import Home, unheard
from fuzz_values import NUMBERS, Draw, damaged, put_somewhere, text
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from hardener.cli.app import app
from hardener.config.fault import keys_of
from hardener.config.quantity import parse_image_size, parse_quantity
from hardener.config.recipe import check_recipe, load_recipe, recipe_files
from hardener.config.run_folder import RunFolder
from hardener.config.run_lock import holder, locked
from hardener.config.run_name import check_run_name, fitting_name
from hardener.config.schema import Recipe
from hardener.data.cache import PixelCache
from hardener.data.decode import decode_image
from hardener.data.loader import ImageShape, load_images
from hardener.errors import HardenerError
from hardener.models.checkpoints.weights import load_weights, save_weights
from hardener.reports.condition import parse_condition
from hardener.reports.training_curves import draw_curves
from hardener.statistics.paired import read_outcomes

__all__ = ["GROUPS", "Home"]

KEYS = sorted(keys_of(Recipe))


def settings(draw: Draw, home: Home) -> None:
    """`--set KEY=VALUE` on a known recipe."""
    overrides = []
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        key = draw.choice(KEYS) if draw.random() < 0.9 else draw.choice(["", ".", "a..b", "epochs.x", "données", "lr"])
        value = draw.choice(NUMBERS) if draw.random() < 0.7 else draw.uniform(-10, 300)
        overrides.append(f"{key}={value}")
    _keeps(load_recipe(draw.choice(list(recipe_files())), overrides))


def recipes(draw: Draw, home: Home) -> None:
    """A recipe file: known keys with odd values, or text that is hardly YAML."""
    file = home.file("recipe.yaml")
    if draw.random() < 0.3:
        text = draw.choice(list(recipe_files().values())).read_bytes()
        file.write_bytes(damaged(draw, text))
    else:
        fields: dict[Any, Any] = yaml.safe_load(draw.choice(list(recipe_files().values())).read_text()) or {}
        for _ in range(draw.randint(1, 4)):
            *sections, last = draw.choice(KEYS).split(".")
            place = fields
            for section in sections:
                inner = place.setdefault(section, {})
                place = inner if isinstance(inner, dict) else place
            place[last if draw.random() < 0.9 else draw.choice([1, None, True, 2.5, datetime.date(2026, 1, 1)])] = (
                draw.choice(NUMBERS)
            )
        file.write_text(yaml.dump(fields).encode("utf-8", "replace").decode())
    _keeps(load_recipe(str(file)))


def _keeps(recipe: Recipe) -> None:
    told = recipe.model_dump(mode="json")
    json.dumps(told, allow_nan=False)
    assert check_recipe(yaml.safe_load(yaml.safe_dump(told)), "again") == recipe


def quantities(draw: Draw, home: Home) -> None:
    """Numbers as people type them."""
    value = draw.choice(NUMBERS) if draw.random() < 0.5 else text(draw)
    kind = draw.randrange(3)
    if kind == 0:
        assert math.isfinite(parse_quantity(value))
    elif kind == 1:
        assert all(isinstance(size, int) and size > 0 for size in parse_image_size(value))
    else:
        parse_condition("min", f"linf-8/255={value}")


def names(draw: Draw, home: Home) -> None:
    """Names of runs: what is taken can be a folder's."""
    name = text(draw)
    offered = fitting_name(name)
    check_run_name(offered)
    check_run_name(name)
    place = home.folder / "names" / name
    place.mkdir(parents=True, exist_ok=True)
    assert place.parent == home.folder / "names"
    place.rmdir()


def outcomes(draw: Draw, home: Home) -> None:
    """The npz beside an evaluation."""
    file, count = home.file("a.npz"), draw.choice([0, 1, 4])
    columns: dict[str, Any] = {
        "path": [f"{i}.png" for i in range(count)],
        "clean": [True] * count,
        "robust": [False] * count,
    }
    for name in list(columns):
        kind = draw.random()
        if kind < 0.15:
            del columns[name]
        elif kind < 0.4:
            columns[name] = draw.choice(
                [np.float64("nan"), 3, np.zeros((count, 2)), np.array([None] * count), np.array([home.bomb()] * count),
                 np.zeros(count, "datetime64[s]"), np.zeros(count, [("a", "i4")]), np.zeros(count, complex), "text", []]
            )  # fmt: skip
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=True, **{name: np.asarray(value) for name, value in columns.items()})
    file.write_bytes(packed.getvalue() if draw.random() < 0.5 else damaged(draw, packed.getvalue()))
    found = read_outcomes(file)
    assert len(found.paths) == len(found.clean) == len(found.robust)


def records(draw: Draw, home: Home) -> None:
    """run.json, recipe.yaml, an evaluation, a bundle, an ablation: damaged, or with other values."""
    source, read = draw.choice(home.records())
    data = source.read_bytes()
    if draw.random() < 0.4:
        source = home.beside(source, damaged(draw, data))
    else:
        value = yaml.safe_load(data) if source.suffix == ".yaml" else json.loads(data)
        for _ in range(draw.randint(1, 3)):
            put_somewhere(draw, value)
        text = yaml.dump(value) if source.suffix == ".yaml" else json.dumps(value, default=str)
        source = home.beside(source, text.encode("utf-8", "replace"))
    read(source)


def metrics(draw: Draw, home: Home) -> None:
    """metrics.jsonl: what is left of it is drawn."""
    rows = [
        {
            "epoch": i,
            "loss": 1.0,
            "target_mass": 0.9,
            "clean_accuracy": 0.5,
            "robust_accuracy": 0.2,
            "rolled_back": False,
        }
        for i in range(3)
    ]
    for row in rows:
        if draw.random() < 0.5:
            put_somewhere(draw, row)
    run = RunFolder(home.folder / "metrics")
    run.path.mkdir(exist_ok=True)
    data = "".join(json.dumps(row, default=str) + "\n" for row in rows).encode("utf-8", "replace")
    run.metrics.write_bytes(data if draw.random() < 0.5 else damaged(draw, data))
    left = run.read_metrics()
    if left and draw.random() < 0.2:
        draw_curves(left, run.curves, title="r", threat="linf")


def weights(draw: Draw, home: Home) -> None:
    """--init: state dicts with odd names and tensors, and other files."""
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 2))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    file = home.file(draw.choice(["w.pt", "w.pth", "w.safetensors", "w.bin", "w"]))
    state: dict[Any, Any] = {name: torch.randn_like(value.float()).to(value.dtype) for name, value in before.items()}
    for name in list(state):
        if draw.random() < 0.15:
            state[name] = _odd_tensor(draw, state[name], home)
    if draw.random() < 0.2:
        state[draw.choice([1, None, 2.5, ("a", "b"), True, b"x", "", "\ud800", "a.b.c"])] = torch.zeros(2)
    content: Any = state
    if draw.random() < 0.4:
        nested = [
            {"state_dict": state},
            {"model": {"net": state}},
            [state],
            {"state_dict": [state]},
            {"state_dict": None},
        ]
        content = draw.choice([*nested, 7, None, {"model": state, "optimizer": {"x": home.bomb()}}, home.bomb()])
    packed = io.BytesIO()
    if draw.random() < 0.15:
        save_weights(network, file)
        packed.write(file.read_bytes())
    elif draw.random() < 0.15:
        pickle.dump(content, packed)
    else:
        torch.save(content, packed, _use_new_zipfile_serialization=draw.random() < 0.8)
    file.write_bytes(packed.getvalue() if draw.random() < 0.7 else damaged(draw, packed.getvalue()))
    try:
        load_weights(network, file)
    finally:
        now = network.state_dict()
        assert all(now[name].shape == before[name].shape and now[name].dtype == before[name].dtype for name in before)


def _odd_tensor(draw: Draw, value: torch.Tensor, home: Home) -> Any:
    flat = value.float()
    made: list[Callable[[], Any]] = [
        lambda: flat.to_sparse(),
        lambda: torch.quantize_per_tensor(flat, 0.1, 0, torch.qint8),
        lambda: flat.to(torch.complex64),
        lambda: torch.empty(value.shape, device="meta"),
        lambda: torch.full_like(flat, math.nan),
        lambda: torch.full_like(flat, math.inf),
        lambda: flat.half(),
        lambda: flat.double(),
        lambda: flat.to(torch.bfloat16),
        lambda: flat.to(torch.int64),
        lambda: flat.bool(),
        lambda: torch.randn(3, *value.shape)[1],
        lambda: flat.t() if flat.ndim == 2 else flat.flip(0) if flat.ndim else flat,
        lambda: torch.zeros(()).expand(value.shape),
        lambda: nn.Parameter(flat),
        lambda: torch.zeros(0),
        lambda: flat.tolist(),
        lambda: np.asarray(flat),
        lambda: "text",
        lambda: None,
        lambda: home.bomb(),
        lambda: torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]),
        lambda: flat.to(torch.float8_e4m3fn),
    ]
    return draw.choice(made)()


def checkpoints(draw: Draw, home: Home) -> None:
    """checkpoint/last.pt: whole files with other content, and damaged ones."""
    from hardener.training.checkpoint import load_newest

    file, data = home.file("checkpoint/last.pt"), home.checkpoint()
    if draw.random() < 0.3:
        file.write_bytes(damaged(draw, data))
    else:
        content = torch.load(io.BytesIO(data), weights_only=True)
        for _ in range(draw.randint(1, 2)):
            put_somewhere(draw, content, [*NUMBERS, torch.zeros(3), torch.zeros(()), home.bomb()])
        packed = io.BytesIO()
        torch.save(draw.choice([content, content, content, [content], None, home.bomb()]), packed)
        file.write_bytes(packed.getvalue())
    load_newest(file, home.state())


def caches(draw: Draw, home: Home) -> None:
    """A cache of decoded images whose bytes have changed: what it gives is what was decoded."""
    files, entry, truth = home.cached
    whole = entry.read_bytes()
    try:
        entry.write_bytes(damaged(draw, whole))
        found = load_images(files, ImageShape(8, 8, 1), cache=PixelCache(1.0, unheard, folder=entry.parent))
        assert torch.equal(found.take(range(len(found)))[0], truth)
    finally:
        entry.write_bytes(whole)


def images(draw: Draw, home: Home) -> None:
    """Image files of every mode and format, whole and damaged, for models of one and of three channels."""
    made = ["LAB", "HSV", "PA", "La", "RGBX", "I;16"]  # Pillow converts nothing to these
    mode = draw.choice([*made, "1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "F"])
    size = draw.choice([(1, 1), (1, 40), (40, 1), (9, 7), (33, 32)])
    kind = draw.choice(["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "AVIF"])
    noise = np.random.default_rng(draw.getrandbits(32)).integers(0, 256, (size[1], size[0], 4), np.uint8)
    packed, extras = io.BytesIO(), {}
    try:
        image = Image.new(mode, size) if mode in made else Image.fromarray(noise).convert(mode)
        if draw.random() < 0.3:
            extras = {"exif": bytes(draw.getrandbits(8) for _ in range(40)), "icc_profile": bytes(130)}
        image.save(packed, kind, **extras)
    except (OSError, ValueError, KeyError, SystemError, SyntaxError):  # a pair that Pillow does not write
        image = Image.fromarray(noise).convert("RGB")
        packed = io.BytesIO()
        image.save(packed, "PNG")
    data = packed.getvalue() if draw.random() < 0.6 else damaged(draw, packed.getvalue())
    channels, height, width = draw.choice([1, 3]), draw.choice([1, 8, 31]), draw.choice([1, 8, 17])
    found = decode_image(data, height=height, width=width, channels=channels)
    assert found.shape == (height, width, channels)


def locks(draw: Draw, home: Home) -> None:
    """A lock's file that somebody wrote into."""
    place = home.folder / "locks"
    place.mkdir(exist_ok=True)
    (place / ".lock").write_bytes(bytes(draw.getrandbits(8) for _ in range(draw.choice([0, 1, 9, 5000]))))
    assert holder(place) is None
    with locked(place, "trained", unheard):
        assert holder(place) is not None


def _options(command: str) -> list[str]:
    """Return the options of a command that take a value."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    params = group.commands[command].params
    return [
        param.opts[0] for param in params if param.opts[0].startswith("--") and not getattr(param, "is_flag", False)
    ]


def commands(draw: Draw, home: Home) -> None:
    """Whole commands with odd words, in this process."""
    known: dict[str, list[object]] = {
        "eval": [home.run.path, "--attack", "fgsm", "--samples", "2"],
        "export": [home.run.path],
        "gate": [home.run.path],
        "compare": [home.run.path, home.run.path],
        "train": [home.model, "--data", home.data, "--epochs", "1", "--out", home.folder / "out"],
        "ablate": [home.folder / "none.py", "--data", home.data],
    }
    command = draw.choice(list(known))
    words = [command, *map(str, known[command])]
    for _ in range(draw.choice([1, 1, 2])):
        option = draw.choice(_options(command))
        value = draw.choice([-1, 0, 1, 2, 3, 2**31, 2**63, 10**30, *NUMBERS]) if draw.random() < 0.8 else text(draw)
        if option in {"--epochs", "--steps", "--restarts"} and isinstance(value, int) and value > 3:
            continue  # what is asked for takes for ever
        words += [option, str(value)]
    words = [word.encode("utf-8", "replace").decode().replace("\0", "") for word in words]
    place = os.getcwd()
    os.chdir(home.folder)
    try:
        found = CliRunner().invoke(app, words)
    finally:
        os.chdir(place)
    if found.exit_code not in {0, 1, 2} or (found.exception and not isinstance(found.exception, SystemExit)):
        raise RuntimeError(f"{words}: {found.exit_code} {found.exception!r}") from found.exception
    if "should not happen" in found.stderr or "Traceback" in found.stderr:
        raise RuntimeError(f"{words}: {found.stderr}")
    if found.exit_code:
        raise HardenerError(found.stderr)


SHARES = {
    settings: 8, recipes: 4, quantities: 8, names: 6, outcomes: 8, records: 12, metrics: 6, weights: 10, checkpoints: 8,
    caches: 8, images: 16, locks: 2, commands: 4, bundles: 10, **DATA_SHARES,
}  # fmt: skip
GROUPS: dict[str, tuple[Callable[[Draw, Home], None], int]] = {
    group.__name__: (group, share) for group, share in SHARES.items()
}
