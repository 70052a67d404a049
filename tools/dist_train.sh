#!/usr/bin/env bash
# Trains with one process per device, on one machine or several.
set -euo pipefail

usage() {
    cat >&2 <<'EOF'
usage: tools/dist_train.sh CONFIG NPROC [arguments of tools/train.py ...]

  CONFIG  config file, for example configs/byol_er_vit.py
  NPROC   number of processes on this machine: one per GPU, any number on CPU

On several machines, run it on each with these set (default in brackets):
  NNODES       number of machines [1]
  NODE_RANK    number of this machine, from 0 [0]
  MASTER_ADDR  address of machine 0 [127.0.0.1]
  PORT         a free port on machine 0 [29500]

SIGINT, SIGTERM, SIGUSR1 and SIGHUP reach all processes: the first saves and ends, the second
ends at once. The exit status is that of the processes.
EOF
    exit 2
}

[[ $# -ge 2 ]] || usage
if [[ ! $2 =~ ^[1-9][0-9]*$ ]]; then
    echo "tools/dist_train.sh: NPROC is '$2'; give a whole number of processes, 1 or more." >&2
    usage
fi

# It takes this process's place, and so the signals that are meant for it.
exec python -m mvssl.process.spawn "$(dirname "${BASH_SOURCE[0]}")/train.py" "$@"
