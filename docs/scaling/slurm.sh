#!/bin/bash
# hardener train on several machines under SLURM:
#   sbatch --nodes 4 docs/scaling/slurm.sh MODEL --data DIR --recipe sprout
#   sbatch --nodes 4 docs/scaling/slurm.sh --resume RUN
# Model, data and runs lie on a file system that all machines share.
#SBATCH --job-name=hardener
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
# SIGTERM two minutes before the time is up: the run is put away and can go on.
#SBATCH --signal=TERM@120
# A job that was preempted comes back with its number, and so finds its run again.
#SBATCH --requeue
set -euo pipefail

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)  # not head, which ends before scontrol has told them all
export OMP_NUM_THREADS=$((SLURM_CPUS_PER_TASK / SLURM_GPUS_ON_NODE))

# One torchrun a machine; it starts one process a GPU, and all of them again, up to three times, where one fails.
srun --kill-on-bad-exit=0 torchrun \
    --nnodes "$SLURM_NNODES" --nproc-per-node "$SLURM_GPUS_ON_NODE" --max-restarts 3 \
    --rdzv-backend c10d --rdzv-endpoint "$first:29500" --rdzv-id "$SLURM_JOB_ID" \
    -m hardener train "$@"
