"""What torchrun started: its name, the run that it began before it started all again, and each process's device."""

from __future__ import annotations

import os
import shutil
import socket

import torch

from hardener.config.data_path import lasting
from hardener.config.recipe import settle
from hardener.config.run_folder import RunFolder, RunRecord
from hardener.errors import HardenerError
from hardener.progress import rank_and_world
from hardener.runtime.device import choose_device
from hardener.runtime.processes import local_device, processes_here
from hardener.training.request import TrainRequest


def launch_name() -> str | None:
    """Return what torchrun calls the job that this process belongs to, the same when it starts the job again.

    Where it has no name of its own, as with --master-addr, torchrun's own process on the first machine stands for it.
    """
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    return f"{socket.gethostname()}:{os.getppid()}" if name == "none" else name


def was_restarted() -> bool:
    """Tell whether torchrun has started its processes again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def begun_by_this_launch(request: TrainRequest) -> str | None:
    """Return the run that torchrun began by this very request, before it started its processes again."""
    launch = launch_name()
    if launch is None:
        return None
    for run in [RunFolder(path.parent) for path in request.out.glob("*/run.json")]:
        try:
            record = run.read_record()
        except HardenerError:  # another version's
            continue
        if record.launch != launch or not _asks_for(request, run, record):
            continue
        if record.status == "finished" and not was_restarted():
            continue
        if run.checkpoint.is_file():
            return str(run.path)
        shutil.rmtree(run.path)  # it fell before there was anything to go on from
    return None


def _asks_for(request: TrainRequest, run: RunFolder, record: RunRecord) -> bool:
    """Tell whether a run is one that this request would make."""
    asked = (request.model, request.seed, str(lasting(request.data)))
    if (record.model.spec, record.seed, record.data.root) != asked or request.name not in {None, record.name}:
        return False
    side = min(record.input.height, record.input.width)
    asked_for, written = settle(request.recipe, trained=request.starts_trained, side=side)[0], run.read_recipe()
    return written == asked_for.model_copy(update={"augment": written.augment})  # which follows from the images too


def own_device(name: str) -> torch.device:
    """Return the device of this process: of several on a machine, each has a GPU of its own.

    Raises:
        HardenerError: no such device here, or fewer than there are processes.
    """
    device = choose_device(name)
    local = processes_here()
    if device.type != "cuda" or rank_and_world()[1] == 1:
        return device
    if device.index is not None and local > 1:
        raise HardenerError(f"--device {name} is one GPU, and {local} processes would share it: leave --device out.")
    if local > torch.cuda.device_count():
        raise HardenerError(
            f"{local} processes, and {torch.cuda.device_count()} GPUs on {socket.gethostname()}: start one process a "
            f"GPU, by --nproc-per-node {torch.cuda.device_count()}."
        )
    own = local_device(device)
    torch.cuda.set_device(own)
    return own
