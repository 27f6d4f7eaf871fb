#!/usr/bin/env bash
# Jobs shared out by a real Slurm, two nodes on this machine: an array of eight with a node lost on the way, and an array of two
# with a task killed. The results must have the bytes of a single run.
#   tests/slurm/run.sh PROGRAM          (as root; installs Slurm where apt may)
# Skips, loudly, where Slurm cannot be had. Ends only what it started.
set -euo pipefail

program=$(realpath "${1:?usage: tests/slurm/run.sh PROGRAM}")
repository=$(cd "$(dirname "$0")/../.." && pwd)
name=test-slurm
. "$repository/scripts/common.sh"
skip() { skipped "$1"; exit 0; }

[ "$(id -u)" = 0 ] || skip "Slurm: not root"
if ! command -v slurmctld slurmd sbatch munged >/dev/null; then
    command -v apt-get >/dev/null || skip "Slurm: not installed, and no apt"
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends slurmctld slurmd slurm-client munge; } \
        >/dev/null 2>&1 || skip "Slurm: apt cannot install it"
fi

work=$(mktemp -d)
chmod 755 "$work"
pids=()
finish() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    # Steps that a lost node left running.
    for pid in $(pgrep -x segearth || true); do
        if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "SEGEARTH_SLURM_TEST=$work"; then kill -9 "$pid"; fi
    done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
fail() {
    echo "FAILED: $1" >&2
    { squeue -o '%i %j %T %r'; scontrol show job; tail -n 20 "$work"/*.log "$work"/*/slurm-*.out; } >&2 2>/dev/null || true
    exit 1
}

export SLURM_CONF=$work/slurm.conf SEGEARTH_SLURM_TEST=$work
mkdir "$work"/{state,spool-node1,spool-node2}
dd if=/dev/urandom of="$work/munge.key" bs=1024 count=1 status=none
chmod 400 "$work/munge.key"
munged --foreground --force --socket="$work/munge.sock" --key-file="$work/munge.key" --pid-file="$work/munged.pid" \
    --log-file="$work/munged.log" --seed-file="$work/munge.seed" >"$work/munged.out" 2>&1 &
pids+=($!)
host=$(hostname -s)
cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.sock
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool-%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd-%n.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
JobRequeue=1
NodeName=node1 NodeHostname=$host NodeAddr=127.0.0.1 Port=16818 CPUs=1
NodeName=node2 NodeHostname=$host NodeAddr=127.0.0.1 Port=16819 CPUs=1
PartitionName=all Nodes=node1,node2 Default=YES State=UP
CONF
slurmctld -D >"$work/slurmctld.out" 2>&1 &
pids+=($!)
slurmd -D -N node1 >"$work/slurmd1.out" 2>&1 &
pids+=($!)
slurmd -D -N node2 >"$work/slurmd2.out" 2>&1 &
second=$!
pids+=("$second")
for _ in $(seq 60); do
    [ "$(sinfo -h -N -t idle 2>/dev/null | wc -l)" = 2 ] && break
    sleep 0.5
done
[ "$(sinfo -h -N -t idle 2>/dev/null | wc -l)" = 2 ] || skip "Slurm's two nodes do not come up here: $(sinfo 2>&1 | tail -n 2)"

cat >"$work/job.yaml" <<JOB
scene: $repository/sample_data/itaipu.tif
model: fake:identity
classes: [red, green, blue]
method: {logit_scale: 0.05}
tiling: {stride: 14}
outputs: {folder: results, scores: true, polygons: results.fgb}
JOB
cd "$work"
"$program" -q run job.yaml --output single
# submit FOLDER TASKS: submits the job into the folder; the merge's number goes to $merge.
submit() {
    mkdir -p "$work/$1"
    "$program" submit slurm job.yaml --output "$1" --tasks "$2" -- --output="$work/$1/slurm-%A_%a.out" | tee "$work/submitted"
    merge=$(sed 's/.*merge //' "$work/submitted")
}
# catch NODE: stops a task in the middle of its work on the node (a pattern); its number goes to $caught.
catch() {
    for _ in $(seq 240); do
        for pid in $(pgrep -x segearth || true); do
            tr '\0' '\n' 2>/dev/null <"/proc/$pid/environ" | grep -qx "SLURMD_NODENAME=$1" || continue
            sleep 0.3
            if kill -STOP "$pid" 2>/dev/null; then caught=$pid; return; fi
        done
        sleep 0.1
    done
    fail "no task was seen on $1"
}
# await JOB: until Slurm has ended it. Slurm starts the task of a lost node again after two minutes.
await() {
    for _ in $(seq 1200); do
        state=$(squeue -h -j "$1" -o '%T %r' 2>/dev/null || true)
        [ -z "$state" ] || [[ $state == COMPLET* || $state == FAILED* ]] && return
        sleep 0.5
    done
    fail "job $1 is still $state"
}
# same FOLDER: fails unless the results are a single run's.
same() {
    for name in itaipu_labels.tif itaipu_scores.tif results.fgb; do
        cmp "$work/single/$name" "$work/$1/$name" || fail "$name in $1 differs from a single run's"
    done
    [ ! -e "$work/$1/itaipu_labels.tif.unfinished" ] || fail "unfinished rows were left in $1"
}

# A task is killed, as when memory runs out. The merge must say so and write nothing; the same submit again does what is missing.
submit killed 2
catch 'node[12]'
kill -9 "$caught"
await "$merge"
[ ! -e "$work/killed/itaipu_labels.tif" ] || fail "a merge of a part wrote results"
grep -hq 'shard' "$work"/killed/slurm-"$merge"_*.out || fail "the merge does not say what is missing"
submit killed 2
await "$merge"
same killed

# The second node is lost while it works: Slurm is told, its daemon and its task end.
submit results 8
catch node2
scontrol update nodename=node2 state=down reason=lost
kill -9 "$second" "$caught" 2>/dev/null || true
await "$merge"
same results
again=$("$program" submit slurm job.yaml --tasks 8 2>&1)
[[ $again == *"nothing was submitted"* ]] || fail "a finished job was submitted again: $again"
echo "Slurm: arrays on two nodes, one task killed, one node lost: labels, scores and polygons have the bytes of a single run."
