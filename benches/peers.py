"""Times segearth beside public tools that do the same step, and prints a table: seconds, processor time, memory, and the
ratio of processor times.

Every step is a process of its own, so that its memory is its own. Tools in Python are timed inside it, after imports and a first run
on a small array (numba compiles there); segearth and GDAL's programs are timed from start to end. The tools take turns, and medians
are shown. Inputs are made here, always the same ones.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

CLASSES = ["background", "road", "building", "water", "tree", "field"]
QUERIES, WINDOW, STRIDE = 14, 224, 112
# Pixels of the smallest region that the sieve keeps; a pixel is 0.09 m².
SIEVE = 50
PIXEL = 0.3
# Seconds below which a difference of two runs says nothing.
SHORTEST = 0.05


# --- inputs


def make(side):
    """Writes labels.tif (six classes, specks), truth.tif (other specks), roads.tif (a network) and scene.tif (three bands)."""
    import numpy as np
    import rasterio
    from skimage.draw import polygon
    from skimage.transform import resize

    rng = np.random.default_rng(1)

    def smooth(cell):
        """Returns noise whose hills are about `cell` pixels wide."""
        coarse = rng.random((side // cell + 2, side // cell + 2), dtype=np.float32)
        return resize(coarse, (side, side), order=1, preserve_range=True).astype(np.float32)

    best, labels = np.full((side, side), -1, np.float32), np.zeros((side, side), np.uint8)
    for index in range(len(CLASSES)):
        height = smooth(120) + 0.3 * smooth(15)
        labels[height > best] = index
        np.maximum(best, height, out=best)
    del best

    def specks(labels):
        spotted = labels.copy()
        for _ in range(side * side // 2500):
            row, col, high, wide = rng.integers(0, [side, side, 6, 6])
            spotted[row : row + high + 1, col : col + wide + 1] = rng.integers(0, len(CLASSES))
        return spotted

    roads = np.zeros((side, side), np.uint8)
    for _ in range(max(side // 40, 4)):
        angle, middle = rng.uniform(0, np.pi), rng.uniform(0, side, 2)
        length, width = rng.uniform(side / 8, side), rng.uniform(8, 30)
        along, across = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
        corners = [middle + s * along * length / 2 + t * across * width / 2 for s, t in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
        roads[polygon(*np.array(corners).T, shape=roads.shape)] = 1
    bands = np.stack([(255 * smooth(40)).clip(0, 255).astype(np.uint8) for _ in range(3)])

    profile = dict(driver="GTiff", width=side, height=side, tiled=True, blockxsize=512, blockysize=512, compress="deflate",
                   crs="EPSG:32632", transform=rasterio.Affine(PIXEL, 0, 350000, 0, -PIXEL, 5650000))
    for path, array in (("labels.tif", specks(labels)), ("truth.tif", specks(labels)), ("roads.tif", roads)):
        with rasterio.open(path, "w", dtype="uint8", count=1, **profile) as dataset:
            dataset.write(array, 1)
            names = ["background", "road"] if path == "roads.tif" else CLASSES
            dataset.update_tags(1, **{f"CLASS_{value}": name for value, name in enumerate(names)})
    with rasterio.open("scene.tif", "w", dtype="uint8", count=3, photometric="rgb", **profile) as dataset:
        dataset.write(bands)


# --- peers in Python: each returns a function of an array's corner or of files, which is timed


def cog():
    from rio_cogeo.cogeo import cog_translate
    from rio_cogeo.profiles import cog_profiles

    def work():
        cog_translate("plain/scene_labels.tif", "peer_cog.tif", cog_profiles.get("deflate"), overview_resampling="mode", in_memory=False,
                      quiet=True)

    return work, None


def centre_lines():
    import rasterio
    import sknw
    from skimage.morphology import skeletonize

    def graph(mask):
        return sknw.build_sknw(skeletonize(mask).astype("uint16"), multi=True)

    def work():
        with rasterio.open("roads.tif") as dataset:
            found, transform = graph(dataset.read(1) == 1), dataset.transform
        lines = [[transform * (col, row) for row, col in edge["pts"].tolist()] for *_, edge in found.edges(data=True)]
        features = [dict(type="Feature", properties={}, geometry=dict(type="LineString", coordinates=line)) for line in lines]
        with open("peer_roads.geojson", "w") as file:
            json.dump(dict(type="FeatureCollection", features=features), file)

    def warm_up():
        import numpy as np

        cross = np.zeros((64, 64), bool)
        cross[30:34], cross[:, 30:34] = True, True
        graph(cross)

    return work, warm_up


def confusion():
    import rasterio
    from sklearn.metrics import confusion_matrix

    def work():
        with rasterio.open("truth.tif") as truth, rasterio.open("labels.tif") as labels:
            matrix = confusion_matrix(truth.read(1).ravel(), labels.read(1).ravel(), labels=range(len(CLASSES)))
        return matrix.diagonal() / (matrix.sum(0) + matrix.sum(1) - matrix.diagonal())

    return work, None


def blend():
    """As public tools do: sums and weights of the whole scene in memory, a window added after the other."""
    import numpy as np
    import rasterio
    from rasterio.windows import Window

    def work():
        with rasterio.open("scene.tif") as scene:
            side, profile = scene.width, scene.profile
            hann = np.hanning(WINDOW + 2)[1:-1].astype(np.float32)
            weight = np.outer(hann, hann)
            sums, weights = np.zeros((QUERIES, side, side), np.float32), np.zeros((side, side), np.float32)
            logits = np.zeros((QUERIES, WINDOW, WINDOW), np.float32)
            starts = sorted({min(start, side - WINDOW) for start in range(0, side - WINDOW + STRIDE, STRIDE)})
            for row in starts:
                for col in starts:
                    pixels = scene.read(window=Window(col, row, WINDOW, WINDOW)).astype(np.float32)
                    pixels -= 120
                    pixels /= 70
                    sums[:, row : row + WINDOW, col : col + WINDOW] += logits * weight
                    weights[row : row + WINDOW, col : col + WINDOW] += weight
        sums /= weights
        profile.update(count=1, photometric=None)
        with rasterio.open("peer_labels.tif", "w", **profile) as dataset:
            dataset.write(sums.argmax(0).astype(np.uint8), 1)

    return work, None


PEERS = {"cog": cog, "centre_lines": centre_lines, "confusion": confusion, "blend": blend}


def peer(name):
    """Runs a peer and prints its seconds: by the wall, and of all threads together."""
    work, warm_up = PEERS[name]()
    if warm_up:
        warm_up()
    begun, used = time.perf_counter(), time.process_time()
    work()
    print(json.dumps([time.perf_counter() - begun, time.process_time() - used]))


# --- turns


class Process:
    """A command, or several in a row."""

    def __init__(self, *commands):
        self.commands = commands

    def measure(self):
        """Returns seconds by the wall, seconds of all threads together, and peak memory in bytes."""
        total = [0.0, 0.0, 0.0]
        for command in self.commands:
            begun = time.perf_counter()
            with tempfile.TemporaryFile("w+") as out:
                child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
                _, status, usage = os.wait4(child.pid, 0)
                wall = time.perf_counter() - begun
                child.returncode = os.waitstatus_to_exitcode(status)
                out.seek(0)
                printed = out.read()
            if child.returncode != 0:
                sys.exit(f"peers: error: {' '.join(command)} failed\n{printed}")
            used = usage.ru_utime + usage.ru_stime
            if "--peer" in command:
                wall, used = json.loads(printed.splitlines()[-1])
            total = [total[0] + wall, total[1] + used, max(total[2], usage.ru_maxrss * 1024.0)]
        return total


def python_peer(name):
    return Process([sys.executable, os.path.abspath(__file__), "--peer", name])


def steps(segearth):
    """Returns name, ours, theirs, and what is taken off ours, for each step that can be measured here.

    A COG is what a run takes longer with it than without.
    """
    classes = ", ".join(chr(ord("a") + index) for index in range(QUERIES))
    for folder, model, rasters in (("plain", "identity", "geotiff"), ("ours_cog", "identity", "cog"), ("null", "null", "geotiff")):
        with open(f"{folder}.yaml", "w") as file:
            file.write(f"model: fake:{model}\nscene: scene.tif\nstretch: none\nclasses: [{classes}]\n"
                       f"outputs: {{folder: {folder}, format: {rasters}}}\n")

    def run(*words):
        return Process([segearth, *words, "--quiet"])

    run_plain = run("run", "plain.yaml", "--overwrite")
    vectorize = ["vectorize", "labels.tif", "--keep-background", "--overwrite"]
    polygonize, sieve = shutil.which("gdal_polygonize.py"), shutil.which("gdal_sieve.py")
    # A GeoPackage is synced to disk for every few features; this format is not.
    flatgeobuf = ["-f", "FlatGeobuf", "-overwrite", "-q"]
    found = {}
    if polygonize:
        found["polygons"] = ("gdal_polygonize.py", run(*vectorize, "--recipe", "plain", "-o", "ours.fgb"),
                             Process([polygonize, "labels.tif", "peer.fgb", *flatgeobuf]), None)
    if polygonize and sieve:
        area = str(SIEVE * PIXEL * PIXEL)
        ours = run(*vectorize, "--recipe", "landcover", "--min-area", area, "-o", "ours_sieved.fgb")
        theirs = Process([sieve, "-q", "-st", str(SIEVE), "labels.tif", "-of", "GTiff", "sieved.tif"],
                         [polygonize, "sieved.tif", "peer_sieved.fgb", *flatgeobuf])
        found["sieve and polygons"] = ("gdal_sieve.py, gdal_polygonize.py", ours, theirs, None)
    found["COG"] = ("rio-cogeo", run("run", "ours_cog.yaml", "--overwrite"), python_peer("cog"), run_plain)
    found["centre lines"] = ("scikit-image, sknw", run("vectorize", "roads.tif", "--recipe", "roads", "--overwrite", "-o", "ours_roads.geojson"),
                             python_peer("centre_lines"), None)
    found["confusion matrix"] = ("scikit-learn", run("evaluate", "--prediction", "labels.tif", "--reference", "truth.tif"),
                                 python_peer("confusion"), None)
    found["blending"] = ("NumPy", run("run", "null.yaml", "--overwrite"), python_peer("blend"), None)
    return found


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segearth", default="segearth", help="the program")
    parser.add_argument("--side", type=int, default=5000, help="pixels of the rasters' side")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--only", help="steps, separated by commas")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args.peer)
    if args.make:
        return make(args.side)
    if args.side < 2 * WINDOW or args.rounds < 1:
        sys.exit(f"peers: error: --side must be {2 * WINDOW} or more, --rounds 1 or more")
    segearth = shutil.which(args.segearth)
    if segearth is None:
        sys.exit(f"peers: error: {args.segearth} is not a program")
    segearth = os.path.abspath(segearth)
    with tempfile.TemporaryDirectory() as folder:
        script = os.path.abspath(__file__)
        os.chdir(folder)
        # In a process of its own: what is started later would count its memory.
        subprocess.run([sys.executable, script, "--make", "--side", str(args.side)], check=True)
        found = steps(segearth)
        only = [step.strip() for step in args.only.split(",")] if args.only else list(found)
        unknown = [step for step in only if step not in found]
        if unknown:
            sys.exit(f"peers: error: no step {', '.join(unknown)}; there are {', '.join(found)}")
        if "COG" in only:
            found["COG"][3].measure()
        print(f"{processor()}, {len(os.sched_getaffinity(0))} cores; {args.side} × {args.side} pixels, medians of {args.rounds} turns\n")
        print("| step | peer | wall s, ours | theirs | processor s, ours | theirs | peak MB, ours | theirs | times as fast |")
        print("|---|---|---|---|---|---|---|---|---|")
        for step in only:
            name, ours, theirs, base = found[step]
            # A round that does not count, in which files come into the cache.
            rounds = [(ours.measure(), theirs.measure(), base.measure() if base else [0.0] * 3) for _ in range(args.rounds + 1)][1:]
            pairs = [[(a[index] - b[index], p[index]) for a, p, b in rounds] for index in range(2)]
            memory = [(a[2] / 1e6, p[2] / 1e6) for a, p, _ in rounds]
            middle = [[statistics.median(values) for values in zip(*of)] for of in (*pairs, memory)]
            ratio = statistics.median(theirs / ours if ours >= SHORTEST else float("nan") for ours, theirs in pairs[1])
            cells = [f"{value:.1f}" for of in middle[:2] for value in of] + [f"{value:,.0f}" for value in middle[2]]
            print(f"| {step} | {name} | {' | '.join(cells)} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
