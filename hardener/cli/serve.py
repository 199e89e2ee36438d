"""`hardener serve`."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hardener.cli.console import door, err, out, reporter
from hardener.cli.options import RUNS, Runs
from hardener.config.serving_limits import FIXED, LIMITS, read_limits
from hardener.errors import HardenerError
from hardener.terminal import log, logs_json

RATE = "HARDENER_RATE"
_OF_RATE = "requests a second of one token, or without tokens of one address, and after a colon at once"

# As `python -m bentoml`; Ctrl-C ends it without a traceback also while it imports, before the supervisor has its own.
_BENTOML = (
    "import runpy, signal, sys; signal.signal(signal.SIGINT, lambda number, frame: sys.exit(128 + number)); "
    "runpy.run_module('bentoml', run_name='__main__', alter_sys=True)"
)


class ServedDevice(enum.StrEnum):
    """Where the models run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Closable(enum.StrEnum):
    """What may be left out of the service."""

    METRICS = "metrics"
    DOCS = "docs"
    PAGE = "page"


@door
def serve(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[[NAME=]RUN|BUNDLE]...",
            help="Runs or bundle folders, served side by side under their own names or NAME. (default: the newest run)",
            show_default=False,
        ),
    ] = None,
    default: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model that answers where a request names none.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    host: Annotated[
        str, typer.Option(help="0.0.0.0 to be reached from other machines; put a proxy with TLS before it.")
    ] = "127.0.0.1",
    workers: Annotated[str | None, typer.Option(metavar="N", help="Processes; a second one for safety.")] = None,
    device: Annotated[ServedDevice | None, typer.Option(help="auto takes a GPU where there is one.")] = None,
    draws: Annotated[
        str | None, typer.Option(metavar="N", help="Noisy copies for the certificate of a report.")
    ] = None,
    queries: Annotated[str | None, typer.Option(metavar="N", help="Model runs of the attack of a report.")] = None,
    report_seconds: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="What a report may take where the request does not say.")
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A file of bearer tokens' hashes: a line `NAME SHA256` each."),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(metavar="N[:BURST]", help="Requests a second from one token, or without tokens from one address."),
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(metavar="ORIGIN", help="A site whose pages may call; may be repeated.")
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A name of this service, where it has no tokens; may be repeated."),
    ] = None,
    close: Annotated[list[Closable] | None, typer.Option(help="Answer 404 there; may be repeated.")] = None,
    limits: Annotated[
        bool, typer.Option("--limits", help="List every limit, how to set it and its value now; start nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --limits: as JSON.")] = False,
    runs: Runs = RUNS,
) -> None:
    """Serve bundles over REST: POST an image to /predict, with report=true for its robustness report.

    SIGHUP loads the bundles again while requests run.
    """
    flags = {
        "DEFAULT": default,
        "WORKERS": workers,
        "DEVICE": device,
        "DRAWS": draws,
        "QUERIES": queries,
        "REPORT_SECONDS": report_seconds,
        "TOKENS": None if tokens is None else tokens.absolute(),
        "RATE": rate,
        "CORS": ",".join(cors or ()) or None,
        "ALLOWED_HOSTS": ",".join(allowed_host or ()) or None,
        "CLOSED": ",".join(close or ()) or None,
    }
    environment = dict(os.environ)
    environment |= {f"HARDENER_{name}": str(value) for name, value in flags.items() if value is not None}
    environment["BENTOML_DO_NOT_TRACK"] = "True"
    if logs_json():
        environment["HARDENER_LOG"] = "json"
    values = read_limits(environment)
    if limits:
        _show_limits(values, environment.get(RATE) or None, as_json=as_json)
    elif as_json:
        raise HardenerError("--json belongs to --limits. The service answers in JSON in any case.")
    else:
        words, names = _bundles(targets or (), default, runs)
        environment["HARDENER_BUNDLE"] = os.pathsep.join(words)
        _start(names, _check_address(host, port), port, environment)


def _bundles(targets: Sequence[str], default: str | None, runs: Path) -> tuple[list[str], list[str]]:
    """Find what is to be served.

    Returns:
        a word for each as HARDENER_BUNDLE takes it, and the names.
    """
    from hardener.config.bundle import read_bundle
    from hardener.config.found_bundle import find_bundle
    from hardener.config.served import served_default, served_names, split_name, with_name

    named: list[tuple[str | None, str | None]] = [split_name(target, runs) for target in targets] or [(None, None)]
    # absolute, but with its links, so that a reload follows them anew
    warn = reporter().warn
    sources = [(name, find_bundle(target, runs, warn).absolute()) for name, target in named]
    words = [with_name(name, folder) for name, folder in sources]
    for word in words:
        if os.pathsep in word:
            raise HardenerError(f"{word} has a {os.pathsep!r} in it, which separates bundles. Rename it.")
    names = served_names((name, folder, read_bundle(folder)) for name, folder in sources)
    served_default(names, default)
    return words, names


def _start(names: list[str], host: str, port: int, environment: dict[str, str]) -> None:
    """Let the server take this process's place."""
    from hardener.config.files import packaged_folder

    guarded = any(environment.get(name) for name in ("HARDENER_TOKENS", "HARDENER_TOKEN_HASHES"))
    _announce(names, host, port, open_to_all=not guarded)
    service = packaged_folder("serving")
    module, home = ("hardener.serving", service.parent.parent) if _installed(service) else ("serving", service.parent)
    command = [sys.executable, "-c", _BENTOML, "serve", f"{module}.service:HardenerService"]
    command += ["--host", host, "--port", str(port), "--working-dir", str(home)]
    os.execve(sys.executable, command, environment)  # noqa: S606 - the server takes this process's place, signals included


def _show_limits(values: Mapping[str, float | None], rate: str | None, *, as_json: bool) -> None:
    """Print every limit with its value."""
    if as_json:
        rows: list[dict[str, object]] = [
            {
                "name": name,
                "variable": limit.variable,
                "flag": limit.flag,
                "value": values[name],
                "default": limit.default,
                "least": limit.least,
                "most": limit.most,
                "bounds": limit.bounds,
            }
            for name, limit in LIMITS.items()
        ]
        rows.append({"name": "rate", "variable": RATE, "flag": "--rate", "value": rate, "bounds": _OF_RATE})
        rows += [{"variable": None, "flag": None, **dataclasses.asdict(bound)} for bound in FIXED.values()]
        print(json.dumps(rows, indent=2))
        return
    table = Table("variable", "now", "default", "what it bounds", box=None)
    for name, limit in LIMITS.items():
        bounds = limit.bounds if limit.flag is None else f"{limit.bounds} ({limit.flag})"
        table.add_row(limit.variable, _number(values[name]), _number(limit.default), bounds)
    table.add_row(RATE, rate or "any", "any", f"{_OF_RATE} (--rate)")
    for bound in FIXED.values():
        table.add_row("(cannot be set)", _number(bound.value), "", bound.bounds)
    out.print(table)


def _number(value: float | None) -> str:
    return "automatic" if value is None else f"{value:.15g}"


def _announce(names: list[str], host: str, port: int, *, open_to_all: bool) -> None:
    address = ipaddress.ip_address(host)
    shown = f"[{host}]" if address.version == 6 else host
    url = f"http://{'127.0.0.1' if address.is_unspecified else shown}:{port}"
    warning = f"whoever reaches {host}:{port} may use it, as no tokens are set. See --tokens."
    warned = open_to_all and not address.is_loopback
    if logs_json():
        log("info", message=f"serving {', '.join(names)} at {url}", event="serving", models=names, url=url)
        if warned:
            log("warning", message=warning)
        return
    err.print(f"serving [bold]{', '.join(names)}[/] at {url}; Ctrl-C stops it", soft_wrap=True)
    err.print(f"try: curl -F image=@IMAGE '{url}/predict?report=true'", soft_wrap=True)
    if warned:
        err.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)


def _installed(service: Path) -> bool:
    """Does the folder lie inside the package, as a wheel puts it, and not beside it, as a checkout does?"""
    return service.parent.name == "hardener" and (service.parent / "__main__.py").is_file()


def _check_address(host: str, port: int) -> str:
    """Return the address to listen on.

    Raises:
        HardenerError: it is no address, or cannot be listened on.
    """
    host = "127.0.0.1" if host == "localhost" else host
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        raise HardenerError(f"--host must be an IP address, such as 127.0.0.1 or 0.0.0.0; got {host!r}") from None
    with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise HardenerError(f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port.") from None
    return host
