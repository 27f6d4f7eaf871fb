//! Bands are what files, folders and STAC items say, from the command line to the labels.

use gdal::spatial_ref::SpatialRef;
use gdal::{Dataset, Metadata as _};

use crate::scenes::{noise, read_band, write_bands};
use crate::workdir::Workdir;

const SIZE: (usize, usize) = (240, 200);
const SEGMENT: &str = "--model fake:identity -c red;green;blue --stretch none";

/// Red, green and blue of a scene of noise, and an infrared that is brighter than all of them.
fn colours() -> [Vec<u16>; 4] {
    let pixels = noise(3 * SIZE.0 * SIZE.1);
    let plane = |channel: usize| pixels.iter().skip(channel).step_by(3).map(|&value| u16::from(value)).collect();
    [plane(0), plane(1), plane(2), vec![255; SIZE.0 * SIZE.1]]
}

/// The channel in which each pixel is brightest, the first of equals: what the identity model answers.
fn brightest(red: &[u16], green: &[u16], blue: &[u16]) -> Vec<u8> {
    let of = |at: usize| {
        let most = red[at].max(green[at]).max(blue[at]);
        [red[at], green[at], blue[at]].iter().position(|value| *value == most).expect("the brightest") as u8
    };
    (0..red.len()).map(of).collect()
}

/// Writes bands with their descriptions, 16 bits deep, north up at 10 m.
fn write(work: &Workdir, name: &str, bands: &[(&str, &Vec<u16>)], dress: impl FnOnce(&mut Dataset)) {
    let planes: Vec<Vec<u16>> = bands.iter().map(|(_, plane)| (*plane).clone()).collect();
    let path = work.path(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    write_bands(&path, SIZE, &planes, |dataset| {
        dataset.set_geo_transform(&[350_000.0, 10.0, 0.0, 5_640_000.0, 0.0, -10.0]).expect("a geotransform");
        dataset.set_spatial_ref(&SpatialRef::from_epsg(32632).expect("a CRS")).expect("a CRS");
        for (number, (name, _)) in (1..).zip(bands) {
            dataset.rasterband(number).expect("a band").set_description(name).expect("a description");
        }
        dress(dataset);
    });
}

fn labels(work: &Workdir, name: &str) -> Vec<u8> {
    read_band(&Dataset::open(work.path(name)).expect("labels"), 1)
}

#[test]
fn a_scene_in_any_order_of_bands_has_the_same_labels() {
    let work = Workdir::new();
    let [red, green, blue, nir] = &colours();
    let expected = brightest(red, green, blue);
    let wrong = expected.iter().zip(brightest(blue, green, red)).filter(|(a, b)| **a != *b).count();
    assert!(wrong > 30_000, "{wrong} of 48,000 pixels tell the orders apart");
    write(&work, "rgb.tif", &[("red", red), ("green", green), ("blue", blue)], |_| {});
    write(&work, "planet.tif", &[("blue", blue), ("green", green), ("red", red), ("nir", nir)], |_| {});
    write(&work, "sentinel.tif", &[("B02", blue), ("B03", green), ("B04", red), ("B08", nir)], |_| {});
    write(&work, "unknown.tif", &[("", blue), ("", green), ("", red), ("", nir)], |_| {});
    for (scene, more) in [
        ("rgb.tif", ""),
        ("planet.tif", ""),
        ("planet.tif", "--bands red,green,blue"),
        ("planet.tif", "--bands b3,b2,b1"),
        ("sentinel.tif", ""),
        ("sentinel.tif", "--bands B04,B03,B02"),
        ("unknown.tif", "--bands 3,2,1"),
    ] {
        let ran = work.ok(format!("segment {scene} {SEGMENT} {more} -o labels.tif --overwrite").split_whitespace());
        assert!(labels(&work, "labels.tif") == expected, "{scene} {more}");
        assert!(!ran.stderr.contains("taken"), "{}", ran.stderr);
    }
    let ran = work.ok(format!("segment unknown.tif {SEGMENT} -o labels.tif --overwrite").split_whitespace());
    assert!(labels(&work, "labels.tif") == brightest(blue, green, red));
    assert!(ran.stderr.contains("does not describe its 4 bands: bands 1, 2 and 3 are read"), "{}", ran.stderr);
    let said = work.refused(&format!("segment planet.tif {SEGMENT} --bands swir,red,green -o none.tif"));
    assert!(said.contains("no band `swir`") && said.contains("1 blue, 2 green, 3 red, 4 nir"), "{said}");
    work.write("job.yaml", "model: fake:identity\nscene: planet.tif\nclasses: [red, green, blue]\n");
    let shown = work.ok(["check", "job.yaml"]);
    assert!(shown.stdout.contains("bands 3 (red), 2 (green), 1 (blue)"), "{}", shown.stdout);
}

#[test]
fn bands_in_files_of_their_own_are_one_scene() {
    let work = Workdir::new();
    let [red, green, blue, nir] = &colours();
    let expected = brightest(red, green, blue);
    for (band, plane) in [("B02", blue), ("B03", green), ("B04", red), ("B08", nir)] {
        write(&work, &format!("R10m/T32ULC_20220130T103241_{band}_10m.tif"), &[("", plane)], |_| {});
    }
    work.write("R10m/readme.txt", "no raster");
    for (scene, bands, name) in [
        ("R10m", "--bands B04,B03,B02", "T32ULC_20220130T103241_10m"),
        ("R10m", "", "T32ULC_20220130T103241_10m"),
        ("R10m/*_10m.tif", "--bands red,green,blue", "T32ULC_20220130T103241_10m"),
    ] {
        let words = format!("segment {scene} {SEGMENT} {bands} -o {{scene}}.tif --overwrite");
        work.ok(words.split_whitespace());
        assert!(labels(&work, &format!("{name}.tif")) == expected, "{scene} {bands}");
    }
    let item = |bands: &str| {
        format!(
            r#"{{"type":"Feature","stac_version":"1.1.0","id":"S2A","properties":{{}},"assets":{{
            "all":{{"href":"bgrn.tif","type":"image/tiff","bands":[{bands}]}}}}}}"#
        )
    };
    write(&work, "bgrn.tif", &[("", blue), ("", green), ("", red), ("", nir)], |_| {});
    let names = [("B02", "blue"), ("B03", "green"), ("B04", "red"), ("B08", "nir")];
    let bands = names.map(|(name, common)| format!(r#"{{"name":"{name}","eo:common_name":"{common}"}}"#));
    work.write("item.json", item(&bands.join(",")));
    for bands in ["", "--bands B04,B03,B02", "--bands red,green,blue"] {
        work.ok(format!("segment item.json {SEGMENT} {bands} -o item.tif --overwrite").split_whitespace());
        assert!(labels(&work, "item.tif") == expected, "{bands}");
    }
    // A second acquisition in the folder, and a band that is not there.
    write(&work, "R10m/T32ULC_20220209T103149_B04_10m.tif", &[("", red)], |_| {});
    write(&work, "R10m/T32ULC_20220209T103149_B03_10m.tif", &[("", green)], |_| {});
    write(&work, "R10m/T32ULC_20220209T103149_B02_10m.tif", &[("", blue)], |_| {});
    let said = work.refused(&format!("segment R10m {SEGMENT} --bands B04,B03,B02 -o none.tif"));
    for part in ["of 2 scenes", "T32ULC_20220130T103241_10m", "T32ULC_20220209T103149_10m", "with a pattern"] {
        assert!(said.contains(part), "{said}");
    }
    let said = work.refused(&format!("segment R10m {SEGMENT} --bands B04,B03,B11 -o none.tif"));
    assert!(said.contains("no file for the band `B11`") && said.contains("B02, B03, B04, B08"), "{said}");
}

/// Two tiles of one reflectance, stored with and without an offset, side by side.
#[test]
fn tiles_of_another_offset_are_compared_by_what_they_mean() {
    let work = Workdir::new();
    let [red, green, blue, _] = &colours();
    let tile = |name: &str, shift: u16, offset: f64, left: f64| {
        let moved =
            [red, green, blue].map(|plane| plane.iter().map(|value| 3000 + value + shift).collect::<Vec<u16>>());
        let [red, green, blue] = &moved;
        write(&work, name, &[("red", red), ("green", green), ("blue", blue)], |dataset| {
            dataset.set_geo_transform(&[left, 10.0, 0.0, 5_640_000.0, 0.0, -10.0]).expect("a geotransform");
            for band in 1..=3 {
                let mut band = dataset.rasterband(band).expect("a band");
                band.set_scale(0.0001).expect("a scale");
                band.set_offset(offset).expect("an offset");
            }
        });
    };
    tile("a.tif", 0, 0.0, 350_000.0);
    tile("b.tif", 1000, -0.1, 352_400.0);
    tile("plain/b.tif", 0, 0.0, 352_400.0);
    let job = |second: &str, more: &str| {
        format!(
            "model: fake:identity\nscene: [a.tif, {second}]\nclasses: [red, green, blue]\nmethod: {{logit_scale: 0.5}}\n\
             {more}outputs: {{folder: out, labels: '{{scene}}.tif', scores: '{{scene}}_scores.tif'}}\n"
        )
    };
    let scores = |name: &str| {
        let dataset = Dataset::open(work.path(name)).expect("scores");
        (1..=3).map(|band| read_band::<f32>(&dataset, band)).collect::<Vec<_>>()
    };
    for stretch in ["stretch: values:0,10000\n", "stretch: percentile\n", "stretch: {method: min-max, joint: true}\n"] {
        let mut found = Vec::new();
        for (second, said) in [("plain/b.tif", false), ("b.tif", true)] {
            work.write("job.yaml", job(second, &format!("mosaic: true\n{stretch}")));
            let ran = work.ok(["run", "job.yaml", "--overwrite"]);
            assert_eq!(ran.stderr.contains("differ in scale and offset"), said, "{}", ran.stderr);
            found.push((labels(&work, "out/a_mosaic.tif"), scores("out/a_mosaic_scores.tif")));
        }
        assert!(found[0] == found[1], "{stretch}");
    }
    // Scenes of their own are stretched each by itself, but for given values.
    work.write("job.yaml", job("b.tif", "stretch: values:3000,3255\n"));
    let ran = work.ok(["run", "job.yaml"]);
    assert!(ran.stderr.contains("b.tif has a different scale or offset"), "{}", ran.stderr);
    assert!(scores("out/a_scores.tif") == scores("out/b_scores.tif"));
    assert!(labels(&work, "out/b.tif") == brightest(red, green, blue));
    let shown = work.ok(["check", "job.yaml"]);
    assert!(shown.stdout.contains("values 4000 to 4255"), "{}", shown.stdout);
}
