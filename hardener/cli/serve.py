"""`hardener serve`."""

from __future__ import annotations

import enum
import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from hardener.cli.console import door, err
from hardener.cli.options import RUNS, Runs
from hardener.errors import HardenerError


class Device(enum.StrEnum):
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
    workers: Annotated[int | None, typer.Option(min=1, max=256, help="Processes; a second one for safety.")] = None,
    device: Annotated[Device | None, typer.Option(help="auto takes a GPU where there is one.")] = None,
    draws: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Noisy copies for the certificate of a report.")
    ] = None,
    queries: Annotated[
        int | None, typer.Option(min=1, max=100_000, help="Model runs of the attack of a report.")
    ] = None,
    report_seconds: Annotated[
        float | None, typer.Option(min=0.1, max=3600, help="What a report may take where the request does not say.")
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
    close: Annotated[list[Closable] | None, typer.Option(help="Answer 404 there; may be repeated.")] = None,
    runs: Runs = RUNS,
) -> None:
    """Serve bundles over REST: POST an image to /predict, with report=true for its robustness report.

    SIGHUP loads the bundles again while requests run.
    """
    from hardener.config.bundle import read_bundle
    from hardener.config.files import packaged_folder
    from hardener.config.run_folder import find_bundle
    from hardener.config.served import served_default, served_names, split_name

    named: list[tuple[str | None, str | None]] = [*map(split_name, targets or ())] or [(None, None)]
    # absolute, but with its links, so that a reload follows them anew
    sources = [(name, find_bundle(target, runs).absolute()) for name, target in named]
    words = [str(folder) if name is None else f"{name}={folder}" for name, folder in sources]
    for word in words:
        if os.pathsep in word:
            raise HardenerError(f"{word} has a {os.pathsep!r} in it, which separates bundles. Rename it.")
    names = served_names((name, folder, read_bundle(folder)) for name, folder in sources)
    served_default(names, default)
    host = _check_address(host, port)
    flags = {
        "BUNDLE": os.pathsep.join(words),
        "DEFAULT": default,
        "WORKERS": workers,
        "DEVICE": device,
        "DRAWS": draws,
        "QUERIES": queries,
        "REPORT_SECONDS": report_seconds,
        "TOKENS": None if tokens is None else tokens.absolute(),
        "RATE": rate,
        "CORS": ",".join(cors or ()) or None,
        "CLOSED": ",".join(close or ()) or None,
    }
    environment = {key: value for key, value in os.environ.items() if key != "BENTOML_CONTAINERIZED"}
    environment |= {f"HARDENER_{name}": str(value) for name, value in flags.items() if value is not None}
    environment["BENTOML_DO_NOT_TRACK"] = "True"
    environment.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")  # the weights in large pages
    _announce(names, host, port, open_to_all=not {"HARDENER_TOKENS", "HARDENER_TOKEN_HASHES"} & set(environment))
    service = packaged_folder("serving")
    module, home = ("hardener.serving", service.parent.parent) if _installed(service) else ("serving", service.parent)
    command = [sys.executable, "-m", "bentoml", "serve", f"{module}.service:HardenerService"]
    command += ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", "5", "--working-dir", str(home)]
    os.execve(sys.executable, command, environment)  # noqa: S606 - the server takes this process's place, signals included


def _announce(names: list[str], host: str, port: int, *, open_to_all: bool) -> None:
    address = ipaddress.ip_address(host)
    shown = f"[{host}]" if address.version == 6 else host
    url = f"http://{'127.0.0.1' if address.is_unspecified else shown}:{port}"
    err.print(f"serving [bold]{', '.join(names)}[/] at {url}; Ctrl-C stops it", soft_wrap=True)
    err.print(f"try: curl -F image=@IMAGE '{url}/predict?report=true'", soft_wrap=True)
    if open_to_all and not address.is_loopback:
        warning = f"warning: whoever reaches {host}:{port} may use it, as no tokens are set. See --tokens."
        err.print(warning, style="yellow", markup=False, soft_wrap=True)


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
