"""The main job from end to end on the Digits data set, with the same commands that a user types.

Writes an image folder, trains a natural and a SPROUT model, attacks both with PGD, exports and serves the SPROUT
model, sends it one image, and says which files to open.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from digits import write_digits
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
EPS = "0.1"  # the images are 8x8 with strokes of full contrast: 8/255 would hardly be seen in the figures
RECIPES = ("natural", "sprout")
console = Console(highlight=False)


def main(root: Path) -> None:
    """Run every step below `root`."""
    started = time.monotonic()
    data, runs = root / "digits", root / "runs"
    stamp = time.strftime("%H%M%S")
    if not data.is_dir():
        console.print(f"[bold]Digits[/]: {write_digits(data)} images as an image folder in {data}")
    for recipe in RECIPES:
        hardener(
            "train", str(HERE / "small_cnn.py"), "--data", str(data), "--recipe", recipe, "--epochs", "20",
            "--set", f"validation.eps={EPS}", "--out", str(runs), "--name", f"{recipe}-{stamp}",
        )  # fmt: skip
    results = {}
    for recipe in RECIPES:
        run = runs / f"{recipe}-{stamp}"
        file = root / f"{recipe}.json"
        hardener("eval", str(run), "--attack", "pgd", "--restarts", "2", "--eps", EPS, "--json", str(file))
        results[recipe] = json.loads(file.read_text())
    chosen = runs / f"sprout-{stamp}"
    hardener("export", str(chosen))
    with np.load(root / "sprout.npz") as evaluated:  # none of these was trained on
        image = data / str(evaluated["path"][evaluated["label"] == 3][0])
    answer = serve_and_ask(chosen, image)
    show_answer(answer, image)
    show_table(results)
    console.print(f"\nDone in {time.monotonic() - started:.0f} s. Open these:")
    for file, what in (
        (chosen / "report.html", "how robust the model is, as a page"),
        (chosen / "train.png", "what happened during training"),
        (chosen / "bundle" / "model_card.md", "the model's facts for whoever receives it"),
        (chosen / "bundle" / "model.onnx", "the model itself"),
    ):
        console.print(f"  {file}  [dim]{what}[/]", soft_wrap=True)


def hardener(*words: str) -> None:
    """Run a command of hardener's, shown as it would be typed; a failure ends the demo."""
    console.print(f"\n[bold green]$[/] [bold]{shlex.join(['hardener', *words])}[/]", soft_wrap=True)
    code = subprocess.run([sys.executable, "-m", "hardener", *words], check=False).returncode
    if code:
        sys.exit(code)


def serve_and_ask(run: Path, image: Path) -> dict[str, Any]:
    """Start the real server on a free port, send it one image, stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    console.print(f"\n[bold green]$[/] [bold]hardener serve {run} --port {port}[/]", soft_wrap=True)
    log = run.parent.parent / "serve.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "hardener", "serve", str(run), "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_ready(url, server, log)
        console.print(f"[bold green]$[/] [bold]curl -F image=@{image} '{url}/predict?report=true'[/]", soft_wrap=True)
        with image.open("rb") as file:
            response = httpx.post(f"{url}/predict", params={"report": "true"}, files={"image": file}, timeout=60)
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=30)
        console.print(f"server stopped, its log is {log}")


def wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Poll /readyz; a server that ends or takes more than a minute ends the demo with its log."""
    for _ in range(240):
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    sys.exit(f"the server did not become ready:\n{log.read_text()}")


def show_answer(answer: dict[str, Any], image: Path) -> None:
    """Print the answer and its report in a few lines."""
    report = answer["report"]
    console.print(f"\n[bold]{image}[/] is a [bold]{answer['label']}[/], confidence {100 * answer['confidence']:.1f} %")
    table = Table(title="its robustness report", title_justify="left")
    for heading in ("changed by", "variants", "same answer", "worst case"):
        table.add_column(heading)
    for name, part in report["stability"].items():
        if not part.get("variants"):
            table.add_row(name, "–", "not applicable", "")
            continue
        worst = part["worst"]
        table.add_row(
            name,
            str(part["variants"]),
            f"{100 * part['same_answer']:.0f} %",
            f"{worst['label']} at {worst['parameter']}; {answer['label']} keeps {100 * worst['confidence']:.0f} %",
        )
    console.print(table)
    certificate = report["certificate"]
    if certificate["abstained"]:
        console.print("certificate: abstained, the noisy copies do not agree enough")
    else:
        console.print(
            f"certificate: no change shorter than {certificate['radius']:.3f} (l2) alters the smoothed answer "
            f"{certificate['label']!r}; noise {certificate['noise_sigma']}, {certificate['draws']} draws, "
            f"confidence {certificate['confidence']}",
            soft_wrap=True,
        )


def show_table(results: dict[str, dict[str, Any]]) -> None:
    """Print natural against SPROUT."""
    first = next(iter(results.values()))
    table = Table(title=f"{first['samples']} test images, PGD-20 with 2 restarts, linf {EPS}", title_justify="left")
    for heading in ("recipe", "clean accuracy", "robust accuracy", "95 % interval"):
        table.add_column(heading)
    for recipe, result in results.items():
        low, high = result["interval"]
        table.add_row(
            recipe,
            f"{100 * result['clean_accuracy']:.1f} %",
            f"{100 * result['robust_accuracy']:.1f} %",
            f"{100 * low:.1f} – {100 * high:.1f} %",
        )
    console.print()
    console.print(table)
    console.print("PGD is one attack: a stronger one may lower these figures.", style="dim")


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "120")
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
