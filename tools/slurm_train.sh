#!/usr/bin/env bash
#SBATCH --job-name=mvssl
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
# Trains under SLURM, one task a process, and goes on in the next job when the time is over.
set -uo pipefail

usage() {
    cat >&2 <<'TEXT'
usage: sbatch [options of sbatch] tools/slurm_train.sh CONFIG WORK_DIR [arguments of tools/train.py ...]

  CONFIG    config file, for example configs/photos/byol_er_vit.py
  WORK_DIR  folder of the outputs, the same for every job of the run: where it holds a checkpoint,
            the run goes on from it

Call it from the folder that holds tools/. One task is one process, on one GPU of its own:

  sbatch --nodes=2 --ntasks-per-node=4 --gpus-per-node=4 --cpus-per-task=8 --time=12:00:00 \
      tools/slurm_train.sh configs/photos/byol_er_vit.py work_dirs/mine --data /data/photos

120 seconds before the time is over SLURM sends SIGUSR1: the run saves, and the job is queued
again. SIGTERM (scancel, preemption) saves as well, and what is queued again then SLURM decides.
TEXT
    exit 2
}

[[ $# -ge 2 ]] || usage
config=$1
work_dir=$2
shift 2
if [[ ! -f tools/train.py ]]; then
    echo "error: there is no tools/train.py in $PWD: call sbatch from the folder that holds tools/." >&2
    exit 2
fi

resume=()
# Not by a pattern of the shell, to which brackets in the folder's name would be a part of it.
saved=$(find "$work_dir/" -maxdepth 1 \( -name 'epoch_*.pth' -o -name 'iter_*.pth' \) -print -quit 2>/dev/null || true)
if [[ -n $saved ]]; then
    resume=(--resume)
fi

# In the background, since bash runs traps between two commands.
pass_on() { kill -"$1" "$child" 2>/dev/null || true; }
trap 'pass_on USR1' USR1
trap 'pass_on TERM' TERM
srun --kill-on-bad-exit=1 python tools/train.py "$config" --launcher slurm --work-dir "$work_dir" \
    ${resume[@]+"${resume[@]}"} "$@" &
child=$!
status=0
wait "$child" || status=$?
while kill -0 "$child" 2>/dev/null; do # a signal ends the wait, not the run
    status=0
    wait "$child" || status=$?
done

if [[ $status -eq 138 ]]; then # 128 + SIGUSR1: saved, with more to do
    echo "the time is over: job ${SLURM_JOB_ID:?} is queued again and goes on in $work_dir"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$status"
