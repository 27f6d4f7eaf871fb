#!/usr/bin/env python3
"""Makes one file and one table of what measure-gpu.sh measured: OUT/measure.json and OUT/measure.md, which is also printed.

    measure-gpu.py OUT DEVICE SECONDS

A run that failed or was left out has a row with the reason. What cannot be read is left out: figures must not be lost for a header.
"""

from __future__ import annotations

import csv
import datetime
import json
import os
import pathlib
import platform
import sys

# Windows of 224 pixels, 112 apart, in a scene of 10,000 × 10,000.
WINDOWS_OF_A_SCENE = 89 * 89
COLUMNS = ("run", "precision", "batch", "threads", "windows/s", "window / transformer", "labels as fp32", "largest difference",
           "GPU busy", "GPU memory GiB", "memory GB")


def number(text: str | None) -> float | None:
    try:
        return float((text or "").split()[0])
    except (ValueError, IndexError):
        return None


def samples_of(path: pathlib.Path) -> list[dict]:
    found = []
    if path.exists():
        with open(path, errors="replace") as file:
            for row in csv.DictReader(file, skipinitialspace=True):
                row = {(key or "").split(" [")[0].strip(): value for key, value in row.items() if isinstance(value, str)}
                try:
                    at = datetime.datetime.strptime(row["timestamp"].strip(), "%Y/%m/%d %H:%M:%S.%f").timestamp()
                except (KeyError, ValueError):
                    continue
                found.append(row | {"at": at})
    return found


def gpu_of(samples: list[dict], begun: float, ended: float) -> dict:
    """Memory at most, and how busy from the first to the last sample in which it is more than half: without loading and ending."""
    within = [sample for sample in samples if begun <= sample["at"] <= ended]
    memory = [value for value in (number(sample.get("memory.used")) for sample in within) if value is not None]
    busy = [value for value in (number(sample.get("utilization.gpu")) for sample in within) if value is not None]
    working = [index for index, value in enumerate(busy) if value > 50]
    at_work = busy[working[0]:working[-1] + 1] if working else []
    return {"gpu_memory_mib": max(memory, default=None), "gpu_busy_percent": sum(at_work) / len(at_work) if at_work else None}


def kernels_of(path: pathlib.Path) -> list[dict]:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    start = next((at for at, line in enumerate(lines) if line.startswith("Time (%)")), None)
    return [] if start is None else list(csv.DictReader(lines[start:]))[:20]


def row_of(name: str, run: dict, one_thread: float | None) -> list[str]:
    def text(value: float | None, form: str) -> str:
        return "" if value is None else form.format(value)

    speed = text(run.get("windows_per_second"), "{:.2f}")
    if name.startswith("cpu-") and one_thread and run.get("threads"):
        speed += f" (efficiency {run['windows_per_second'] / one_thread / run['threads']:.2f})"
    ratio, equal = run.get("window_to_half"), run.get("labels_equal")
    memory, busy = run.get("gpu_memory_mib"), run.get("gpu_busy_percent")
    return [name, run.get("precision", ""), str(run.get("batch", "")), str(run.get("threads", "")), speed,
            text(ratio[0] if ratio else None, "{:.2f}"), text(None if equal is None else 100 * equal, "{:.3f} %"),
            text(run.get("largest_difference"), "{:.1e}"), text(busy, "{:.0f} %"),
            text(None if memory is None else memory / 1024, "{:.1f}"), text((run.get("peak_memory") or 0) / 1e9, "{:.2f}")]


def main() -> None:
    out, device, seconds = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    folder = out / "runs"
    samples, runs = samples_of(folder / "smi.csv"), {}
    index = folder / "index.tsv"
    for line in index.read_text().splitlines() if index.exists() else []:
        name, status, reason, begun, ended = line.split("\t")
        run = {"status": status, "reason": reason or None}
        if status == "ok":
            try:
                run |= json.loads((folder / f"{name}.json").read_text())
            except (OSError, ValueError) as error:
                run = {"status": "failed", "reason": f"its figures cannot be read: {error}"}
            if not name.startswith("cpu-"):
                run |= gpu_of(samples, float(begun), float(ended))
        runs[name] = run
    kernels = kernels_of(folder / "kernels.csv")
    first = samples[0] if samples else {}
    processor = next((run["processor"] for run in runs.values() if run.get("processor")), platform.processor())
    record = {
        "device": device, "processor": processor, "cores": os.cpu_count(),
        "gpu": {"name": first.get("name"), "driver": first.get("driver_version")} if first else None,
        "seconds": seconds, "failed": sum(run["status"] == "failed" for run in runs.values()), "runs": runs, "kernels": kernels,
    }
    (out / "measure.json").write_text(json.dumps(record, indent=1) + "\n")

    lines = [f"{first['name']}, driver {first.get('driver_version')}; {processor}" if first else processor, "",
             "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    one_thread = runs.get("cpu-threads-1", {}).get("windows_per_second")
    for name, run in runs.items():
        cells = row_of(name, run, one_thread) if run["status"] == "ok" else [name, f"{run['status']}: {run['reason']}"]
        lines.append("| " + " | ".join(cells + [""] * (len(COLUMNS) - len(cells))) + " |")
    speeds = {name: run["windows_per_second"] for name, run in runs.items() if name.startswith("b16-") and "windows_per_second" in run}
    if speeds:
        best = max(speeds, key=speeds.get)
        lines += ["", f"Fastest with ViT-B/16: {best}, {speeds[best]:,.1f} windows/s. A scene of 10,000 × 10,000 pixels has "
                      f"{WINDOWS_OF_A_SCENE:,} windows: {WINDOWS_OF_A_SCENE / speeds[best]:,.0f} s in the model."]
    if kernels:
        lines += ["", "| kernel | time | calls |", "|---|---|---|"]
        lines += [f"| `{kernel.get('Name', '')[:90]}` | {kernel.get('Time (%)')} % | {kernel.get('Instances')} |" for kernel in kernels[:12]]
    (out / "measure.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
