"""The files that docs/scaling.md ships start what they say."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml
from torch.distributed.run import parse_args
from typer.testing import CliRunner

from hardener.cli.app import app

FILES = Path(__file__).parents[2] / "docs" / "scaling"


def check_command(torchrun: list[str]) -> Any:
    """Parse a command as torchrun and as hardener would; return what torchrun understood."""
    understood = parse_args(torchrun)
    assert understood.module
    assert understood.training_script == "hardener"
    found = CliRunner().invoke(app, [*understood.training_script_args, "--help"])
    assert found.exit_code == 0, found.output
    return understood


def test_the_slurm_script_starts_one_torchrun_a_machine(tmp_path: Path) -> None:
    script = FILES / "slurm.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    for name, text in {"scontrol": "printf 'node7\\nnode8\\n'; seq 100000", "srun": 'printf "%s\\n" "$@"'}.items():
        stand_in = tmp_path / name
        stand_in.write_text(f"#!/bin/bash\n{text}\n")
        stand_in.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_NNODES": "2",
        "SLURM_GPUS_ON_NODE": "4",
        "SLURM_CPUS_PER_TASK": "64",
        "SLURM_JOB_ID": "123",
    }
    asked = ["my model.py", "--data", "imgs", "--recipe", "sprout"]
    found = subprocess.run([str(script), *asked], env=environment, capture_output=True, text=True, check=True)
    option, program, *words = found.stdout.splitlines()
    assert (option, program) == ("--kill-on-bad-exit=0", "torchrun")
    understood = check_command(words)
    assert (understood.nnodes, understood.nproc_per_node, understood.max_restarts) == ("2", "4", 3)
    assert (understood.rdzv_backend, understood.rdzv_endpoint, understood.rdzv_id) == ("c10d", "node7:29500", "123")
    assert understood.training_script_args == ["train", *asked]


def test_the_slurm_script_asks_for_time_to_put_the_run_away() -> None:
    lines = (FILES / "slurm.sh").read_text().splitlines()
    assert "#SBATCH --signal=TERM@120" in lines
    assert "#SBATCH --requeue" in lines
    assert "#SBATCH --ntasks-per-node=1" in lines


def test_the_pytorchjob_has_what_the_operator_needs() -> None:
    job = yaml.safe_load((FILES / "pytorchjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    spec = job["spec"]
    elastic, worker = spec["elasticPolicy"], spec["pytorchReplicaSpecs"]["Worker"]
    assert list(spec["pytorchReplicaSpecs"]) == ["Worker"]
    assert elastic["minReplicas"] <= worker["replicas"] <= elastic["maxReplicas"]
    assert elastic["rdzvId"]  # without one, torchrun has no name that survives a pod
    pod = worker["template"]["spec"]
    (container,) = pod["containers"]
    assert container["name"] == "pytorch"
    assert container["ports"] == [{"name": "pytorchjob-port", "containerPort": 23456}]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == spec["nprocPerNode"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    program, *words = container["command"]
    assert program == "torchrun"
    understood = check_command([*words, *container["args"]])
    places = [word for word in understood.training_script_args if word.startswith("/")]
    assert all(word.startswith("/data/") for word in places)
    assert len(places) == 3
