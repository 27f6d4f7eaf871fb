#!/usr/bin/env bash
# Measures the model on a GPU in one command of at most eight minutes: labels against fp32, windows per second by model, precision and
# batch, own kernels against libtorch's operations, how busy the GPU is, and the CPU's scaling with threads. Needs segearth-model-bench
# (no GDAL) and libtorch 2.11: that of python3's torch, or LIBTORCH. All figures come into OUT/measure.json and OUT/measure.md.
#   scripts/measure-gpu.sh [--device cuda|cpu] [--out FOLDER] [--program FILE] [--limit SECONDS]
# --device cpu rehearses every step in a small form on a machine without a GPU.
set -euo pipefail
name=measure
. "$(dirname "$0")/common.sh"
device=cuda out=target/measure limit=450
program=$(dirname "$0")/../target/release/segearth-model-bench
while [ $# -gt 0 ]; do
  case "$1" in
    --device) device=$2 ;;
    --out) out=$2 ;;
    --program) program=$2 ;;
    --limit) limit=$2 ;;
    *) die "unknown option $1" "the options are --device, --out, --program and --limit" ;;
  esac
  shift 2 || die "the last option has no value"
done
case "$device" in cuda | cpu) ;; *) die "--device $device is neither cuda nor cpu" ;; esac
[ -x "$program" ] || die "there is no program $program" "cargo build --release --bin segearth-model-bench, or name it with --program"
mkdir -p "$out"
rm -f "$out"/*.json "$out"/*.log "$out"/*.csv

# --- libtorch ---------------------------------------------------------------------------------------------------------
python_torch() {
  python3 - <<'END' 2>/dev/null
import pathlib, torch
assert torch.__version__.startswith("2.11."), torch.__version__
print(pathlib.Path(torch.__file__).parent / "lib")
END
}
if [ -n "${LIBTORCH:-}" ]; then
  lib=$LIBTORCH/lib
elif ! lib=$(python_torch); then
  lib=$(dirname "$0")/../.libtorch/lib
fi
[ -e "$lib/libtorch_cpu.so" ] || die "there is no libtorch 2.11" "pip install torch==2.11.0, or name a libtorch in LIBTORCH"
export LD_LIBRARY_PATH=$lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
[ "$device" = cpu ] || [ -e "$lib/libtorch_cuda.so" ] || die "the libtorch in $lib has no CUDA half" "install a torch with CUDA"
say "libtorch in $lib, program $("$program" --help >/dev/null && echo starts)"

# --- measurements -----------------------------------------------------------------------------------------------------
SECONDS=0
failed=0
# measure NAME ENVIRONMENT… -- ARGUMENTS…: one run of the program; none is begun after the limit.
measure() {
  local what=$1 environment=() status=0
  shift
  while [ "$1" != -- ]; do environment+=("$1"); shift; done
  shift
  if [ $SECONDS -ge "$limit" ]; then
    say "$what: left out, $limit s are over"
    return 0
  fi
  local begun=$SECONDS
  env "${environment[@]}" timeout $((limit - SECONDS + 30)) "$program" --quiet --overwrite --json "$out/$what.json" "$@" \
    >"$out/$what.log" 2>&1 || status=$?
  if [ $status = 0 ]; then
    say "$what: $(grep -o '"windows_per_second": [0-9.]*' "$out/$what.json" | cut -d' ' -f2 | cut -c1-8) windows/s ($((SECONDS - begun)) s)"
  else
    failed=$((failed + 1))
    say "$what: failed ($status): $(tail -n 3 "$out/$what.log" | paste -sd' ')"
  fi
}
cores=$(nproc)
base=random:vit-b-16 large=random:vit-l-14
sampler=''
if [ "$device" = cuda ] && command -v nvidia-smi >/dev/null; then
  nvidia-smi --query-gpu=timestamp,name,driver_version,utilization.gpu,memory.used,power.draw,clocks.sm --format=csv -lms 250 >"$out/smi.csv" 2>&1 &
  sampler=$!
  trap 'kill $sampler 2>/dev/null || true' EXIT
fi
if [ "$device" = cuda ]; then
  # Correctness first: speed of wrong labels is worth nothing.
  for precision in fp32 fp16 bf16; do
    measure "labels-b16-$precision" -- --model $base --device cuda --precision $precision --batch 8 --rounds 2 --agreement
  done
  for batch in 8 32 64 128 256; do
    measure "b16-fp16-$batch" -- --model $base --device cuda --precision fp16 --batch $batch --rounds 5
  done
  measure b16-fp16-64-libtorch SEGEARTH_GPU_KERNELS=0 -- --model $base --device cuda --precision fp16 --batch 64 --rounds 3
  for batch in 64 256; do
    measure "b16-bf16-$batch" -- --model $base --device cuda --precision bf16 --batch $batch --rounds 5
  done
  measure b16-fp32-64 -- --model $base --device cuda --precision fp32 --batch 64 --rounds 3
  for batch in 8 64 128; do
    measure "l14-fp16-$batch" -- --model $large --device cuda --precision fp16 --batch $batch --rounds 3
  done
  measure labels-l14-fp16 -- --model $large --device cuda --precision fp16 --batch 8 --rounds 1 --agreement
  # Time in each kernel, where NVIDIA's profiler is there.
  if command -v nsys >/dev/null && [ $SECONDS -lt "$limit" ]; then
    timeout 90 nsys profile --force-overwrite true -o "$out/kernels" "$program" --quiet --model $base --device cuda --precision fp16 \
      --batch 64 --rounds 3 >"$out/nsys.log" 2>&1 &&
      nsys stats --report cuda_gpu_kern_sum --format csv "$out/kernels.nsys-rep" >"$out/kernels.csv" 2>>"$out/nsys.log" ||
      say "nsys failed: $(tail -n 1 "$out/nsys.log")"
  else
    say "no nsys: time in each kernel is left out"
  fi
  threads=(1 2 4 8 16) rounds=2
else
  measure labels-b16-bf16 -- --model $base --device cpu --precision bf16 --batch 1 --rounds 1 --queries 3 --agreement
  measure b16-fp32-2 -- --model $base --device cpu --precision fp32 --batch 2 --rounds 1
  measure l14-fp32-1 -- --model $large --device cpu --precision fp32 --batch 1 --rounds 1 --queries 3
  measure mini-8 -- --model mini --device cpu --batch 8 --rounds 1
  threads=(1 2) rounds=1
fi
for count in "${threads[@]}"; do
  [ "$count" -le "$cores" ] || break
  measure "cpu-b16-threads-$count" -- --model $base --device cpu --threads "$count" --rounds $rounds
done
if [ -n "$sampler" ]; then kill "$sampler" 2>/dev/null || true; fi

# --- one file and one table -------------------------------------------------------------------------------------------
python3 - "$out" "$device" "$SECONDS" "$failed" <<'END'
import csv, json, pathlib, platform, sys

out, device, seconds, failed = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
runs = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json")) if path.stem != "measure"}
samples = []
if (out / "smi.csv").exists():
    with open(out / "smi.csv") as file:
        for row in csv.DictReader(file, skipinitialspace=True):
            try:
                samples.append({key.split(" [")[0]: value for key, value in row.items()})
            except AttributeError:
                pass
busy = [float(s["utilization.gpu"].split()[0]) for s in samples if s.get("utilization.gpu", "").split()]
memory = [float(s["memory.used"].split()[0]) for s in samples if s.get("memory.used", "").split()]
kernels = []
if (out / "kernels.csv").exists():
    lines = (out / "kernels.csv").read_text().splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith("Time (%)")), None)
    if start is not None:
        kernels = list(csv.DictReader(lines[start:]))[:20]
gpu = {"busy_percent_mean": sum(busy) / len(busy), "busy_percent_max": max(busy), "memory_mib_max": max(memory)} if busy and memory else None
first = samples[0] if samples else {}
record = {
    "device": device, "machine": platform.node(), "gpu": {"name": first.get("name"), "driver": first.get("driver_version"), **(gpu or {})},
    "seconds": seconds, "failed": failed, "runs": runs, "kernels": kernels,
}
(out / "measure.json").write_text(json.dumps(record, indent=1) + "\n")
lines = ["| run | precision | batch | threads | windows/s | window / transformer | labels as fp32 | memory GB |", "|---|---|---|---|---|---|---|---|"]
one_thread = runs.get("cpu-b16-threads-1", {}).get("windows_per_second")
for name, run in runs.items():
    ratio, equal = run.get("window_to_half"), run.get("labels_equal")
    speed = f"{run['windows_per_second']:.2f}"
    if name.startswith("cpu-") and one_thread:
        speed += f" (efficiency {run['windows_per_second'] / one_thread / run['threads']:.2f})"
    lines.append("| " + " | ".join([
        name, run["precision"], str(run["batch"]), str(run["threads"]), speed, f"{ratio[0]:.2f}" if ratio else "",
        f"{100 * equal:.3f} %" if equal is not None else "", f"{run['peak_memory'] / 1e9:.2f}"]) + " |")
if gpu:
    lines += ["", f"{first.get('name')}, driver {first.get('driver_version')}: busy {gpu['busy_percent_mean']:.0f} % on average over all runs and "
              f"loading, at most {gpu['busy_percent_max']:.0f} %; GPU memory at most {gpu['memory_mib_max'] / 1024:.1f} GiB."]
(out / "measure.md").write_text("\n".join(lines) + "\n")
print("\n".join(lines))
END
say "$out/measure.json, $out/measure.md ($SECONDS s, $failed failed)"
[ "$failed" = 0 ]
