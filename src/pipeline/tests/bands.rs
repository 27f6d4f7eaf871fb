//! Which bands are red, green and blue: by every evidence that files give.

use super::*;
use crate::scene::{Scaling, Sensor, StretchMethod, ValueRange};

const JOB: &str = "model: m\nscene: a.tif\nclasses: [a, b]\n";

/// A scene of bands with these descriptions, without colour interpretation.
fn described(names: &[&str]) -> SceneInfo {
    let mut info = scene("a.tif", &vec![(ColourRole::Undefined, "UInt16"); names.len()]);
    for (band, name) in info.bands.iter_mut().zip(names) {
        band.name = (!name.is_empty()).then(|| (*name).to_owned());
    }
    info
}

fn taken(info: SceneInfo, rest: &str) -> ([usize; 3], Vec<String>) {
    let plan = plan(&format!("{JOB}{rest}"), &[], vec![info]).unwrap_or_else(|error| panic!("{}", shown(&error)));
    (plan.scenes[0].bands, plan.notes)
}

#[track_caller]
fn silently(info: SceneInfo, bands: [usize; 3]) {
    assert_eq!(taken(info, ""), (bands, Vec::new()));
}

#[track_caller]
fn said(info: SceneInfo, bands: [usize; 3], parts: &[&str]) {
    let (found, notes) = taken(info, "");
    assert_eq!(found, bands, "{notes:?}");
    assert!(notes.len() == 1 && parts.iter().all(|part| notes[0].contains(part)), "{notes:?}");
}

#[test]
fn bands_follow_descriptions() {
    silently(described(&["blue", "green", "red", "nir"]), [3, 2, 1]);
    silently(described(&["Blue", "Green", "Red"]), [3, 2, 1]);
    silently(described(&["B", "G", "R", "N"]), [3, 2, 1]);
    silently(described(&["NIR", "Red", "Green", "Blue"]), [2, 3, 4]);
    silently(described(&["coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"]), [6, 4, 2]);
    silently(
        described(&["Blue-444", "Blue-475", "Green-531", "Green-560", "Red-650", "Red-668", "Red edge-705"]),
        [6, 4, 2],
    );
    silently(described(&["Near Infrared", "rouge", "vert", "bleu"]), [2, 3, 4]);
    silently(described(&["red mask", "NDVI", "red", "green", "blue"]), [3, 4, 5]);
    silently(described(&["485.0 Nanometers", "560.0 Nanometers", "660.0 Nanometers", "830.0 Nanometers"]), [3, 2, 1]);
    silently(described(&["", "", ""]), [1, 2, 3]);
}

#[test]
fn bands_follow_sensor_numbers() {
    silently(described(&["B02", "B03", "B04", "B08"]), [3, 2, 1]);
    silently(described(&["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12"]), [4, 3, 2]);
    silently(described(&["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7"]), [4, 3, 2]);
    silently(described(&["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B7", "ST_B6"]), [3, 2, 1]);
    silently(described(&["OLI_B2", "OLI_B3", "OLI_B4"]), [3, 2, 1]);
    silently(described(&["sur_refl_b01", "sur_refl_b02", "sur_refl_b03", "sur_refl_b04"]), [1, 4, 3]);
    let of = |names: &[&str], sensor| {
        let mut info = described(names);
        info.bands.iter_mut().for_each(|band| band.spectral.sensor = Some(sensor));
        info
    };
    silently(of(&["B2", "B3", "B4", "B5"], Sensor::LandsatOli), [3, 2, 1]);
    silently(of(&["B1", "B2", "B3", "B4"], Sensor::LandsatTm), [3, 2, 1]);
    silently(of(&["Band 2", "Band 3", "Band 4"], Sensor::Sentinel2), [3, 2, 1]);
    // WorldView's B01 is coastal or red, whoever writes it; numbers alone say nothing.
    said(described(&["B01", "B02", "B03", "B04"]), [1, 2, 3], &["does not describe its 4 bands"]);
    said(described(&["B1", "B2", "B3", "B4"]), [1, 2, 3], &["does not describe its 4 bands"]);
    said(described(&["Band 1", "Band 2", "Band 3", "Band 4"]), [1, 2, 3], &["bands 1, 2 and 3", "--bands"]);
    silently(described(&["Band 1", "Band 2", "Band 3"]), [1, 2, 3]);
}

#[test]
fn bands_follow_wavelengths_and_catalogues() {
    let mut info = described(&[""; 5]);
    for (band, wavelength) in info.bands.iter_mut().zip([0.443, 0.49, 0.56, 0.665, 0.842]) {
        band.spectral.wavelength = Some(wavelength);
    }
    silently(info.clone(), [4, 3, 2]);
    // Of many narrow bands those nearest to 0.66, 0.56 and 0.485 µm.
    let mut many = described(&[""; 60]);
    for (index, band) in many.bands.iter_mut().enumerate() {
        band.spectral.wavelength = Some(0.4 + 0.01 * index as f64);
    }
    let bands = taken(many, "").0;
    assert_eq!(bands[..2], [27, 17]);
    assert!((9..=10).contains(&bands[2]), "{bands:?}");
    let mut item = described(&["", "", "", ""]);
    for (band, name) in item.bands.iter_mut().zip(["nir", "red", "green", "blue"]) {
        band.spectral.common_name = Some(name.into());
    }
    silently(item, [2, 3, 4]);
}

#[test]
fn contradictory_bands_make_notes() {
    use ColourRole::{Blue, Green, Red, Undefined};
    let mut info = scene("a.tif", &[(Red, "Byte"), (Green, "Byte"), (Blue, "Byte")]);
    for (band, name) in info.bands.iter_mut().zip(["blue", "green", "red"]) {
        band.name = Some(name.into());
    }
    let parts = [
        "a.tif: band 1 is blue by its description, and red by its colour interpretation",
        "band 3 is red by its description",
        "bands 3, 2 and 1 are read as red, green and blue",
    ];
    said(info.clone(), [3, 2, 1], &parts);
    // ENVI's default bands are a false-colour view.
    let mut envi = scene("a.tif", &[(Undefined, "UInt16"), (Blue, "UInt16"), (Green, "UInt16"), (Red, "UInt16")]);
    for (band, wavelength) in envi.bands.iter_mut().zip([0.485, 0.56, 0.66, 0.83]) {
        band.spectral.wavelength = Some(wavelength);
    }
    said(envi, [3, 2, 1], &["band 2 is green by its wavelength, and blue by its colour interpretation"]);
    // Neighbouring parts of the spectrum are no contradiction, and neither is a display default of grey.
    let mut near = described(&["blue", "green", "red"]);
    for (band, wavelength) in near.bands.iter_mut().zip([0.444, 0.531, 0.65]) {
        band.spectral.wavelength = Some(wavelength);
        band.role = ColourRole::Grey;
    }
    silently(near, [3, 2, 1]);

    said(described(&["nir", "red", "green"]), [1, 2, 3], &["no band that is identified as blue", "1 (near infrared)"]);
    said(described(&["", "green", "red", "nir"]), [3, 2, 1], &["no band is identified as blue: band 1"]);
    said(
        described(&["red 2019", "green", "blue", "red 2020"]),
        [1, 2, 3],
        &["bands 1 and 4 are both red", "band 1 is used"],
    );
    said(
        scene(
            "a.tif",
            &[(ColourRole::Grey, "UInt16"), (Undefined, "UInt16"), (Undefined, "UInt16"), (Undefined, "UInt16")],
        ),
        [1, 2, 3],
        &["does not describe its 4 bands"],
    );
    // Red, green and blue by interpretation and a fourth band: no doubt.
    silently(scene("a.tif", &[(Red, "Byte"), (Green, "Byte"), (Blue, "Byte"), (Undefined, "Byte")]), [1, 2, 3]);

    // One note for all scenes of a kind, and none where the job gives numbers.
    let job = "model: m\nscene: '*.tif'\nclasses: [a, b]\noutputs: {labels: '{scene}.tif'}\n";
    let mut other = info.clone();
    other.path = "b.tif".into();
    let notes = plan(job, &[], vec![info.clone(), other]).unwrap().notes;
    assert!(notes.len() == 1 && notes[0].starts_with("a.tif (and 1 more): band 1 is blue"), "{notes:?}");
    assert_eq!(taken(info, "bands: [1, 2, 3]"), ([1, 2, 3], Vec::new()));
}

#[test]
fn bands_key_takes_names_numbers_and_colours() {
    let planet = || described(&["blue", "green", "red", "nir"]);
    let landsat = || described(&["SR_B1", "SR_B2", "SR_B3", "SR_B4", "SR_B5", "SR_B6", "SR_B7", "QA_PIXEL"]);
    let sentinel = || described(&["B02", "B03", "B04", "B08"]);
    let driver = || {
        described(&["B4, central wavelength 665 nm", "B3, central wavelength 560 nm", "B2, central wavelength 490 nm"])
    };
    let plain = || described(&["", "", "", ""]);
    let mut item = described(&["", "", ""]);
    for (band, (name, common)) in item.bands.iter_mut().zip([("B04", "red"), ("B8A", "nir08"), ("B11", "swir16")]) {
        band.spectral.names = vec![name.into()];
        band.spectral.common_name = Some(common.into());
    }
    let cases: Vec<(SceneInfo, &str, [usize; 3])> = vec![
        (planet(), "[red, green, blue]", [3, 2, 1]),
        (planet(), "[nir, Red, GREEN]", [4, 3, 2]),
        (planet(), "[N, R, G]", [4, 3, 2]),
        (planet(), "[near infrared, infrared, rouge]", [4, 4, 3]),
        (planet(), "[b1, B2, 'band 3']", [1, 2, 3]),
        (plain(), "[b3, b2, b1]", [3, 2, 1]),
        (plain(), "['4', Band_3, 2]", [4, 3, 2]),
        (landsat(), "[SR_B4, sr_b3, SR_B2]", [4, 3, 2]),
        (landsat(), "[B4, B3, b02]", [4, 3, 2]),
        (landsat(), "[nir, red, green]", [5, 4, 3]),
        (landsat(), "[swir16, red, blue]", [6, 4, 2]),
        (sentinel(), "[B04, B03, B02]", [3, 2, 1]),
        (sentinel(), "[B4, b3, B2]", [3, 2, 1]),
        (sentinel(), "[B8, red, B03]", [4, 3, 2]),
        (driver(), "[B4, B03, B2]", [1, 2, 3]),
        (driver(), "[red, green, blue]", [1, 2, 3]),
        (item.clone(), "[B11, B8A, B04]", [3, 2, 1]),
        (item.clone(), "[swir16, nir08, red]", [3, 2, 1]),
        (item, "[swir16, nir, red]", [3, 2, 1]),
    ];
    for (info, bands, expected) in cases {
        assert_eq!(taken(info, &format!("bands: {bands}")), (expected, Vec::new()), "{bands}");
    }
    let refused =
        |info: SceneInfo, bands: &str| shown(&plan(&format!("{JOB}bands: {bands}"), &[], vec![info]).unwrap_err());
    let text = refused(planet(), "[swir, red, green]");
    assert!(text.contains("there is no band `swir` in a.tif"), "{text}");
    assert!(text.contains("Its bands are 1 blue, 2 green, 3 red, 4 nir."), "{text}");
    // Where bands have numbers of a sensor, a number that none of them has is not in the file.
    let text = refused(sentinel(), "[B1, B3, B2]");
    assert!(text.contains("there is no band `B1`"), "{text}");
    assert!(text.contains("Its bands are 1 B02 (blue), 2 B03 (green), 3 B04 (red), 4 B08 (near infrared)."), "{text}");
    assert!(refused(plain(), "[b5, b1, b1]").contains("counted from 1 to 4"));
    // Names that a scene lacks are one error, and scenes that lack the same ones too.
    let job =
        "model: m\nscene: '*.tif'\nclasses: [a, b]\noutputs: {labels: '{scene}.tif'}\nbands: [red, green, blue]\n";
    let second = SceneInfo { path: "b.tif".into(), ..plain() };
    let text = shown(&plan(job, &[], vec![plain(), second]).unwrap_err());
    assert!(text.starts_with("error: there are no bands `red`, `green`, `blue` in a.tif (and 1 more)\n"), "{text}");
    assert!(text.contains("give --set 'bands=[1,2,3]'"), "{text}");
    let text = refused(planet(), "[swir, red, pan]");
    assert!(text.contains("there are no bands `swir`, `pan` in a.tif") && !text.contains("--set"), "{text}");
    let twice = described(&["SR_B4", "ST_B4", "x"]);
    assert!(refused(twice, "[B4, x, x]").contains("`B4` is ambiguous: it matches the bands 1, 2"));
}

#[test]
fn stretch_values_are_converted_between_scenes() {
    let deep = |path: &str, scaling: [Option<(f64, f64)>; 3]| {
        use ColourRole::{Blue, Green, Red};
        let mut info = scene(path, &[(Red, "UInt16"), (Green, "UInt16"), (Blue, "UInt16")]);
        for (band, scaling) in info.bands.iter_mut().zip(scaling) {
            band.scaling = scaling.map(|(scale, offset)| Scaling { scale, offset });
        }
        info
    };
    let (old, new) = ([Some((1e-4, 0.0)); 3], [Some((1e-4, -0.1)); 3]);
    let ranges = |scenes: Vec<SceneInfo>, stretch: &str| {
        let job = "model: m\nscene: '*.tif'\nclasses: [a, b]\noutputs: {labels: '{scene}.tif'}\n";
        let plan = plan(&format!("{job}stretch: {stretch}\n"), &[], scenes).unwrap();
        let pairs = plan.scenes.iter().map(|scene| match &scene.stretch.method {
            StretchMethod::Given(ranges) => ranges.map(|ValueRange { low, high }| (low, high)),
            other => panic!("{other:?}"),
        });
        (pairs.collect::<Vec<_>>(), plan.notes)
    };
    let (found, notes) = ranges(vec![deep("a.tif", old), deep("b.tif", new), deep("c.tif", old)], "values:0,3000");
    assert_eq!(found, [[(0.0, 3000.0); 3], [(1000.0, 4000.0); 3], [(0.0, 3000.0); 3]]);
    assert!(
        notes.len() == 1
            && notes[0].starts_with("b.tif has a different scale or offset")
            && notes[0].contains("- 1000"),
        "{notes:?}"
    );
    // One scene, and scenes of one scale, are read as they are stored.
    assert_eq!(ranges(vec![deep("a.tif", new)], "values:0,3000"), (vec![[(0.0, 3000.0); 3]], Vec::new()));
    assert_eq!(ranges(vec![deep("a.tif", new), deep("b.tif", new)], "values:0,3000").1, [""; 0]);
    // Bands of one scene that store one quantity differently.
    let mixed = [Some((1e-4, 0.0)), Some((2e-4, 0.0)), Some((1e-4, 0.05))];
    let (found, notes) = ranges(vec![deep("a.tif", mixed)], "values:0,3000");
    assert_eq!(found, [[(0.0, 3000.0), (0.0, 1500.0), (-500.0, 2500.0)]]);
    assert_eq!(notes.len(), 1);
    // A pair for each band is meant as each is stored in the first scene.
    let each = "{method: values, ranges: [[0, 3000], [0, 1500], [0, 2000]]}";
    let (found, notes) = ranges(vec![deep("a.tif", mixed), deep("b.tif", old)], each);
    assert_eq!(found[0], [(0.0, 3000.0), (0.0, 1500.0), (0.0, 2000.0)]);
    assert_eq!(found[1], [(0.0, 3000.0), (0.0, 3000.0), (500.0, 2500.0)]);
    assert!(notes.len() == 1 && notes[0].starts_with("b.tif"), "{notes:?}");
    let (found, notes) = ranges(vec![deep("a.tif", new), deep("b.tif", [None; 3])], "values:1000,4000");
    assert_eq!(found[1], [(0.0, 3000.0); 3]);
    assert!(notes[0].contains("is assumed"), "{notes:?}");
}
