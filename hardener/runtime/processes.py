"""What the processes that torchrun started share: a meeting place, and the work cut into parts."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from hardener.errors import Failure, HardenerError, Told
from hardener.progress import rank_and_world

TIMEOUT = timedelta(
    minutes=30
)  # of a step's exchange: long for a checkpoint on a slow disk, and a hang ends all the same
_PATIENCE = timedelta(days=30)  # one process may be done days before another: their images differ
_LOST = ("gloo", "nccl", "connection", "timed out", "broken pipe", "socket", "process group")
_groups: list[dist.ProcessGroup] = []
Value = TypeVar("Value")


def local_device(device: torch.device) -> torch.device:
    """Give each process on a machine a GPU of its own where `device` names none in particular."""
    if str(device) == "cuda" and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return device


def meet() -> None:
    """Wait for all processes, once; nothing where there is only one. Tensors on a GPU go by NCCL, all else by gloo.

    Raises:
        Failure: they do not find each other.
    """
    rank, world = rank_and_world()
    if world == 1 or dist.is_initialized():
        return
    try:
        store, _, _ = next(rendezvous("env://", timeout=TIMEOUT))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=PrefixStore(_agreed_token(store, rank, world), store),
            rank=rank,
            world_size=world,
            timeout=TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        raise Failure(
            f"process {rank} of {world} does not find the others: {str(error).splitlines()[0]} Is it started by "
            "torchrun, and may the machines reach each other?"
        ) from error
    patient = dist.new_group(backend="gloo", timeout=_PATIENCE)
    assert isinstance(patient, dist.ProcessGroup), "it holds all processes"
    _groups[:] = [patient]
    atexit.register(leave)


def _agreed_token(store: Store, rank: int, world: int) -> str:
    """Return a word that only the processes that live now share.

    When torchrun starts its processes again it keeps its store, and in it the addresses of those that died. So the
    first process takes a word, and the others take it over once it has answered each of them.

    Raises:
        Failure: the first process does not answer.
    """
    own = uuid.uuid4().hex
    if rank == 0:
        store.set("token", own)
        present = [store.get(f"{own}/{other}").decode() for other in range(1, world)]
        store.set(f"{own}/present", ",".join(present))
        return own
    deadline = time.monotonic() + TIMEOUT.total_seconds()
    while time.monotonic() < deadline:
        token: str = store.get("token").decode()  # it may be of those that died
        store.set(f"{token}/{rank}", own)
        if store.check([f"{token}/present"]) and own in store.get(f"{token}/present").decode():
            return token
        time.sleep(0.02)
    raise Failure(f"process 0 of {world} did not come within {TIMEOUT.total_seconds() / 60:g} minutes.")


def leave() -> None:
    """Take leave of the others, so that none takes this process for lost."""
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def ending_at_once() -> Iterator[None]:
    """End this process when the block does, with its exit code, and without Python's own taking apart.

    Threads of torch's process groups may still be under way then, and one that asks for Python too late aborts the
    process: torchrun would report a run that has finished as failed.
    """
    code: object = 0
    try:
        yield
    except SystemExit as end:
        code = end.code
    except BaseException:  # the command line has its own door; this is what came before or after it
        traceback.print_exc()
        code = 1
    leave()
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def processes_here() -> int:
    """Return how many processes torchrun started on this machine; 1 without it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def own_share(count: int) -> Tensor:
    """Return the places that this process deals with: every world-th from its rank on."""
    rank, world = rank_and_world()
    return torch.arange(rank, count, world)


def from_first(value: Value | None) -> Value:
    """Return what rank 0 has, on every process; the others' own is not looked at."""
    if rank_and_world()[1] > 1:
        shared = [value]
        dist.broadcast_object_list(shared, src=0, group=patient())
        value = shared[0]
    assert value is not None, "rank 0 has a value"
    return value


def any_of(*flags: bool) -> list[bool]:
    """Tell for each flag, on every process alike, whether it is raised on any."""
    if rank_and_world()[1] == 1:
        return list(flags)
    raised = torch.tensor(flags, dtype=torch.uint8)
    dist.all_reduce(raised, dist.ReduceOp.MAX)
    return [bool(flag) for flag in raised.tolist()]


def sum_of(value: Tensor) -> Tensor:
    """Return the sum over all processes."""
    if rank_and_world()[1] == 1:
        return value
    total = value.clone()
    dist.all_reduce(total)
    return total


def rows_of_all(*tables: Tensor) -> list[Tensor]:
    """Return each table with the rows of all processes, rank 0's first.

    Args:
        tables: (N, ...) each; N is the same for all of them, and may differ between processes.
    """
    rank, world = rank_and_world()
    if world == 1:
        return list(tables)
    own = torch.zeros(world, dtype=torch.int64, device=tables[0].device)
    own[rank] = len(tables[0])
    counts = sum_of(own).tolist()
    whole = []
    for rows in tables:
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        found = [torch.empty_like(padded) for _ in range(world)]
        dist.all_gather(found, padded)
        whole.append(torch.cat([part[:count] for part, count in zip(found, counts, strict=True)]))
    return whole


@contextmanager
def together() -> Iterator[None]:
    """Where the work inside fails on any process, fail on all: the first says what happened, the others are silent.

    Nothing inside may wait for another process.

    Raises:
        HardenerError: the first process's own, or what happened on another one.
        Told: on all other processes.
    """
    rank, world = rank_and_world()
    if world == 1:
        yield
        return
    own: Exception | None = None
    try:
        yield
    except Exception as error:
        own = error
    code = 0 if own is None else own.exit_code if isinstance(own, HardenerError) else 1
    told: list[Any] = [None] * world
    dist.all_gather_object(told, (code, "" if own is None else str(own), socket.gethostname()), group=patient())
    failed = [place for place, (found, _, _) in enumerate(told) if found]
    if not failed:
        return
    first = failed[0]
    code, text, host = told[first]
    if rank != 0:
        raise Told(code) from own
    if own is not None:
        raise own
    raise (HardenerError if code == 2 else Failure)(f"process {first} on {host}: {text}")


def lost(error: RuntimeError) -> bool:
    """Tell whether an error says that another process can no longer be reached; gloo has no type for it."""
    return isinstance(error, dist.DistError) or any(word in str(error).lower() for word in _LOST)


def patient() -> dist.ProcessGroup:
    """Return the group for waits that may be long."""
    meet()
    return _groups[0]
