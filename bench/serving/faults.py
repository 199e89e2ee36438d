"""Break the service for real, and count: `python bench/serving/faults.py`; exit code 1 when a rule is broken.

Every server runs on the loopback and is ended here, whatever happens. Scenarios, each by itself with `--only NAME`:
  hostile    10,000 hostile uploads and requests in a bounded mix, good traffic beside them
  slow       500 connections that send their headers or bodies a byte at a time, good traffic beside them
  overload   ten times the capacity offered for a minute
  kill       a worker of two is killed with SIGKILL under load
  sigterm    SIGTERM under load
  reload     SIGHUP under load, with a new bundle and with a broken one
  accepted   a bundle overwritten in place, workers killed after it, reloads and starts with bad cards and answers
  processes  kill -9 of a worker with a request in work, of the supervisor, of every worker; SIGTERM with one in work
  memory     the worst images of all kinds at once in a control group of 1 GiB (it needs a cgroup that can be written)
  bundles    corrupted, truncated and foreign bundles
  disk       no space left on the disk, for temporary files, BentoML's home and the log
  callers    clients that read nothing, idle connections, offers of HTTP/2, old clients, pages of other sites
  openapi    schemathesis with all its checks (needs --schemathesis PATH)
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import hammer
from callers_faults import callers
from fault_memory import memory
from fault_state import accepted, processes
from fault_suite import GOOD, GOOD_PER_S, MIB, MemoryWatch, Suite, fingerprint, good_traffic, settled, still_well, wait
from hammer import Load, median
from hostile import cases
from hostile_clients import hold_slowly, send_cases, show_kinds
from rich.console import Console
from rich.table import Table
from server_process import ROOT, end_on_sigterm, free_port, hardener_serve, serving
from spoiled_bundles import RENAMED, SPOILED, fill, rename, replace, start_spoiled
from workload import multipart, post, upload

RULES = ROOT / "tests/serving/schemathesis.toml"  # 413 is a refusal too; and hooks that draw real images


def hostile(suite: Suite) -> None:
    """Send the hostile mix with good traffic beside it."""
    total = int(suite.some(suite.asked.uploads, 600))
    with hardener_serve(suite.bundle("null")) as server:
        alone = hammer.run(Load(server.port, GOOD, connections=32, seconds=5, rate=GOOD_PER_S))
        # first a tenth of the mix with every kind in it: what the libraries load and keep once is no growth
        first = asyncio.run(send_cases(server.port, cases(max(total // 10, 200), quick=True, seed=1)))
        before = settled(suite, server)
        with MemoryWatch(server) as memory:
            good = hammer.start(Load(server.port, GOOD, connections=64, seconds=3600, rate=GOOD_PER_S))
            began = time.monotonic()
            try:
                told = asyncio.run(send_cases(server.port, cases(total, quick=suite.asked.quick)))
                took = time.monotonic() - began
                served = good.finish()
            finally:
                good.stop()
        after = settled(suite, server)
        show_kinds(suite, told)
        answered = [(kind, status, right) for kind, rows in told.items() for status, right in rows]
        wrong = Counter(f"{kind}: {status}" for kind, status, right in answered if not right)
        suite.rule(f"{total} hostile requests, each the right answer", dict(wrong) or "all", not wrong)
        wrong = Counter(f"{kind}: {status}" for kind, rows in first.items() for status, right in rows if not right)
        suite.rule("and those of the first round", dict(wrong) or "all", not wrong)
        five = sum(status.startswith("5") and status not in {"503", "504"} for _, status, _ in answered)
        suite.rule("no 5xx but 503 and 504", five, five == 0)
        suite.note(f"{total / took:.0f} hostile requests/s for {took:.0f} s")
        good_traffic(suite, served, alone)
        suite.rule("memory grew by at most 20 MB", f"{before:.0f} -> {after:.0f} MB, peak "
                   f"{max(memory.megabytes, default=after):.0f} MB", after - before <= 20)  # fmt: skip
        still_well(suite, server)


def slow(suite: Suite) -> None:
    """Hold many connections open by sending a byte at a time."""
    number, seconds = int(suite.some(500, 60)), suite.some(90, 45)
    with hardener_serve(suite.bundle("null")) as server:
        alone = hammer.run(Load(server.port, GOOD, connections=32, seconds=5, rate=GOOD_PER_S))
        before = settled(suite, server)
        good = hammer.start(Load(server.port, GOOD, connections=64, seconds=3600, rate=GOOD_PER_S))
        try:
            ends = asyncio.run(hold_slowly(server.port, number, seconds))
            served = good.finish()
        finally:
            good.stop()
        for kind, rows in sorted(ends.items()):
            how = Counter(status for status, _ in rows)
            times = [took for status, took in rows if status != "held"]
            last = f", the last after {max(times):.0f} s" if times else ""
            suite.note(f"{kind:8} {len(rows):4} connections: {dict(how)}{last}")
        for kind, rows in sorted(ends.items()):
            held = sum(status == "held" for status, _ in rows)
            suite.rule(
                f"slow {kind}: the server ends each within {seconds:.0f} s",
                f"{held} of {len(rows)} still open",
                held == 0,
            )
        good_traffic(suite, served, alone)
        after = settled(suite, server)
        suite.rule("memory grew by at most 20 MB", f"{before:.0f} -> {after:.0f} MB", after - before <= 20)
        still_well(suite, server)


def overload(suite: Suite) -> None:
    """Offer ten times the capacity for a minute."""
    seconds = suite.some(60, 6)
    with hardener_serve(suite.bundle("int8")) as server:
        calm = hammer.run(Load(server.port, GOOD, connections=1, seconds=suite.some(10, 2)))
        full = hammer.run(Load(server.port, GOOD, connections=32, seconds=suite.some(10, 3)))
        capacity = full.per_s()
        hammer.run(Load(server.port, GOOD, connections=800, seconds=suite.some(5, 2), rate=10 * capacity))
        before = settled(suite, server)
        with MemoryWatch(server) as memory:
            storm = hammer.run(Load(server.port, GOOD, connections=800, seconds=seconds, rate=10 * capacity))
        ended = time.time()
        after = hammer.run(Load(server.port, GOOD, connections=1, seconds=suite.some(20, 8)))
        size = settled(suite, server)
        suite.note(
            f"capacity {capacity:.0f}/s, begun {storm.begun_per_s(seconds):.0f}/s and {storm.unsent} more that found "
            f"all 800 connections in use; 200: {storm.per_s_within(0, seconds):.0f}/s, p99 {storm.ms(99):.0f} ms; "
            f"refused within p50 {storm.ms(50, '429', '503'):.0f} ms, p99 {storm.ms(99, '429', '503'):.0f} ms"
        )
        statuses = storm.statuses()
        suite.rule("only 200, 429 and 503", statuses, set(statuses) <= {"200", "429", "503"})
        told = [sample.retry_after for sample in storm.samples if sample.status in {"429", "503"}]
        suite.rule("every refusal says Retry-After", f"{sum(told)} of {len(told)}", all(told))
        suite.rule("memory grew by at most 20 MB", f"{before:.0f} -> {size:.0f} MB, peak "
                   f"{max(memory.megabytes, default=size):.0f} MB", size - before <= 20)  # fmt: skip
        late = [sample for sample in after.samples if sample.begun >= ended + 5]
        usual = median([sample.seconds for sample in late]) * 1000
        good = bool(late) and all(sample.status == "200" for sample in late) and usual <= 1.5 * calm.ms(50) + 5
        suite.rule("normal latency 5 s later", f"p50 {calm.ms(50):.1f} ms before, {usual:.1f} ms after", good)
        bound = 1.5 * calm.ms(50) / 1000 + 0.005
        slowed = [sample.begun - ended for sample in after.samples if sample.seconds > bound]
        suite.note(f"answers slower than {1000 * bound:.0f} ms afterwards: {len(slowed)} of {len(after.samples)}")


def kill(suite: Suite) -> None:
    """Kill one of two workers."""
    seconds = suite.some(40, 30)
    with hardener_serve(suite.bundle("null"), environment={"HARDENER_WORKERS": "2"}) as server:
        workers = server.workers()
        suite.rule("two workers run", len(workers), len(workers) == 2)
        if len(workers) != 2:
            return
        clients = 16
        load = hammer.start(Load(server.port, GOOD, connections=clients, seconds=seconds))
        try:
            time.sleep(5)
            os.kill(workers[0], signal.SIGKILL)
            killed = time.time()
            back = wait(lambda: len(set(server.workers()) - {workers[0]}) == 2, 30)
            found = load.result()
        finally:
            load.stop()
        failed = [sample for sample in found.samples if sample.status != "200"]
        suite.note(f"{len(found.samples)} requests from {clients} clients: {found.statuses()}")
        late = [sample for sample in failed if not -0.5 <= sample.begun - killed <= 2]
        suite.rule("at most one failure a client", f"{len(failed)} failed", len(failed) <= clients)
        suite.rule("none but those in work at the kill", f"{len(late)} later", not late)
        seen = sorted(sample.begun + sample.seconds for sample in found.samples if sample.status == "200")
        gap = max((b - a for a, b in itertools.pairwise(seen)), default=seconds)
        suite.rule("answers go on: no gap longer than 2 s", f"longest {1000 * gap:.0f} ms", gap <= 2)
        suite.rule("the worker is back within 30 s", "no" if back is None else f"after {back:.1f} s", back is not None)
        still_well(suite, server)


def sigterm(suite: Suite) -> None:
    """End the server under load, some times."""
    for workers in ("1", "2"):
        lost, edge, accepted, codes, took = 0, Counter[str](), 0, set(), []
        for _ in range(int(suite.some(5, 1))):
            with hardener_serve(suite.bundle("int8"), environment={"HARDENER_WORKERS": workers}) as server:
                load = hammer.start(Load(server.port, GOOD, connections=12, seconds=6, timeout_s=30))
                try:
                    time.sleep(2.5)
                    told = time.time()
                    took.append(server.stop())
                    codes.add(server.process.returncode)
                    found = load.result()
                finally:
                    load.stop()
            before = [sample for sample in found.samples if sample.sent < told]
            accepted += len(before)
            lost += sum(sample.status != "200" for sample in before)
            edge += Counter(sample.status for sample in found.samples if sample.sent >= told)
        suite.rule(
            f"{workers} worker(s): every request sent before SIGTERM is answered 200",
            f"{lost} of {accepted} lost",
            lost == 0,
        )
        bad = {status: count for status, count in edge.items() if status not in {"200", "503", "closed", "refused"}}
        suite.rule(f"{workers} worker(s): later ones are answered or turned away", dict(edge), not bad)
        suite.rule(f"{workers} worker(s): exit code 0 within 8 s", f"codes {codes}, at most {max(took):.1f} s",
                   codes == {0} and max(took) <= 8)  # fmt: skip


def reload(suite: Suite) -> None:
    """Reload under load: the same bundle, a new one, a broken one."""
    with tempfile.TemporaryDirectory(prefix="hardener-bench-") as folder:
        current = Path(folder) / "current"
        shutil.copytree(suite.bundle("null"), current)
        with hardener_serve(current, environment={"HARDENER_WORKERS": "2"}) as server:
            begun = server.pids()
            load = hammer.start(Load(server.port, GOOD, connections=12, seconds=suite.some(30, 18)))
            try:
                time.sleep(2)
                server.process.send_signal(signal.SIGHUP)
                time.sleep(4)
                replace(current, lambda copy: rename(copy, "second"))
                server.process.send_signal(signal.SIGHUP)
                changed = wait(lambda: {fingerprint(server) for _ in range(20)} == {RENAMED}, 10)
                replace(current, lambda copy: (copy / "model.onnx").write_bytes(b"broken"))
                server.process.send_signal(signal.SIGHUP)
                time.sleep(4)
                kept = {fingerprint(server) for _ in range(20)}
                found = load.result()
            finally:
                load.stop()
            suite.rule("no request is lost", found.statuses(), set(found.statuses()) == {"200"})
            suite.rule(
                "the new bundle answers", "no" if changed is None else f"after {changed:.1f} s", changed is not None
            )
            suite.rule("a broken bundle does not replace it", kept, kept == {RENAMED})
            said = [
                line for line in server.output().splitlines() if "is not the file that bundle.json describes" in line
            ]
            suite.rule("and the log says why", said[-1].strip() if said else "nothing", bool(said))
            suite.note(f"processes before {len(begun)}, after {len(server.pids())}")
            still_well(suite, server)


def broken_bundles(suite: Suite) -> None:
    """Start with bundles that must be refused."""
    for spoiling in SPOILED:
        how, holds = start_spoiled(suite.bundle("null"), spoiling)
        suite.rule(f"{spoiling[0]}: exit code 2 and a clear message", how, holds)


def disk(suite: Suite) -> None:
    """Fill the disk on which the server keeps its temporary files, its home and its log."""
    with tempfile.TemporaryDirectory(prefix="hardener-bench-") as folder:
        port = free_port()
        script = (
            'mount -t tmpfs -o size=256k,mode=777 tmpfs "$1" && mkdir "$1/home" && export HOME="$1/home" TMPDIR="$1" '
            'BENTOML_HOME="$1/home/bentoml" && shift && exec setpriv --pdeathsig TERM -- "$@" >"$TMPDIR/log" 2>&1'
        )
        command = ["unshare", "-Urm", "sh", "-c", script, "sh", folder]
        command += [sys.executable, "-m", "hardener", "serve", str(suite.bundle("null")), "--port", str(port)]
        with serving(command, port=port, ready=None) as server:
            inside = Path(f"/proc/{server.process.pid}/root{folder}")
            try:
                server.wait_until_ready()
            except RuntimeError as error:
                suite.rule("it starts on a disk of 256 kB", str(error).splitlines()[0], False)
                if (inside / "log").is_file():
                    suite.note((inside / "log").read_text(errors="replace")[-1500:])
                return
            suite.rule("it starts on a disk of 256 kB", f"{server.start_s:.1f} s" if server.start_s else "ready", True)
            full = fill(inside / "filler")
            suite.rule("the disk is full", full, full == "No space left on device")
            large = post("/predict", multipart(upload() + bytes(15 * MIB)))  # a good JPEG with much behind it
            found = hammer.run(
                Load(port, GOOD * 20 + [large], connections=8, seconds=60, count=int(suite.some(3000, 300)))
            )
            statuses = found.statuses()
            suite.rule("requests are served, also of 15 MB", statuses, set(statuses) == {"200"})
            bad = hammer.run(Load(port, [post("/predict", b"x")], connections=1, seconds=10, count=20)).statuses()
            suite.rule("bad requests get their 400", bad, set(bad) == {"400"})
            still_well(suite, server)


def openapi(suite: Suite) -> None:
    """Let schemathesis read /openapi.json and try everything."""
    if suite.asked.schemathesis is None:
        suite.note("left out: --schemathesis PATH names its executable")
        return
    # a request may ask for a report of up to the server's bound: that bound lies below what schemathesis waits, 10 s
    bound = {"HARDENER_REPORT_SECONDS": "3", "HARDENER_MAX_REPORT_SECONDS": "3"}
    with hardener_serve(suite.bundle("null"), environment=bound) as server:
        command = [str(suite.asked.schemathesis), "--config-file", str(RULES), "run", f"{server.url}/openapi.json"]
        command += ["--checks", "all"]
        command += ["--max-examples", str(int(suite.some(100, 10))), "--seed", "1", "--request-timeout", "35"]
        command += ["--no-color"]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=suite.some(1500, 300),
                cwd=ROOT,  # the rules name their hooks from there
            )
        except subprocess.TimeoutExpired as error:
            suite.rule("schemathesis ends in time", f"not within {error.timeout:.0f} s", False)
            return
        (suite.asked.work / "schemathesis.txt").write_text(done.stdout + done.stderr)
        tail = done.stdout.strip().splitlines()
        suite.note("\n         ".join(tail[-12:]))
        suite.rule("schemathesis, all checks: no failure", f"exit code {done.returncode}", done.returncode == 0)
        suite.note(f"all it said: {suite.asked.work / 'schemathesis.txt'}")
        still_well(suite, server)


SCENARIOS: dict[str, Callable[[Suite], None]] = {
    "hostile": hostile,
    "slow": slow,
    "overload": overload,
    "kill": kill,
    "sigterm": sigterm,
    "reload": reload,
    "accepted": accepted,
    "processes": processes,
    "memory": memory,
    "bundles": broken_bundles,
    "disk": disk,
    "callers": callers,
    "openapi": openapi,
}


def main() -> None:
    """Run the scenarios asked for, print the rules, and exit with 1 where one is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(SCENARIOS), help="may be repeated; all without it")
    parser.add_argument("--quick", action="store_true", help="a smoke run: the same rules, smaller numbers")
    parser.add_argument("--uploads", type=int, default=10_000, help="of the scenario hostile")
    parser.add_argument("--schemathesis", type=Path, help="its executable, in an environment of its own")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "hardener-bench-serving")
    parser.add_argument("--json", type=Path, help="where to write rules and counts")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    end_on_sigterm()
    random.seed(0)
    suite = Suite(asked, Console())
    for name in asked.only or SCENARIOS:
        suite.scenario = name
        suite.console.print(f"[bold]{name}[/]")
        began = time.monotonic()
        try:
            SCENARIOS[name](suite)
        except Exception as error:  # the other scenarios are worth having
            suite.rule("the scenario runs to its end", f"{type(error).__name__}: {error}"[:3000], False)
        suite.note(f"{time.monotonic() - began:.0f} s")
    broken = [rule for rule in suite.rules if not rule.holds]
    table = Table("scenario", "rules", "broken")
    for name in dict.fromkeys(rule.scenario for rule in suite.rules):
        mine = [rule for rule in suite.rules if rule.scenario == name]
        table.add_row(name, str(len(mine)), "\n".join(rule.what for rule in mine if not rule.holds) or "none")
    suite.console.print(table)
    suite.console.print(f"{len(suite.rules)} rules, {len(broken)} broken")
    if asked.json:
        told = {"rules": [asdict(rule) for rule in suite.rules], "counts": suite.counts, "quick": asked.quick}
        asked.json.write_text(json.dumps(told, indent=1))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
