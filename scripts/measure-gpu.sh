#!/usr/bin/env bash
# Measures the model on a GPU in one command of at most eight minutes: labels against fp32, windows per second by model, precision and
# batch, own kernels against libtorch's operations, how busy the GPU is, and the CPU's scaling with threads. Needs segearth-model-bench
# (no GDAL), python3, and libtorch 2.11: that of python3's torch, or LIBTORCH. What is known after each run stands in OUT/measure.json
# and OUT/measure.md.
#   scripts/measure-gpu.sh [--device cuda|cpu] [--out FOLDER] [--program FILE] [--limit SECONDS]
#   scripts/measure-gpu.sh --pack FOLDER [--program FILE]    what another machine needs, in one folder
# --device cpu rehearses the steps in a small form on a machine without a GPU. A measurement that does not fit into the GPU's memory is
# left out and named; the exit code is 1 where one failed for another reason.
set -euo pipefail
# shellcheck disable=SC2034 # for the messages of common.sh
name=measure
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=scripts/common.sh
. "$here/common.sh"
device=cuda out=target/measure limit=450 pack='' program=$here/segearth-model-bench
[ -x "$program" ] || program=$here/../target/release/segearth-model-bench
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || die "$1 has no value" "the options are --device, --out, --program, --limit and --pack, each with a value"
  case "$1" in
    --device) device=$2 ;;
    --out) out=$2 ;;
    --program) program=$2 ;;
    --limit) limit=$2 ;;
    --pack) pack=$2 ;;
    *) die "unknown option $1" "the options are --device, --out, --program, --limit and --pack" ;;
  esac
  shift 2
done
case "$device" in cuda | cpu) ;; *) die "--device $device is neither cuda nor cpu" ;; esac
case "$limit" in '' | *[!0-9]*) die "--limit $limit is no number of seconds" ;; esac
[ -x "$program" ] || die "there is no program $program" "cargo build --release --bin segearth-model-bench, or name it with --program"
if [ -n "$pack" ]; then
  mkdir -p "$pack"
  strip -o "$pack/segearth-model-bench" "$program"
  cp "$here"/measure-gpu.{sh,py} "$here/common.sh" "$pack/"
  say "$pack: $(du -sh --apparent-size "$pack" | cut -f1); on the other machine: $(basename "$pack")/measure-gpu.sh"
  exit 0
fi
command -v python3 >/dev/null || die "there is no python3" "install it: it makes the table"
runs=$out/runs
rm -rf "$runs"
mkdir -p "$runs"

# --- libtorch ---------------------------------------------------------------------------------------------------------
# Prints the folder and the version of python3's torch. It is not imported: that takes seconds, and may fail without a driver.
python_torch() {
  python3 - 2>/dev/null <<'END'
import importlib.util, pathlib, re
folder = pathlib.Path(importlib.util.find_spec("torch").submodule_search_locations[0])
version = re.search(r"__version__ = '(.+?)'", (folder / "version.py").read_text()).group(1)
print(folder / "lib", version)
END
}
found=none
if [ -n "${LIBTORCH:-}" ]; then
  lib=$LIBTORCH/lib
elif found=$(python_torch) && case "$found" in *" 2.11."*) true ;; *) false ;; esac then
  lib=${found% *}
else
  lib=$here/../.libtorch/lib
fi
[ -e "$lib/libtorch_cpu.so" ] ||
  die "there is no libtorch 2.11 (python3's torch: ${found:-none})" "pip install torch==2.11.0, or name a libtorch in LIBTORCH"
export LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
[ "$device" = cpu ] || [ -e "$lib/libtorch_cuda.so" ] ||
  die "the libtorch in $lib has no CUDA half (python3's torch: ${found:-none})" "install a torch 2.11 with CUDA, or name it in LIBTORCH"
"$program" --help >/dev/null || die "$program does not start" "its words are above; LD_LIBRARY_PATH is $LD_LIBRARY_PATH"
say "libtorch in $lib"

# --- measurements -----------------------------------------------------------------------------------------------------
SECONDS=0
failed=0
table() { python3 "$here/measure-gpu.py" "$out" "$device" "$SECONDS"; }
# note NAME STATUS REASON BEGUN: a line for the table
note() { printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$(date +%s.%N)" >>"$runs/index.tsv"; }
# A GPU that takes longer hangs; a processor may be busy with something else.
if [ "$device" = cuda ]; then each=120; else each=400; fi
# measure NAME ENVIRONMENT… -- ARGUMENTS…: one run of the program; none is begun after the limit.
measure() {
  local what=$1 environment=() status=0 begun=$SECONDS at reason seconds
  at=$(date +%s.%N)
  shift
  while [ "$1" != -- ]; do environment+=("$1"); shift; done
  shift
  if [ $SECONDS -ge "$limit" ]; then
    say "$what: left out, $limit s are over"
    note "$what" 'left out' "$limit s are over" "$at"
    return 0
  fi
  seconds=$((limit - SECONDS + 20))
  [ $seconds -le $each ] || seconds=$each
  env "${environment[@]}" timeout -k 5 $seconds "$program" --quiet --overwrite --json "$runs/$what.json" --device "$device" "$@" \
    >"$runs/$what.log" 2>&1 || status=$?
  if [ $status = 0 ]; then
    note "$what" ok '' "$at"
    say "$what: $(sed -n 's/.*"windows_per_second": \([0-9.]\{1,8\}\).*/\1/p' "$runs/$what.json") windows/s ($((SECONDS - begun)) s)"
  elif grep -qiE 'out of memory|OutOfMemory|CUDNN_STATUS_ALLOC_FAILED|CUBLAS_STATUS_ALLOC_FAILED' "$runs/$what.log"; then
    note "$what" 'left out' "out of memory" "$at"
    say "$what: left out, out of memory"
  else
    failed=$((failed + 1))
    reason=$({ grep -m 1 -E '^error|panicked' "$runs/$what.log" || tail -n 1 "$runs/$what.log"; } | sed 's/^error: //' | tr '\t|' '  ')
    [ $status != 124 ] && [ $status != 137 ] || reason="not done after $seconds s"
    note "$what" failed "${reason:-exit code $status}" "$at"
    say "$what: failed: ${reason:-exit code $status}"
  fi
  table >/dev/null || true
}
# sample: what the GPU does, four times a second, into runs/smi.csv
sampler=''
sample() {
  if ! command -v nvidia-smi >/dev/null; then
    say "no nvidia-smi: how busy the GPU is and its memory are left out"
    return 0
  fi
  nvidia-smi -i "${CUDA_VISIBLE_DEVICES:-0}" -lms 250 --format=csv \
    --query-gpu=timestamp,name,driver_version,utilization.gpu,memory.used,power.draw,clocks.sm >"$runs/smi.csv" 2>"$runs/smi.log" &
  sampler=$!
}
finish() {
  [ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true
  table || true
}
base=random:vit-b-16 large=random:vit-l-14
if [ "$device" = cuda ]; then
  # The built-in model is the smallest: where it cannot run, nothing can. Runs of 0 s say why.
  measure mini-8 -- --model mini --batch 8 --rounds 2
  if grep -q "is not available" "$runs/mini-8.log"; then
    die "$(sed -n 's/^error: //p' "$runs/mini-8.log")" "$(nvidia-smi 2>&1 | head -n 4 | paste -sd' ' || true)
torch 2.11 with CUDA 13 needs a driver of version 580 or later; \`segearth doctor\` says more."
  fi
  trap finish EXIT
  sample
  # Correctness first: speed of wrong labels is worth nothing.
  for precision in fp32 fp16 bf16; do
    measure "labels-b16-$precision" -- --model $base --precision $precision --batch 8 --rounds 2 --agreement
  done
  for batch in 8 32 64 128 256; do measure "b16-fp16-$batch" -- --model $base --precision fp16 --batch $batch --rounds 5; done
  measure b16-fp16-64-libtorch SEGEARTH_GPU_KERNELS=0 -- --model $base --precision fp16 --batch 64 --rounds 3
  for batch in 64 256; do measure "b16-bf16-$batch" -- --model $base --precision bf16 --batch $batch --rounds 5; done
  measure b16-fp32-64 -- --model $base --precision fp32 --batch 64 --rounds 3
  for batch in 8 64 128; do measure "l14-fp16-$batch" -- --model $large --precision fp16 --batch $batch --rounds 3; done
  measure labels-l14-fp16 -- --model $large --precision fp16 --batch 8 --rounds 1 --agreement
  # Time in each kernel, where NVIDIA's profiler is there.
  if command -v nsys >/dev/null && [ $SECONDS -lt "$limit" ]; then
    if timeout 90 nsys profile --force-overwrite true -o "$runs/kernels" "$program" --quiet --model $base --device cuda \
      --precision fp16 --batch 64 --rounds 3 >"$runs/nsys.log" 2>&1; then
      nsys stats --report cuda_gpu_kern_sum --format csv "$runs/kernels.nsys-rep" >"$runs/kernels.csv" 2>>"$runs/nsys.log" || true
    else
      say "nsys failed: $(tail -n 1 "$runs/nsys.log")"
    fi
    rm -f "$runs"/kernels.nsys-rep "$runs"/kernels.sqlite
  else
    say "no nsys: time in each kernel is left out"
  fi
  threads=(1 2 4 8 16) scaled=$base rounds=2
else
  trap finish EXIT
  measure mini-8 -- --model mini --batch 8 --rounds 1
  measure labels-b16-bf16 -- --model $base --precision bf16 --batch 1 --rounds 1 --queries 2 --agreement
  measure b16-fp32-2 -- --model $base --precision fp32 --batch 2 --rounds 1 --queries 2
  threads=(1 2) scaled=mini rounds=1
fi
device=cpu
for count in "${threads[@]}"; do
  [ "$count" -le "$(nproc)" ] || break
  measure "cpu-threads-$count" -- --model $scaled --threads "$count" --rounds $rounds
done
say "$out/measure.json, $out/measure.md ($SECONDS s, $failed failed)"
[ "$failed" = 0 ]
