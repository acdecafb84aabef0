#!/bin/sh
# A training as a SLURM job that requeues itself before its time limit and goes on, as often as it takes.
# Run: sbatch conf/slurm/fit.sh runs/NAME --config conf/fit/aio3.yaml --data_file_dir ROOT
# The folder comes first: all nodes have to see it. What follows is given to `aio fit`.
#SBATCH --job-name=fit
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@90
#SBATCH --requeue
#SBATCH --open-mode=append
folder=$1
shift
set -- "$@" --config conf/trainer/slurm.yaml --ckpt_dir "$folder" --resume_from auto
set -- "$@" --devices "$SLURM_NTASKS_PER_NODE" --trainer.num_nodes "$SLURM_NNODES"
exec srun --kill-on-bad-exit=1 python -m aio.fit "$@"
