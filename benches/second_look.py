"""What an adaptive second look would give: windows side by side first, the windows between them only where the map is unsure.

Computes every window of the dense plan (stride: half a window) with the built-in model, blends them as a run does, and counts for
rules of the second look what share of all windows would be computed, and what share of labels would be those of the dense plan.
Larger strides are run beside it.

    benches/peers.sh --side 600 --rounds 1      # makes target/peers, the Python that this needs
    target/peers/bin/python benches/second_look.py --segearth target/release/segearth scene.tif …
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import rasterio
from rasterio.windows import Window

WINDOW = 256
HALF = WINDOW // 2
CLASSES = ["water", "building", "road", "tree", "field", "bare soil"]


def scores(segearth, scene, folder):
    """Returns log scores of each dense window: (rows of windows, columns of windows, class, pixel row, pixel column)."""
    with rasterio.open(scene) as dataset:
        bands = [1, 2, 3]
        across, down = ((side - HALF) // WINDOW for side in (dataset.width, dataset.height))
        profile = dict(driver="GTiff", width=WINDOW * across, height=WINDOW * down, count=3, dtype="uint8", photometric="rgb",
                       crs=dataset.crs, transform=dataset.transform)
        found = np.zeros((2 * down, 2 * across, len(CLASSES), WINDOW, WINDOW), np.float32)
        for top in (0, 1):
            for left in (0, 1):
                path = os.path.join(folder, "part.tif")
                pixels = dataset.read(bands, window=Window(left * HALF, top * HALF, WINDOW * across, WINDOW * down))
                with rasterio.open(path, "w", **profile) as part:
                    part.write(pixels)
                job = os.path.join(folder, "job.yaml")
                with open(job, "w") as file:
                    file.write(f"model: mini\nscene: part.tif\nstretch: none\nclasses: [{', '.join(CLASSES)}]\n"
                               f"tiling: {{stride: {WINDOW}}}\noutputs: {{folder: out, scores: true}}\n")
                subprocess.run([segearth, "run", job, "--overwrite", "--quiet"], check=True, cwd=folder)
                with rasterio.open(os.path.join(folder, "out", "part_scores.tif")) as result:
                    values = np.log(np.maximum(result.read(), 1e-30))
                windows = values.reshape(len(CLASSES), down, WINDOW, across, WINDOW).transpose(1, 3, 0, 2, 4)
                found[top::2, left::2] = windows
    return found


def blend(found, chosen):
    """Returns labels and margins of the region that four windows cover, from the chosen windows."""
    rows, cols = chosen.shape
    hann = np.hanning(WINDOW + 2)[1:-1].astype(np.float32)
    weight = np.outer(hann, hann)
    shape = ((rows + 1) * HALF, (cols + 1) * HALF)
    sums, weights = np.zeros((len(CLASSES), *shape), np.float32), np.zeros(shape, np.float32)
    for row, col in zip(*np.nonzero(chosen)):
        y, x = slice(row * HALF, row * HALF + WINDOW), slice(col * HALF, col * HALF + WINDOW)
        sums[:, y, x] += found[row, col] * weight
        weights[y, x] += weight
    # Up to where the first look reaches, which begins at the corner.
    inner = (slice(HALF, shape[0] - HALF), slice(HALF, shape[1] - HALF))
    logits = sums[:, *inner] / np.maximum(weights[inner], 1e-12)
    chances = np.exp(logits - logits.max(0))
    chances /= chances.sum(0)
    top = np.sort(chances, 0)[-2:]
    return logits.argmax(0), top[1] - top[0]


def labels(segearth, scene, stride, folder):
    """Returns the labels of a run with a stride."""
    job = os.path.join(folder, "job.yaml")
    with open(job, "w") as file:
        file.write(f"model: mini\nscene: {json.dumps(os.path.abspath(scene))}\nbands: [1, 2, 3]\nstretch: none\n"
                   f"classes: [{', '.join(CLASSES)}]\ntiling: {{stride: {stride}}}\noutputs: {{folder: ., labels: labels.tif}}\n")
    subprocess.run([segearth, "run", job, "--overwrite", "--quiet"], check=True, cwd=folder)
    with rasterio.open(os.path.join(folder, "labels.tif")) as result:
        return result.read(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segearth", default="segearth")
    parser.add_argument("scenes", nargs="+")
    args = parser.parse_args()
    segearth = shutil.which(args.segearth)
    if segearth is None:
        sys.exit(f"second_look: error: {args.segearth} is not a program")
    segearth = os.path.abspath(segearth)
    rules = [(margin, share) for margin in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5) for share in (0.01, 0.05, 0.1, 0.2, 0.4)]
    totals = {}
    for scene in args.scenes:
        with tempfile.TemporaryDirectory() as folder:
            found = scores(segearth, scene, folder)
            dense = labels(segearth, scene, HALF, folder)
            for stride in (144, 160, 176, 181, 192, 256):
                got = labels(segearth, scene, stride, folder)
                parts = ((HALF / stride) ** 2 * dense.size, dense.size, (got == dense).sum(), dense.size)
                totals.setdefault(f"stride {stride}", []).append(parts)
        rows, cols = found.shape[:2]
        every = np.ones((rows, cols), bool)
        first = np.zeros_like(every)
        first[::2, ::2] = True
        want, _ = blend(found, every)
        coarse, margins = blend(found, first)
        edge = np.zeros_like(coarse, bool)
        edge[:, 1:] |= coarse[:, 1:] != coarse[:, :-1]
        edge[1:] |= coarse[1:] != coarse[:-1]

        def count(name, chosen):
            got, _ = blend(found, chosen)
            totals.setdefault(name, []).append((chosen.sum(), chosen.size, (got == want).sum(), got.size))

        def windows(unsure, share):
            chosen = first.copy()
            for row in range(rows):
                for col in range(cols):
                    y, x = (row - 1) * HALF, (col - 1) * HALF
                    # What of the window lies in the region.
                    part = unsure[max(y, 0) : y + WINDOW, max(x, 0) : x + WINDOW]
                    if part.size and part.mean() > share:
                        chosen[row, col] = True
            return chosen

        count("first look alone", first)
        quincunx = first.copy()
        quincunx[1::2, 1::2] = True
        count("first look and the windows at its corners", quincunx)
        _, leads = blend(found, quincunx)
        for margin, share in rules:
            more = windows(leads < margin, share)
            count(f"corners, then margin below {margin} on more than {share:.0%}", more | quincunx)
        for margin, share in rules:
            count(f"margin below {margin} on more than {share:.0%}", windows(margins < margin, share))
        for share in (0.0, 0.005, 0.01, 0.02, 0.04, 0.08):
            count(f"borders on more than {share:.1%}", windows(edge, share))
        for margin, share in rules:
            count(f"margin below {margin} or border, on more than {share:.0%}", windows((margins < margin) | edge, share))
    print(f"{'rule':<60}{'windows':>10}{'labels equal':>14}")
    for name, parts in sorted(totals.items(), key=lambda item: sum(p[0] for p in item[1])):
        run, of, equal, pixels = (sum(part[index] for part in parts) for index in range(4))
        print(f"{name:<60}{run / of:>10.1%}{equal / pixels:>14.2%}")


if __name__ == "__main__":
    main()
