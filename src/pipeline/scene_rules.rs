//! The rules between a job and a scene: which stretch, and what must be said.

use crate::scene::{BandInfo, Conversion, SceneInfo, StretchMethod, StretchPlan, ValueRange, conversions};

/// 8-bit scenes are taken as they are; others need their range found.
pub(super) fn default_stretch(info: &SceneInfo, bands: [usize; 3]) -> StretchPlan {
    let eight_bits = bands.iter().all(|band| info.bands.get(band - 1).is_some_and(|band| band.pixel_type == "Byte"));
    let method = if eight_bits { StretchMethod::None } else { StretchMethod::Percentile { low: 2.0, high: 98.0 } };
    StretchPlan { method, joint: false, gamma: 1.0 }
}

/// What is allowed and may still surprise.
pub(super) fn notes(info: &SceneInfo, bands: [usize; 3], stretch: &StretchPlan) -> Vec<String> {
    let scene = info.path.display();
    let mut notes = Vec::new();
    match &info.georeference {
        None => notes.push(match &info.access.control {
            None => format!("{scene} has no georeference: results are in pixel coordinates, areas in pixels."),
            Some(control) => format!(
                "{scene} has {} and no geotransform: results are in pixel coordinates, areas in pixels. To get results in map \
                 coordinates, warp it first: {}",
                control.what,
                control.warp_line(&info.path, "bilinear")
            ),
        }),
        Some(georeference) if georeference.crs_wkt.is_none() => {
            notes.push(format!("{scene} has a geotransform but no CRS: areas and lengths are in pixels. Assign a CRS with `gdal_edit.py -a_srs EPSG:… FILE`."));
        }
        Some(_) => {}
    }
    let deep = bands.iter().filter_map(|band| info.bands.get(band - 1)).find(|band| band.pixel_type != "Byte");
    if let (StretchMethod::None, Some(band)) = (&stretch.method, deep) {
        notes.push(format!(
            "{scene} has the pixel type {} and is not stretched: values above 255 are clipped to 255.",
            band.pixel_type
        ));
    }
    notes
}

/// Brings given values to the stored ones of each scene: they are meant as stored in the first scene, and where scale or offset
/// of a band are others than there, other stored values have the same meaning.
///
/// One range for all channels is meant in the stored values of the first scene's red band.
pub(super) fn compare_values(scenes: &mut [(&SceneInfo, [usize; 3], &mut StretchPlan)]) -> Vec<String> {
    let taken = |(info, bands, _): &(&SceneInfo, [usize; 3], &mut StretchPlan)| -> Vec<BandInfo> {
        bands.iter().filter_map(|number| info.bands.get(number.checked_sub(1)?).cloned()).collect()
    };
    let Some(first) = scenes.first() else { return Vec::new() };
    let StretchMethod::Given(ranges) = first.2.method else { return Vec::new() };
    let Ok([red, green, blue]) = <[BandInfo; 3]>::try_from(taken(first)) else { return Vec::new() };
    let name = first.0.path.display().to_string();
    let all = ranges.iter().all(|range| *range == ranges[0]);
    let reference = if all { [&red; 3] } else { [&red, &green, &blue] };
    let mut notes = Vec::new();
    for scene in scenes {
        let found: Vec<Option<Conversion>> = taken(scene)
            .iter()
            .zip(reference)
            .map(|(band, reference)| conversions(&[reference, band]).and_then(|mut both| both.pop()))
            .collect();
        let Ok(found) = <[Option<Conversion>; 3]>::try_from(found) else { continue };
        let Some(shown) = found.iter().flatten().next() else { continue };
        let mut own = ranges;
        for (range, to) in own.iter_mut().zip(&found) {
            if let Some(to) = to {
                let (low, high) = (to.invert(range.low), to.invert(range.high));
                *range = ValueRange { low: low.min(high), high: low.max(high) };
            }
        }
        scene.2.method = StretchMethod::Given(own);
        let why = match found.iter().flatten().any(|to| to.assumed) {
            true => "no scale and offset (the scale of the others is assumed)",
            false => "a different scale or offset",
        };
        notes.push(format!(
            "{} has {why}: the values of the stretch refer to {name}, so its own values are converted ({shown}).",
            scene.0.path.display()
        ));
    }
    notes
}
