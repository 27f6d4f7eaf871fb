"""Counts figures of the paper with NumPy, from data sets as published and the label rasters of `segearth reproduce`.

usage: count_paper.py DATA LABELS SET…

DATA/SET is the folder of a data set, LABELS has `{set}` where its name stands in the folder of its label rasters. Prints JSON: for
each set the numbers of images and tiles, and the figures in percent. Nothing here comes from the program but the names of its label
rasters: folders, colours, lists, tiles and counting are written down from the authors' description.
"""

import json
import sys
from pathlib import Path

import numpy
from PIL import Image

IGNORED = 255
Image.MAX_IMAGE_PIXELS = None

ISPRS = [(0, 0, 0), (255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0)]
ISAID = [
    (0, 0, 0), (0, 0, 63), (0, 63, 63), (0, 63, 0), (0, 63, 127), (0, 63, 191), (0, 63, 255), (0, 127, 63),
    (0, 127, 127), (0, 0, 127), (0, 0, 191), (0, 0, 255), (0, 191, 127), (0, 127, 191), (0, 127, 255), (0, 100, 155),
]
# The last one is a moving car.
UAVID = [
    (0, 0, 0), (128, 0, 0), (128, 64, 128), (192, 0, 192), (0, 128, 0), (128, 128, 0), (64, 64, 0), (64, 0, 128),
]
DEEPGLOBE = [
    (0, 255, 255), (255, 255, 0), (255, 0, 255), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0),
]


def values(path):
    """The stored numbers; of colours, the first band."""
    stored = numpy.asarray(Image.open(path)).astype(int)
    return stored if stored.ndim == 2 else stored[..., 0]


def from_colours(palette):
    """Positions in a palette; other colours are 0."""

    def read(path):
        stored = numpy.asarray(Image.open(path).convert("RGB"))
        truth = numpy.zeros(stored.shape[:2], int)
        for index, colour in enumerate(palette):
            truth[(stored == colour).all(axis=2)] = index
        return truth

    return read


def from_uavid(path):
    truth = from_colours(UAVID)(path)
    truth[truth == 7] = 3
    return truth


def at_least(threshold):
    return lambda path: (values(path) >= threshold).astype(int)


def zero_reduced(read):
    def reduced(path):
        truth = read(path)
        truth[truth == 0] = IGNORED
        truth = truth - 1
        truth[truth == IGNORED - 1] = IGNORED
        return truth

    return reduced


def whole(height, width):
    return [(0, 0, height, width)]


def tiles(tile_height, tile_width, step=None, padded=False):
    """Tiles as (row, column, height, width). A last one that would reach beyond the image is moved inside."""

    def cut(height, width):
        tall = tile_height if padded else min(tile_height, height)
        wide = tile_width if padded else min(tile_width, width)
        found = []
        for row in range(0, height, step or tile_height):
            for column in range(0, width, step or tile_width):
                place = (max(min(row, height - tall), 0), max(min(column, width - wide), 0), tall, wide)
                if place not in found:
                    found.append(place)
        return found

    return cut


def below(images, truth, name=lambda path: path.stem):
    """Images of a pattern; `truth` gives the file of an image's truth, `name` what its label raster is called by."""
    return lambda data: [(path, truth(path), name(path)) for path in sorted(data.glob(images))]


def listed_in_file(pairs, file):
    def kept(data):
        names = (data / file).read_text().split()
        return [pair for pair in pairs(data) if pair[0].name in names]

    return kept


def listed(names, pairs):
    return lambda data: [pair for pair in pairs(data) if pair[2] in names]


def sibling(folder, change=lambda name: name):
    """The file of a neighbouring folder."""
    return lambda path: path.parents[1] / folder / change(path.name)


def replaced(*pairs):
    def change(name):
        for old, new in pairs:
            assert old in name, (old, name)
            name = name.replace(old, new)
        return name

    return change


def between(before, after):
    """A name without its first and last characters."""

    def name(path):
        assert path.name.startswith(before) and path.name.endswith(after), path
        return path.name[len(before):len(path.name) - len(after)]

    return name


def of_region(folder):
    """A road set's folder is called by what follows its name."""
    return lambda stem: lambda path: f"{path.parents[1].name[len(folder):]}_{stem(path)}"


def road(folder, image, truth):
    stem = between("", image)
    return below(f"{folder}*/img/*{image}", sibling("gt", replaced((image, truth))), of_region(folder)(stem))


def region_and_stem(path):
    return f"{path.parents[1].name}_{path.stem}"


POTSDAM = "2_13 2_14 3_13 3_14 4_13 4_14 4_15 5_13 5_14 5_15 6_13 6_14 6_15 7_13".split()
VAIHINGEN = "2 4 6 8 10 12 14 16 20 22 24 27 29 31 33 35 38".split()
# Of longer lists, the names that the miniatures have.
INRIA = ["vienna3"]
WATER_BODIES = ["water_body_8"]

# Number of classes, truth as classes, images with their truth, tiles.
SETS = {
    "openearthmap": (
        9,
        values,
        listed_in_file(below("*/images/*.tif", sibling("labels"), region_and_stem), "val.txt"),
        whole,
    ),
    "loveda": (
        7,
        zero_reduced(values),
        below("Val/*/images_png/*.png", sibling("masks_png"), region_and_stem),
        whole,
    ),
    "isaid": (
        16,
        from_colours(ISAID),
        below("val/images/*.png", sibling("Semantic_masks/images", replaced((".png", "_instance_color_RGB.png")))),
        tiles(896, 896, 896 - 384, padded=True),
    ),
    "potsdam": (
        6,
        zero_reduced(from_colours(ISPRS)),
        listed(
            POTSDAM,
            below(
                "2_Ortho_RGB/*.tif",
                sibling("5_Labels_all_noBoundary", replaced(("_RGB", "_label_noBoundary"))),
                between("top_potsdam_", "_RGB.tif"),
            ),
        ),
        tiles(512, 512),
    ),
    "vaihingen": (
        6,
        zero_reduced(from_colours(ISPRS)),
        listed(
            VAIHINGEN,
            below(
                "top/*.tif",
                sibling(
                    "ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE",
                    replaced((".tif", "_noBoundary.tif")),
                ),
                between("top_mosaic_09cm_area", ".tif"),
            ),
        ),
        tiles(512, 512),
    ),
    "uavid": (
        7,
        from_uavid,
        below("test_gt/*/Images/*.png", sibling("Labels"), region_and_stem),
        tiles(1080, 1280),
    ),
    "udd5": (5, values, below("val/src/*.JPG", sibling("gt", replaced((".JPG", ".png")))), whole),
    "vdd": (7, values, below("test/src/*.JPG", sibling("gt", replaced((".JPG", ".png")))), whole),
    "whu_aerial": (2, at_least(128), below("val/image/*.tif", sibling("label")), whole),
    "whu_sat_ii": (2, at_least(128), below("1.cropped/test/image/*.tif", sibling("label")), whole),
    "inria": (2, at_least(128), listed(INRIA, below("train/images/*.tif", sibling("gt"))), tiles(1000, 1000)),
    "xbd": (
        2,
        at_least(1),
        below(
            "test/images/*_pre_disaster.png",
            sibling("targets", replaced((".png", "_target.png"))),
            between("", "_pre_disaster.png"),
        ),
        whole,
    ),
    "chn6-cug": (
        2,
        at_least(128),
        below("val/images/*.jpg", sibling("gt", replaced(("_sat.jpg", "_mask.png"))), between("", "_sat.jpg")),
        whole,
    ),
    "deepglobe_road": (2, at_least(128), road("DeepGlobe", "_sat.jpg", "_mask.png"), whole),
    "massachusetts_road": (2, at_least(128), road("Massachusetts", ".jpg", ".png"), whole),
    "spacenet_road": (2, at_least(128), road("SpaceNet", ".jpg", ".png"), whole),
    "wbs-si": (
        2,
        at_least(128),
        listed(WATER_BODIES, below("Images/*.jpg", sibling("Masks"))),
        whole,
    ),
    "deepglobe": (
        7,
        from_colours(DEEPGLOBE),
        below("train/*_sat.jpg", sibling("train", replaced(("_sat.jpg", "_mask.png"))), between("", "_sat.jpg")),
        whole,
    ),
}


def histogram(classes, numbers):
    return numpy.bincount(numbers[(numbers >= 0) & (numbers < classes)], minlength=classes)


def figures(name, data, labels):
    classes, read, pairs, cut = SETS[name]
    hits = predicted = true = numpy.zeros(classes, int)
    pairs = pairs(data)
    used = set()
    for _, truth, label in pairs:
        truth = read(truth)
        places = cut(*truth.shape)
        for row, column, height, width in places:
            end = f"_{row}_{column}" if len(places) > 1 else ""
            file = labels / f"{label}{end}_labels.tif"
            assert file not in used, file
            used.add(file)
            found = Image.open(file)
            assert found.mode in ("L", "P") and found.size == (width, height), (file, found.mode, found.size)
            found = numpy.asarray(found).astype(int)
            part = numpy.full((height, width), IGNORED)
            inside = truth[row:row + height, column:column + width]
            part[:inside.shape[0], :inside.shape[1]] = inside
            counts = part != IGNORED
            found, part = found[counts], part[counts]
            hits = hits + histogram(classes, part[found == part])
            predicted = predicted + histogram(classes, found)
            true = true + histogram(classes, part)
    unused = set(labels.glob("*_labels.tif")) - used
    assert not unused, f"{name}: label rasters of no tile: {sorted(unused)}"
    with numpy.errstate(invalid="ignore"):
        iou = 100 * hits / (predicted + true - hits)
        accuracy = 100 * hits / true
    number = lambda value: None if numpy.isnan(value) else float(value)
    return {
        "images": len(pairs),
        "tiles": len(used),
        "hits": hits.tolist(),
        "iou": [number(value) for value in iou],
        "aAcc": number(100 * hits.sum() / true.sum()),
        "mAcc": number(numpy.nanmean(accuracy)),
        "mIoU": number(numpy.nanmean(iou)),
        "foreground": number(iou[1]) if classes == 2 else None,
    }


data, labels, sets = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
print(json.dumps({name: figures(name, data / name, Path(labels.format(set=name))) for name in sets}))
