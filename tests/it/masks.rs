//! Pixels without data, from what files say of them and what jobs do, to labels: counted on rasters made here.

use std::path::Path;

use gdal::raster::{Buffer, ColorInterpretation, GdalType, RasterCreationOptions};
use gdal::{Dataset, DriverManager, Metadata as _};
use insta::assert_snapshot;

use crate::scenes::{place, read_band, write_bands};
use crate::workdir::{Ran, Workdir};

const WIDTH: usize = 560;
const HEIGHT: usize = 448;

/// Values without a pattern from `low` to below `high`.
fn varied(col: usize, row: usize, band: usize, low: usize, high: usize) -> usize {
    low + (col * 7919 + row * 104_729 + band * 15_485_863 + (col * row) % 977) % (high - low)
}

fn bands<T>(count: usize, value: impl Fn(usize, usize, usize) -> T) -> Vec<Vec<T>> {
    let pixels = |band| (0..WIDTH * HEIGHT).map(|at| value(at % WIDTH, at / WIDTH, band)).collect();
    (0..count).map(pixels).collect()
}

fn write<T: GdalType + Copy>(work: &Workdir, name: &str, bands: &[Vec<T>], dress: impl FnOnce(&mut Dataset)) {
    write_bands(&work.path(name), (WIDTH, HEIGHT), bands, |dataset| {
        place(dataset);
        dress(dataset);
    });
}

fn tag_nodata(dataset: &mut Dataset, value: f64) {
    for number in 1..=dataset.raster_count() {
        dataset.rasterband(number).expect("a band").set_no_data_value(Some(value)).expect("a nodata value");
    }
}

fn tag_alpha(dataset: &mut Dataset) {
    let colours = [ColorInterpretation::RedBand, ColorInterpretation::GreenBand, ColorInterpretation::BlueBand];
    for (number, colour) in (1..).zip(colours.into_iter().chain([ColorInterpretation::AlphaBand])) {
        dataset.rasterband(number).expect("a band").set_color_interpretation(colour).expect("a colour");
    }
}

/// Segments with a model that needs no weights; `more` adds to the words.
fn segment(work: &Workdir, scene: &str, more: &str) -> Ran {
    let words = format!("segment {scene} --model fake:null -c a;b --overwrite -o labels.tif {more}");
    work.ok(words.split_whitespace())
}

fn missing(path: &Path) -> usize {
    read_band::<u8>(&Dataset::open(path).expect("labels"), 1).into_iter().filter(|label| *label == 255).count()
}

/// NumPy's default percentile.
fn percentile(values: &mut [u16], percent: f64) -> f64 {
    values.sort_unstable();
    let rank = percent / 100.0 * (values.len() - 1) as f64;
    let at = |rank: f64| f64::from(values[rank as usize]);
    at(rank.floor()) + (at(rank.ceil()) - at(rank.floor())) * rank.fract()
}

#[test]
fn a_collar_that_no_tag_names_is_noted_and_a_key_takes_it_out_of_labels_and_stretch() {
    let work = Workdir::new();
    let value = |col, row, band| if col < WIDTH / 2 { 0 } else { varied(col, row, band, 900, 4000) as u16 };
    let scene = bands(3, value);
    write(&work, "deep.tif", &scene, |_| {});
    let plain = segment(&work, "deep.tif", "");
    assert_snapshot!(plain.stderr, @"note: 50.0 % of the pixels of deep.tif, in a region along its border, are exactly 0 in all selected bands and count as data. If they are nodata, set `nodata: 0` (--nodata 0).");
    assert_eq!(missing(&work.path("labels.tif")), 0);
    let told = segment(&work, "deep.tif", "--nodata 0");
    assert_eq!((told.stderr.as_str(), missing(&work.path("labels.tif"))), ("", 125_440));
    let ranges: Vec<String> = ["red", "green", "blue"]
        .iter()
        .zip(&scene)
        .map(|(name, plane)| {
            let mut known: Vec<u16> = plane.iter().copied().filter(|value| *value > 0).collect();
            format!("{name} {} to {}", percentile(&mut known, 2.0), percentile(&mut known, 98.0))
        })
        .collect();
    let labels = Dataset::open(work.path("labels.tif")).expect("labels");
    let stretch = labels.metadata_item("SEGEARTH_STRETCH", "").expect("the stretch");
    assert_eq!(stretch, format!("percentile 2 to 98: {}", ranges.join(", ")));

    // As keys of a job; `check` shows what decides, and another value is another result.
    work.write("job.yaml", "model: fake:null\nscene: deep.tif\nclasses: [a, b]\nnodata: {value: 0}\n");
    let shown = work.ok(["check", "job.yaml"]);
    assert!(shown.stdout.contains("no data: by nodata value 0\n"), "{}", shown.stdout);
    assert_eq!(shown.stderr, "");
    work.ok(["run", "job.yaml"]);
    let again = work.ok(["run", "job.yaml"]);
    assert!(again.stderr.contains("finished, by an earlier run"), "{}", again.stderr);
    let other = work.ok(["run", "job.yaml", "--set", "nodata.tolerance=950", "--overwrite"]);
    assert!(!other.stderr.contains("finished, by an earlier run"), "{}", other.stderr);
    let noted = work.ok(["check", "job.yaml", "--set", "nodata=1", "--set", "outputs.labels=other.tif"]);
    assert_eq!(noted.stderr, "", "who names a value needs no advice");
}

/// JPEG leaves small values in a black collar whose edge crosses its blocks: 89,600 pixels, which only a tolerance takes as one.
#[test]
fn a_collar_under_jpeg_needs_a_tolerance() {
    let (work, width, height) = (Workdir::new(), 400, 448);
    let collar = |row: usize| 197 + row % 7;
    let planes: Vec<Vec<u8>> = (0..3)
        .map(|band| {
            let value = |at: usize| {
                let (col, row) = (at % width, at / width);
                if col < collar(row) { 0 } else { varied(col / 8, row / 8, band, 40, 50) as u8 }
            };
            (0..width * height).map(value).collect()
        })
        .collect();
    assert_eq!((0..height).map(collar).sum::<usize>(), 89_600);
    let options = ["COMPRESS=JPEG", "JPEG_QUALITY=95", "PHOTOMETRIC=YCBCR", "INTERLEAVE=PIXEL", "TILED=YES"];
    let options = RasterCreationOptions::from_iter(options);
    for (name, tagged) in [("tagged.tif", true), ("untagged.tif", false)] {
        let driver = DriverManager::get_driver_by_name("GTiff").expect("the driver");
        let path = work.path(name);
        let mut dataset =
            driver.create_with_band_type_with_options::<u8, _>(&path, width, height, 3, &options).expect("a scene");
        place(&mut dataset);
        if tagged {
            tag_nodata(&mut dataset, 0.0);
        }
        for (number, plane) in (1..).zip(&planes) {
            let mut band = dataset.rasterband(number).expect("a band");
            band.write((0, 0), (width, height), &mut Buffer::new((width, height), plane.clone())).expect("pixels");
        }
        dataset.close().expect("a scene");
    }
    let plain = segment(&work, "tagged.tif", "");
    assert_snapshot!(plain.stderr, @"note: tagged.tif is compressed with YCbCr JPEG, which changes values: pixels near its nodata value 0 are treated as data. If labels appear in nodata areas, set a tolerance: `nodata: {value: 0, tolerance: 8}` (--nodata 0~8).");
    let without = missing(&work.path("labels.tif"));
    assert!((80_000..89_000).contains(&without), "{without}");
    for value in ["0~8", "{value: 0, tolerance: 8}"] {
        let args = ["segment", "tagged.tif", "--model", "fake:null", "-c", "a;b", "--overwrite", "-o", "labels.tif"];
        let ran = match value.starts_with('{') {
            false => work.ok(args.into_iter().chain(["--nodata", value])),
            true => {
                work.write(
                    "job.yaml",
                    format!("model: fake:null\nscene: tagged.tif\nclasses: [a, b]\nnodata: {value}\noutputs: {{folder: ., labels: labels.tif}}\n"),
                );
                work.ok(["run", "job.yaml", "--overwrite"])
            }
        };
        assert_eq!((ran.stderr.as_str(), missing(&work.path("labels.tif"))), ("", 89_600), "{value}");
    }
    let untagged = segment(&work, "untagged.tif", "");
    assert!(untagged.stderr.contains("near it as after lossy compression"), "{}", untagged.stderr);
    assert!(untagged.stderr.contains("(--nodata 0~8)"), "{}", untagged.stderr);
    segment(&work, "untagged.tif", "--nodata 0~8");
    assert_eq!(missing(&work.path("labels.tif")), 89_600);
}

#[test]
fn infrared_that_is_tagged_as_alpha_masks_nothing() {
    let work = Workdir::new();
    // Infrared of 0 to 254, with a lake in which it is 0.
    let lake = |col: usize, row: usize| (100..160).contains(&col) && (200..250).contains(&row);
    let scene = bands(4, |col, row, band| match band {
        3 if lake(col, row) => 0,
        3 => varied(col, row, band, 0, 255) as u8,
        _ => varied(col, row, band, 30, 230) as u8,
    });
    let zeros = scene[3].iter().filter(|value| **value == 0).count();
    let values = scene[3].iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(zeros > 3000 && values == 255, "{zeros}, {values}");
    write(&work, "naip.tif", &scene, tag_alpha);
    let plain = segment(&work, "naip.tif", "");
    assert_snapshot!(plain.stderr, @"note: band 4 of naip.tif is tagged as alpha and holds 255 different values, like an image band (infrared, perhaps): it is not used as a mask. `mask: alpha` uses it.");
    assert_eq!(missing(&work.path("labels.tif")), 0);
    assert_eq!(segment(&work, "naip.tif", "--mask alpha").stderr, "");
    assert_eq!(missing(&work.path("labels.tif")), zeros);
    segment(&work, "naip.tif", "--mask band:4");
    assert_eq!(missing(&work.path("labels.tif")), zeros);
}

#[test]
fn alpha_decides_over_a_nodata_value_that_a_white_roof_holds_too() {
    let work = Workdir::new();
    let roof = |col: usize, row: usize| (100..150).contains(&col) && (60..100).contains(&row);
    let outside = |col: usize, row: usize| col + row < 100;
    let scene = bands(4, |col, row, band| match band {
        3 => 255 * u8::from(!outside(col, row)),
        _ if roof(col, row) || outside(col, row) => 255,
        _ => varied(col, row, band, 30, 230) as u8,
    });
    write(&work, "rgba.tif", &scene, |dataset| {
        tag_alpha(dataset);
        tag_nodata(dataset, 255.0);
    });
    let plain = segment(&work, "rgba.tif", "");
    assert_snapshot!(plain.stderr, @"note: rgba.tif has an alpha band and the nodata value 255: alpha band 4 is used as the mask. Set `mask: nodata` to use the value instead.");
    let transparent = 100 * 101 / 2;
    assert_eq!(missing(&work.path("labels.tif")), transparent);
    segment(&work, "rgba.tif", "--mask nodata");
    assert_eq!(missing(&work.path("labels.tif")), transparent + 50 * 40);
    segment(&work, "rgba.tif", "--mask none");
    assert_eq!(missing(&work.path("labels.tif")), 0);
}

#[test]
fn tags_that_mark_nothing_and_bands_of_one_value_are_noted() {
    let work = Workdir::new();
    write(&work, "beyond.tif", &bands(3, |col, row, band| varied(col, row, band, 0, 255) as u8), |dataset| {
        tag_nodata(dataset, -9999.0);
    });
    assert_snapshot!(segment(&work, "beyond.tif", "").stderr, @"note: The nodata value -9999 of band 1 of beyond.tif has no effect: its pixels are Byte, integers from 0 to 255. If some of them are nodata, set their value, for example with `nodata: 0`.");
    assert_eq!(missing(&work.path("labels.tif")), 0);
    // One of three bands has a value; as 0 it could be data there.
    for (value, note, expected) in [
        ("0", "the value could be valid data and is ignored", 0),
        ("-9999", "a pixel with this value in band 1 is nodata", 20 * HEIGHT),
    ] {
        let number: f64 = value.parse().expect("a number");
        let scene = bands(3, |col, row, band| match band {
            0 if col < 20 => number as i16,
            _ => varied(col, row, band, 100, 255) as i16,
        });
        write(&work, "plain.tif", &scene, |_| {});
        let band = |index: u32| {
            let nodata = if index == 1 { format!("<NoDataValue>{value}</NoDataValue>") } else { String::new() };
            format!(
                "<VRTRasterBand dataType=\"Int16\" band=\"{index}\">{nodata}<SimpleSource><SourceFilename \
                 relativeToVRT=\"1\">plain.tif</SourceFilename><SourceBand>{index}</SourceBand></SimpleSource></VRTRasterBand>"
            )
        };
        let all = [1, 2, 3].map(band).concat();
        let vrt = format!(
            "<VRTDataset rasterXSize=\"{WIDTH}\" rasterYSize=\"{HEIGHT}\"><GeoTransform>0,1,0,0,0,-1</GeoTransform>\
             <SRS>EPSG:32632</SRS>{all}</VRTDataset>"
        );
        work.write("one.vrt", vrt);
        let ran = segment(&work, "one.vrt", "");
        let start = format!("note: Band 1 of one.vrt has the nodata value {value}, and band 2 has none: {note}.");
        assert!(ran.stderr.starts_with(&start), "{}", ran.stderr);
        assert_eq!(missing(&work.path("labels.tif")), expected, "{value}");
    }
    let flat = bands(3, |col, row, band| if band == 1 { 77 } else { varied(col, row, band, 30, 230) as u8 });
    write(&work, "flat.tif", &flat, |_| {});
    assert_snapshot!(segment(&work, "flat.tif", "").stderr, @"note: flat.tif has the value 77 in band 2 in every pixel: the model cannot see anything there. Check `bands`.");
}

#[test]
fn a_scene_without_any_data_becomes_labels_without_any_and_that_is_said() {
    let work = Workdir::new();
    write(&work, "bytes.tif", &bands(3, |_, _, _| 0u8), |dataset| tag_nodata(dataset, 0.0));
    write(&work, "deep.tif", &bands(3, |_, _, _| 0u16), |dataset| tag_nodata(dataset, 0.0));
    let clear = bands(4, |col, row, band| if band == 3 { 0 } else { varied(col, row, band, 30, 230) as u8 });
    write(&work, "clear.tif", &clear, tag_alpha);
    for (name, mark) in [("bytes", "nodata value 0"), ("deep", "nodata value 0"), ("clear", "alpha band 4")] {
        let ran = segment(&work, &format!("{name}.tif"), "");
        let said = format!(
            "note: {name}.tif: no pixel holds data, and none has a class (missing data: by {mark}). `mask: none` takes every \
             pixel for data.\n"
        );
        assert_eq!(ran.stderr, said);
        assert_eq!(missing(&work.path("labels.tif")), WIDTH * HEIGHT);
        work.write("job.yaml", format!("model: fake:null\nscene: {name}.tif\nclasses: [a, b]\n"));
        let checked = work.ok(["check", "job.yaml"]);
        assert!(checked.stderr.contains("none of the sampled pixels holds data"), "{}", checked.stderr);
    }
    segment(&work, "clear.tif", "--mask none");
    assert_eq!(missing(&work.path("labels.tif")), 0);
}

#[test]
fn a_mask_that_a_scene_cannot_have_is_refused() {
    let work = Workdir::new();
    write(&work, "scene.tif", &bands(3, |col, row, band| varied(col, row, band, 30, 230) as u8), |_| {});
    let refused =
        |more: &str| work.refused(&format!("segment scene.tif --model fake:null -c a;b -o labels.tif {more}"));
    assert_snapshot!(refused("--mask alpha"), @r"
    error: scene.tif has no alpha band
      --> --mask
     |
     | alpha
     | ^^^^^

    hint: Name the mask band with `mask: band:N`, or remove the key.
    ");
    assert_snapshot!(refused("--mask band:4"), @r"
    error: scene.tif has no band 4: bands are numbered from 1 to 3
      --> --mask
     |
     | band:4
     | ^^^^^^
    ");
    assert_snapshot!(refused("--mask nodata"), @r"
    error: the selected bands of scene.tif have no nodata value
      --> --mask
     |
     | nodata
     | ^^^^^^

    hint: Set it, as in `nodata: 0`, or leave `mask` out.
    ");
    assert_snapshot!(refused("--mask band:0"), @r"
    error: `band:0` is not a valid mask
      --> --mask
     |
     | band:0
     | ^^^^^^

    hint: Write `auto`, `none`, `alpha`, `nodata`, or `band:N`, with bands counted from 1.
    ");
    assert_snapshot!(refused("--mask alhpa"), @r"
    error: `alhpa` is not a valid mask
      --> --mask
     |
     | alhpa
     | ^^^^^

    hint: Did you mean `alpha`?
    ");
    assert_snapshot!(refused("--mask none --nodata 0"), @r"
    error: `nodata` has no effect with `mask: none`, which treats every pixel as valid
      --> --nodata
     |
     | 0
     | ^

    hint: Remove one of the two keys. `mask: nodata` uses only the nodata value.
    ");
    assert_snapshot!(refused("--nodata -9999~1"), @r"
    error: the nodata value -9999 ± 1 cannot occur in scene.tif: its pixels are Byte, integers from 0 to 255
      --> --nodata
     |
     | -9999~1
     | ^^^^^^^
    ");
    assert_snapshot!(refused("--nodata nan"), @r"
    error: the nodata value is NaN; it must be a finite number
      --> --nodata
     |
     | nan
     | ^^^

    hint: NaN and infinite values are always nodata: remove the key.
    ");
    assert_snapshot!(refused("--nodata 0~-1"), @r"
    error: the tolerance is -1; it must be a finite number, 0 or more
      --> --nodata
     |
     | 0~-1
     | ^^^^
    ");
    assert_snapshot!(refused("--nodata black"), @r"
    error: `black` is not a valid nodata value
      --> --nodata
     |
     | black
     | ^^^^^

    hint: Write a number such as `0`, or a number and a tolerance: `0~8` or `{value: 0, tolerance: 8}`.
    ");
}
