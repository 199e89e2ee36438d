"""`hardener serve`."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from hardener.cli.console import door, err
from hardener.cli.options import RUNS, Runs
from hardener.errors import HardenerError


@door
def serve(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|BUNDLE]",
            help="A run, or a bundle folder. (default: the newest run)",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    host: Annotated[
        str, typer.Option(help="0.0.0.0 to be reached from other machines; put a proxy with TLS before it.")
    ] = "127.0.0.1",
    runs: Runs = RUNS,
) -> None:
    """Serve a bundle over REST: POST an image to /predict, with report=true for its robustness report."""
    from hardener.config.bundle import read_bundle
    from hardener.config.files import packaged_folder
    from hardener.config.run_folder import find_run

    folder = Path(target) if target is not None and (Path(target) / "bundle.json").is_file() else None
    if folder is None:
        run = find_run(target, runs)
        if not run.bundle.is_dir():
            raise HardenerError(f"{run.path} has no bundle yet. Make one: hardener export {run.path}")
        folder = run.bundle
    bundle = read_bundle(folder)
    _check_port(host, port)
    service = packaged_folder("serving")
    module = (
        f"{service.parent.name}.serving" if service.parent.name == "hardener" and _installed(service) else "serving"
    )
    home = service.parent.parent if module != "serving" else service.parent
    url = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared, not bound
    err.print(f"serving [bold]{bundle.name}[/] at {url}; Ctrl-C stops it", soft_wrap=True)
    err.print(f"try: curl -F image=@IMAGE '{url}/predict?report=true'", soft_wrap=True)
    environment = {key: value for key, value in os.environ.items() if key != "BENTOML_CONTAINERIZED"}
    environment |= {"HARDENER_BUNDLE": str(folder.resolve()), "BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "serve", f"{module}.service:HardenerService"]
    command += [
        "--host",
        host,
        "--port",
        str(port),
        "--timeout-graceful-shutdown",
        "5",
        "--working-dir",
        str(home),
    ]
    os.execve(sys.executable, command, environment)  # noqa: S606 - the server takes this process's place, signals included


def _installed(service: Path) -> bool:
    """Does the folder lie inside the package, as a wheel puts it, and not beside it, as a checkout does?"""
    return (service.parent / "__main__.py").is_file()


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise HardenerError(f"cannot listen on {host}:{port}: {error.strerror}. Choose another --port.") from None
