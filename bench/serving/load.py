"""How fast the service is, against a bare loop of ONNX Runtime and against others: `python bench/serving/load.py`.

Everything runs on this machine's loopback. ResNet-18 has random weights and takes 224 pixels, the upload is a JPEG of
14 kB, and servers are started as users start them. Every ratio is of figures taken in turns in one run, the load
generator (wrk, where installed, else one of our own) on the same cores as the server, and given as the median of the
rounds. `--cores 0` puts server, generator and bare loop on one core, with one lane each; without it they have all.

Rows, each by itself with `--row NAME`:
  rates     requests/s with 8 and 32 clients as a share of the bare loop (batch 8, same decoder, a lane a core),
            and against BentoML's batchable API and FastAPI with ONNX Runtime
  cpu       processor milliseconds a request with a model that costs nothing, all of the server's processes
  latency   median time of a single client's request, beyond that of the bare loop at batch 1
  priority  p99 of plain requests while two clients ask for reports, against without
  report    time of a report against its forward passes in a bare loop, batch 8, with as many lanes
  overload  three times the capacity offered: what is still answered, and how fast the rest is refused
  int8      the int8 file against the float32 file in a bare loop on one core, and how often they agree
  start     seconds from the command to ready
  memory    of a worker that serves int8
  growth    of a worker's memory over 100,000 requests
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import hammer
import numpy as np
import raw
import wrk
from hammer import Load, median
from load_bench import MIB, Bench, machine, show
from load_peers import PEERS, serve_peer
from PIL import Image
from rich.console import Console
from server_process import Server, end_on_sigterm, uss_bytes
from workload import multipart, picture, post, upload

from hardener.config.bundle import read_bundle


def rates(bench: Bench) -> None:
    """Requests/s against the bare loop and the peers."""
    goals = {"float32": ">= 0.93", "int8": ">= 0.90"}
    peer_goals = {"bentoml": ">= 1.2", "fastapi": ">= 1.1"}
    for name in ("float32", "int8"):
        with contextlib.ExitStack() as stack:
            servers: dict[str, tuple[Server, str, str]] = {}
            servers["hardener"] = (stack.enter_context(bench.serve(name)), bench.path, "image")
            for peer in bench.asked.peers:
                servers[peer] = (stack.enter_context(serve_peer(bench, peer, name)), "/predict", PEERS[peer].field)
            for server, path, part in servers.values():
                bench.load(server, 8, path=path, field=part, seconds=max(1, bench.seconds / 4))
            floors: list[raw.Floor] = []
            found: dict[tuple[str, int], list[wrk.Rate]] = {}
            for turn in bench.rounds:
                floors.append(bench.floor(name, batch=8, lanes=bench.lanes))
                names = list(servers)
                for label in names[turn % len(names) :] + names[: turn % len(names)]:
                    server, path, part = servers[label]
                    for clients in (8, 32):
                        rate = bench.load(server, clients, path=path, field=part)
                        found.setdefault((label, clients), []).append(rate)
        base = [floor.per_s for floor in floors]
        bench.add("rates", f"{name}: bare loop, batch 8, {bench.lanes} {bench.asked.raw}", median(base), "images/s")
        for (label, clients), told in found.items():
            shares = [rate.per_s / floor for rate, floor in zip(told, base, strict=True)]
            times = {"p50_ms": median([rate.p50_ms for rate in told]), "p99_ms": median([rate.p99_ms for rate in told])}
            detail = {"shares": shares, "per_s": [rate.per_s for rate in told], "bare": base, **times}
            goal = goals[name] if label == "hardener" else ""
            bench.add(
                "rates", f"{name}: {label}, {clients} clients", median(shares), "of the bare loop", goal, **detail
            )
        for label in servers:
            if label == "hardener":
                continue
            for clients in (8, 32):
                mine, theirs = found["hardener", clients], found[label, clients]
                ratios = [one.per_s / other.per_s for one, other in zip(mine, theirs, strict=True)]
                what = f"{name}: hardener against {label}, {clients} clients"
                bench.add("rates", what, median(ratios), "times", peer_goals[label], ratios=ratios)


def cpu(bench: Bench) -> None:
    """Processor time of a request."""
    bare = bench.floor("null", batch=1, lanes=1, processes=False)
    bench.add("cpu", "null model: bare loop, batch 1", bare.cpu_ms, "ms a request")
    with bench.serve("null") as server:
        bench.load(server, 8, seconds=max(1, bench.seconds / 4))
        found: dict[int, list[float]] = {8: [], 32: []}
        per_s: dict[int, list[float]] = {8: [], 32: []}
        for _ in bench.rounds:
            for clients, costs in found.items():
                before = server.cpu_s()
                rate = bench.load(server, clients)
                costs.append(1000 * (server.cpu_s() - before) / rate.requests)
                per_s[clients].append(rate.per_s)
    for clients, costs in found.items():
        detail = {"costs": costs, "per_s": per_s[clients]}
        bench.add("cpu", f"null model: {clients} clients", median(costs), "ms a request", "<= 1.2 ms", **detail)


def latency(bench: Bench) -> None:
    """A single client's wait."""
    for name in ("float32", "int8"):
        with bench.serve(name) as server:
            bench.load(server, 1, seconds=max(1, bench.seconds / 4))
            extra, bare, ours = [], [], []
            for _ in bench.rounds:
                floor = bench.floor(name, batch=1, lanes=1, processes=False)
                rate = bench.load(server, 1)
                bare.append(floor.batch_ms)
                ours.append(rate.p50_ms)
                extra.append(rate.p50_ms - floor.batch_ms)
        detail = {"extra": extra, "bare_ms": bare, "p50_ms": ours}
        bench.add(
            "latency", f"{name}: one client, p50 beyond the bare loop", median(extra), "ms", "<= 2.5 ms", **detail
        )


def priority(bench: Bench) -> None:
    """Plain requests beside reports."""
    plain = [post(bench.path, multipart(upload()))]
    reports = [post("/predict?report=true", multipart(upload()))]
    seconds = 2 * bench.seconds
    ratios, without, beside, made = [], [], [], []
    with bench.serve("int8") as server:
        hammer.run(Load(server.port, plain, connections=2, seconds=max(1, bench.seconds / 4)), bench.cores)
        for _ in bench.rounds:
            alone = hammer.run(Load(server.port, plain, connections=2, seconds=seconds), bench.cores)
            asking = hammer.start(Load(server.port, reports, connections=2, seconds=seconds + 1), bench.cores)
            try:
                time.sleep(0.5)
                both = hammer.run(Load(server.port, plain, connections=2, seconds=seconds), bench.cores)
                told = asking.result()
            finally:
                asking.stop()
            for result in (alone, both, told):
                _all_good(result, server)
            without.append(alone.ms(99))
            beside.append(both.ms(99))
            made.append(len(told.samples) / told.seconds)
            ratios.append(both.ms(99) / alone.ms(99))
    detail = {"ratios": ratios, "alone_p99_ms": without, "beside_p99_ms": beside, "reports_per_s": made}
    bench.add("priority", "int8: p99 of 2 plain clients beside 2 reports", median(ratios), "times", "<= 3", **detail)
    bench.add("priority", "int8: p99 of 2 plain clients, no reports", median(without), "ms")


def report(bench: Bench) -> None:
    """What a report costs beyond its forward passes."""
    request = [post("/predict?report=true", multipart(upload()))]
    for name in ("int8",):
        ratios, took, passes, cut = [], [], [], 0
        with bench.serve(name) as server:
            _all_good(hammer.run(Load(server.port, request, connections=1, seconds=600, count=1), bench.cores), server)
            for _ in bench.rounds:
                bare = bench.floor(name, batch=8, lanes=bench.lanes, decode=False)
                found = hammer.run(Load(server.port, request, connections=1, seconds=600, count=3, keep=3), bench.cores)
                _all_good(found, server)
                budgets = [_model_runs(json.loads(body)["report"]) for body in found.bodies]
                cut += sum(short for _, short in budgets)
                runs = statistics.mean(count for count, _ in budgets) + 1  # and the plain answer's own
                passes.append(runs)
                took.append(found.ms(50) / 1000)
                ratios.append(took[-1] / (runs / bare.per_s))
        detail = {"ratios": ratios, "seconds": took, "passes": passes, "cut_short": cut}
        what = f"{name}: report of {median(passes):.0f} passes against a bare loop, {bench.lanes} lanes each"
        bench.add("report", what, median(ratios), "times", "<= 1.3", **detail)
        bench.add("report", f"{name}: one report", median(took), "s")
        if cut:
            bench.console.print(f"  {cut} reports were cut short by their time: the ratio is not that of a whole one")


def overload(bench: Bench) -> None:
    """Three times what it can do."""
    request = [post(bench.path, multipart(upload()))]
    shares, waits, capacities, worst, statuses = [], [], [], [], dict[str, int]()
    with bench.serve("int8") as server:
        for _ in bench.rounds:
            full = hammer.run(Load(server.port, request, connections=32, seconds=bench.seconds), bench.generator_cores)
            capacity = full.per_s()
            storm = hammer.run(
                Load(server.port, request, connections=512, seconds=bench.seconds, rate=3 * capacity),
                bench.generator_cores,
            )
            capacities.append(capacity)
            offered = storm.begun_per_s(bench.seconds)
            shares.append(storm.per_s_within(bench.seconds / 4, bench.seconds) / capacity)  # the queue is full by then
            waits.append(storm.ms(99, "429", "503"))
            worst.append(storm.ms(99))
            for status, count in storm.statuses().items():
                statuses[status] = statuses.get(status, 0) + count
            bench.console.print(
                f"  capacity {capacity:.0f}/s, offered {offered:.0f}/s, not sent {storm.unsent}, "
                f"answers {storm.statuses()}, 200 within p99 {storm.ms(99):.0f} ms, refused within p50 "
                f"{storm.ms(50, '429', '503'):.1f} ms, p99 {storm.ms(99, '429', '503'):.1f} ms"
            )
    detail = {"shares": shares, "capacity": capacities, "statuses": statuses, "good_p99_ms": worst}
    bench.add("overload", "int8: share of capacity answered 200", median(shares), "", ">= 0.95", **detail)
    bench.add("overload", "int8: rejects within, p99", median(waits), "ms", "<= 100 ms", waits=waits)
    other = sum(count for status, count in statuses.items() if status not in {"200", "429", "503"})
    bench.add("overload", "int8: other than 200, 429, 503", other, "answers", "<= 0", statuses=statuses)


def int8(bench: Bench) -> None:
    """What quantisation gains and costs."""
    one = (bench.cores or "0").split(",")[0].split("-")[0]
    ratios = []
    for _ in bench.rounds:
        full, small = (bench.floor(name, batch=8, lanes=1, decode=False, cores=one) for name in ("float32", "int8"))
        ratios.append(small.per_s / full.per_s)
    bench.add("int8", "int8 against float32, one core, batch 8", median(ratios), "times", ">= 2.3", ratios=ratios)
    if bench.asked.int8 is None or bench.asked.float32 is None:
        bench.console.print(
            "  random weights put every image into the same class, so agreement takes --float32, --int8"
        )
        return
    _agreement(bench)
    told = read_bundle(bench.bundle("int8")).quantization
    if told is None:
        return
    lost = abs(told.robust_accuracy_float32 - told.robust_accuracy)
    bench.add(
        "int8", f"robust accuracy, {told.norm} {told.eps:.4f}, difference", lost, "", "<= 0.01", **told.model_dump()
    )
    if told.certified_accuracy is not None and told.certified_accuracy_float32 is not None:
        lost = abs(told.certified_accuracy_float32 - told.certified_accuracy)
        bench.add("int8", f"certified accuracy at l2 {told.certified_radius}, difference", lost, "", "<= 0.01")


def _agreement(bench: Bench) -> None:
    sessions = [raw.open_session(bench.bundle(name) / "model.onnx") for name in ("float32", "int8")]
    _, height, width, _ = sessions[0].get_inputs()[0].shape
    images = _test_images(bench.asked.images, height, width, 64 if bench.asked.quick else 1000)
    same = 0
    for start in range(0, len(images), 8):
        batch = np.stack(images[start : start + 8])
        first, second = (session.run(["logits"], {"images": batch})[0].argmax(axis=1) for session in sessions)
        same += int((first == second).sum())
    goal = ">= 0.99" if bench.asked.images else ""
    kind = "of the folder" if bench.asked.images else "drawn, like no photo"
    bench.add("int8", f"same answer on {len(images)} images {kind}", same / len(images), "", goal)


def start(bench: Bench) -> None:
    """Seconds until ready."""
    for name in ("float32", "int8"):
        took = []
        for _ in range(max(2, bench.asked.rounds)):
            with bench.serve(name) as server:
                took.append(server.start_s)
        bench.add("start", f"{name}: from `hardener serve` to ready", median(took), "s", "<= 3 s", seconds=took)


def memory(bench: Bench) -> None:
    """Memory of a worker."""
    for name, goal in (("int8", "<= 260 MB"), ("float32", "")):
        with bench.serve(name) as server:
            bench.load(server, 32)
            worker = max(uss_bytes(pid) for pid in server.workers()) / MIB
            whole = server.uss_bytes() / MIB
        bench.add("memory", f"{name}: a worker's own memory after load", worker, "MB", goal, all_processes=whole)


def growth(bench: Bench) -> None:
    """Memory over many requests."""
    total, steps = bench.asked.requests, 10
    request = [post(bench.path, multipart(upload()))]
    with bench.serve("null") as server:
        warm = max(total // 10, 200)
        _all_good(hammer.run(Load(server.port, request, connections=16, seconds=600, count=warm)), server)
        (worker, *_) = server.workers()
        sizes = [uss_bytes(worker) / MIB]
        for _ in range(steps):
            step = Load(server.port, request, connections=16, seconds=600, count=total // steps)
            _all_good(hammer.run(step), server)
            sizes.append(uss_bytes(worker) / MIB)
    bench.add("growth", f"over {total:,} requests", sizes[-1] - sizes[0], "MB", "<= 5 MB", megabytes=sizes)


ROWS: dict[str, Callable[[Bench], None]] = {
    "rates": rates,
    "cpu": cpu,
    "latency": latency,
    "priority": priority,
    "report": report,
    "overload": overload,
    "int8": int8,
    "start": start,
    "memory": memory,
    "growth": growth,
}


def _all_good(result: hammer.Result, server: Server) -> None:
    if set(result.statuses()) != {"200"}:
        raise RuntimeError(f"answers were {result.statuses()}\n{server.output()[-3000:]}")


def _model_runs(told: dict[str, Any]) -> tuple[int, bool]:
    """Return the images that a report asked about, and whether its time ran out."""
    budget = told.get("budget")
    if budget is not None:
        return int(budget["model_runs"]), bool(budget["cut_short"])
    certificate = told["certificate"]
    variants = sum(part["variants"] for part in told["stability"].values() if part is not None)
    return variants + certificate["draws"] + certificate["selection_draws"], False


def _test_images(folder: Path | None, height: int, width: int, most: int) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    """Return images of the model's size: the user's, or drawn ones that no calibration has seen."""
    if folder is None:
        drawn = [picture(10_000 + seed) for seed in range(most)]
        return [np.asarray(Image.fromarray(image).resize((width, height))) for image in drawn]
    from hardener.data.decode import decode_image

    kinds = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in kinds)
    chosen = [files[index] for index in np.random.default_rng(0).permutation(len(files))[:most]]
    return [decode_image(path.read_bytes(), height=height, width=width, channels=3) for path in chosen]


def main() -> None:
    """Measure the rows asked for, print the table, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", choices=list(ROWS), help="may be repeated; all without it")
    parser.add_argument("--quick", action="store_true", help="a smoke run: seconds that prove nothing")
    parser.add_argument("--seconds", type=float, default=None, help="of one load (10; 2 when quick)")
    parser.add_argument("--rounds", type=int, default=None, help="(3; 1 when quick)")
    parser.add_argument("--requests", type=int, default=None, help="of the row growth (100,000; 2,000 when quick)")
    parser.add_argument("--cores", help="of server, generator and bare loop, as `taskset -c` takes them")
    parser.add_argument("--generator-cores", help="of the generator of the row overload (default: --cores)")
    parser.add_argument("--raw", choices=["processes", "threads"], default="processes", help="the bare loop's lanes")
    parser.add_argument("--generator", choices=["wrk", "own"], default="wrk")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument("--peer-python", default=sys.executable, help="a Python that has fastapi as well")
    parser.add_argument("--workers", type=int, help="of our server (its default)")
    parser.add_argument("--query", default="top_k=5", help="of our /predict")
    parser.add_argument("--float32", type=Path, help="a float32 bundle of yours in place of the random one")
    parser.add_argument("--int8", type=Path, help="its int8 bundle")
    parser.add_argument("--images", type=Path, help="images on which the two are compared")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "hardener-bench-serving")
    parser.add_argument("--json", type=Path, help="where to write all figures, those of each round too")
    asked = parser.parse_args()
    asked.seconds = asked.seconds or (2 if asked.quick else 10)
    asked.rounds = asked.rounds or (1 if asked.quick else 3)
    asked.requests = asked.requests or (2_000 if asked.quick else 100_000)
    asked.work.mkdir(parents=True, exist_ok=True)
    end_on_sigterm()
    console = Console()
    where = machine(asked)
    console.print(where)
    bench = Bench(asked, console)
    failed = []
    for name in asked.row or ROWS:
        console.print(f"[bold]{name}[/]")
        try:
            ROWS[name](bench)
        except Exception as error:  # the other rows are worth having
            failed.append(name)
            console.print(f"  {name} broke: {error}", markup=False, highlight=False)
    show(console, bench.figures)
    if asked.json:
        told = {"machine": where, "figures": [asdict(figure) for figure in bench.figures], "broke": failed}
        asked.json.write_text(json.dumps(told, indent=1))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
