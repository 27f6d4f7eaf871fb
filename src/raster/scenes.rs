//! Resolves a job's request into scenes that can be read: finds files, builds mosaics, sets grids and areas of
//! interest.

use std::path::Path;
use std::sync::Arc;

use super::containers::inspect_scene;
use super::resample::Resampler;
use super::{alpha, area, inspect, mosaic, stac, stac_item};
use crate::crs;
use crate::error::{Error, Result};
use crate::geom::Size;
use crate::scene::{
    BandFiles, Georeference, ImageSize, NativeGrid, Resampling, Resolution, Scaling, SceneInfo, SceneRequest,
};

/// Largest factor of upsampling: a resolution in the wrong unit would give an enormous scene.
const MAX_UPSAMPLING: f64 = 64.0;

/// Pixels of two grids that differ by less than this share over the whole scene are the same.
const SAME_GRID: f64 = 1e-6;

/// Scale factors closer to 1 than this are ignored: UTM deviates by up to 0.1 %, national grids mostly by less.
const TRUE_TO_SCALE: f64 = 0.005;

/// Finds the scenes of a request: one for each STAC item, a single one for a mosaic; reads headers only.
///
/// # Errors
/// A missing file or no raster, tiles that cannot be one mosaic, a resolution for a scene without georeference, an area
/// of interest outside the scene.
pub fn find(request: &SceneRequest) -> Result<Vec<SceneInfo>> {
    super::init();
    let mut scenes = Vec::new();
    for file in &request.files {
        if let Some(bands) = request.band_files.iter().find(|bands| bands.scene == *file) {
            scenes.push(of_files(bands)?);
            continue;
        }
        match stac::items(file, stac_item::Choice { assets: &request.assets, bands: &request.bands })? {
            None => scenes.push(inspect_scene(file)?),
            Some(found) => {
                let first = scenes.len();
                for item in &found.items {
                    scenes.push(of_item(item)?);
                }
                if let Some(scene) = scenes.get_mut(first) {
                    scene.access.notes.extend(found.note);
                }
            }
        }
    }
    for scene in &mut scenes {
        scene.access.mask = request.mask;
    }
    if request.mosaic {
        alpha::untag_images(&mut scenes)?;
    } else {
        scenes.iter_mut().try_for_each(|scene| alpha::untag_images(std::slice::from_mut(scene)))?;
    }
    if request.mosaic && scenes.len() > 1 {
        let name = scenes.first().map(|first| format!("{}_mosaic", name_of(first)));
        let mut one = mosaic::mosaic(&scenes)?;
        one.access.name = name;
        one.access.mask = request.mask;
        one.access.picture_alpha = scenes.iter().find_map(|scene| scene.access.picture_alpha);
        one.access.lossy = scenes.iter().find_map(|scene| scene.access.lossy.clone());
        scenes = vec![one];
    }
    scenes
        .into_iter()
        .map(|scene| {
            let mut scene = match request.resolution {
                Some(resolution) => on_another_grid(scene, resolution)?,
                None => scene,
            };
            if let Some(wanted) = &request.area {
                scene.access.area = Some(Arc::new(area::region(wanted, &scene)?));
            }
            Ok(scene)
        })
        .collect()
}

fn of_item(item: &stac_item::Item) -> Result<SceneInfo> {
    let mut notes = item.notes.clone();
    let layers = item.assets.iter().map(|asset| {
        let mut layer = inspect(&asset.file)?;
        notes.extend(asset.describe(&mut layer));
        Ok(layer)
    });
    let layers = layers.collect::<Result<Vec<_>>>()?;
    let mut scene = match <[SceneInfo; 1]>::try_from(layers) {
        Ok([only]) => only,
        Err(layers) => {
            let names: Vec<String> = item.assets.iter().map(|asset| asset.name.clone()).collect();
            mosaic::stack(&layers, &names)?
        }
    };
    scene.access.name = Some(item.id.clone());
    scene.access.notes.append(&mut notes);
    Ok(scene)
}

/// The scene with these files as bands.
fn of_files(bands: &BandFiles) -> Result<SceneInfo> {
    let layers = bands.files.iter().map(|(name, file)| {
        let layer = inspect(file)?;
        match layer.bands.len() {
            1 => Ok(layer),
            count => Err(Error::input(format!(
                "{} has {count} bands, but by its name it is band {name} of {}",
                file.display(),
                bands.scene.display()
            ))
            .with_hint("Name the file itself as the scene, or give the numbers of its bands.")),
        }
    });
    let names: Vec<String> = bands.files.iter().map(|(name, _)| name.clone()).collect();
    let mut layers = layers.collect::<Result<Vec<_>>>()?;
    if let Some(scaling) = sentinel_scaling(&bands.scene) {
        layers
            .iter_mut()
            .flat_map(|layer| &mut layer.bands)
            .for_each(|band| band.scaling = band.scaling.or(Some(scaling)));
    }
    let mut scene = mosaic::stack(&layers, &names)?;
    scene.access.name = Some(bands.name.clone());
    scene.path = bands.scene.clone();
    Ok(scene)
}

/// How a Sentinel-2 product stores reflectances, by its name: in 1/10,000, and from processing baseline 04.00 on (25 January 2022) with
/// 1,000 added (`BOA_ADD_OFFSET` and `RADIO_ADD_OFFSET` of ESA's product format; the images themselves do not say so).
fn sentinel_scaling(product: &Path) -> Option<Scaling> {
    let name = product.file_name()?.to_string_lossy().to_uppercase();
    if !name.starts_with("S2") || !name.ends_with(".SAFE") {
        return None;
    }
    let baseline = name.split('_').find_map(|part| part.strip_prefix('N')?.parse::<u32>().ok())?;
    Some(Scaling { scale: 1e-4, offset: if baseline >= 400 { -0.1 } else { 0.0 } })
}

/// The scene's name in the names of outputs.
fn name_of(scene: &SceneInfo) -> String {
    let of_path = || {
        let text = scene.path.to_string_lossy();
        let path = text.split('?').next().unwrap_or_default();
        Path::new(path).file_stem().map_or_else(|| "scene".to_owned(), |stem| stem.to_string_lossy().into_owned())
    };
    scene.access.name.clone().unwrap_or_else(of_path)
}

/// The scene on a grid of another resolution over the same extent.
fn on_another_grid(scene: SceneInfo, resolution: Resolution) -> Result<SceneInfo> {
    match resolution {
        Resolution::Image(image) => resized(scene, image),
        Resolution::Metres(side) => resampled(scene, side, pixel_in_metres),
        Resolution::CrsUnits(side) => {
            resampled(scene, side, |_, place| Ok([place.transform.pixel_width(), place.transform.pixel_height()]))
        }
    }
}

/// The scene as an image of another size.
fn resized(scene: SceneInfo, image: ImageSize) -> Result<SceneInfo> {
    let (from, to) = (scene.size, image.of(scene.size));
    if to == from {
        return Ok(scene);
    }
    let scale = [from.width as f64 / to.width as f64, from.height as f64 / to.height as f64];
    if scale.iter().any(|scale| *scale < 1.0 / MAX_UPSAMPLING) || to.width.max(to.height) > i32::MAX as usize {
        return Err(Error::input(format!(
            "{} has {from} pixels and cannot be resized to {to}: at most {MAX_UPSAMPLING} times larger",
            scene.path.display()
        ))
        .with_hint("Give a smaller size, or leave `resolution` out."));
    }
    Ok(on_grid(scene, to, scale, Resampling::Bytes))
}

/// The scene in pixels with sides of `side`; `pixel` returns the sides of its own pixels in the same unit.
fn resampled(
    scene: SceneInfo,
    side: f64,
    pixel: impl Fn(&SceneInfo, &Georeference) -> Result<[f64; 2]>,
) -> Result<SceneInfo> {
    let shown = scene.path.display();
    let Some(place) = &scene.georeference else {
        return Err(Error::input(format!("{shown} has no georeference: its pixel size is unknown")).with_hint(
            scene.georeference_hint("Leave `resolution` out, or give the size of the image: `{long_side: 448}`."),
        ));
    };
    let pixel = pixel(&scene, place)?;
    let scale = pixel.map(|pixel| side / pixel);
    let size = Resampler::size(scene.size, scale);
    let sound = scale.iter().all(|scale| scale.is_finite() && *scale >= 1.0 / MAX_UPSAMPLING);
    if !sound || size.width.max(size.height) > i32::MAX as usize {
        return Err(Error::input(format!(
            "{shown} has pixels of {:.4} × {:.4} and cannot be read at {side}: the resolution must be above 0 and at most {MAX_UPSAMPLING} times finer",
            pixel[0], pixel[1]
        ))
        .with_hint("Give the pixel size in metres, or in the units of the scene's CRS: `0.5 crs`."));
    }
    let longest = scene.size.width.max(scene.size.height) as f64;
    if scale.iter().all(|scale| (scale - 1.0).abs() * longest < SAME_GRID * longest.max(1.0)) {
        return Ok(scene);
    }
    Ok(on_grid(scene, size, scale, Resampling::Values))
}

fn on_grid(mut scene: SceneInfo, size: Size, scale: [f64; 2], resampling: Resampling) -> SceneInfo {
    let own = scene.georeference.take();
    scene.georeference = own.clone().map(|place| Georeference { transform: place.transform.scaled(scale), ..place });
    scene.access.native = Some(NativeGrid { size: scene.size, georeference: own, scale, resampling });
    scene.size = size;
    scene
}

/// The ground sample distance in the middle of the scene, in metres: width and height of a pixel.
///
/// Where the scale factor of the projection is close to 1, the metres of the CRS count: pixels of 0.5 m in UTM are 0.5
/// m, though they measure 0.4998 m on the ground, and are not resampled for that.
fn pixel_in_metres(scene: &SceneInfo, place: &Georeference) -> Result<[f64; 2]> {
    let Some(ground) = crs::ground_of(scene.size, Some(place)) else {
        return Err(Error::input(format!("{} has no CRS: its pixel size in metres is unknown", scene.path.display()))
            .with_hint(
                "Give the pixel size in the scene's own units, `resolution: 0.5 crs`, or assign a CRS: \
             `gdal_edit.py -a_srs EPSG:… FILE`.",
            ));
    };
    let pixel = ground.steps();
    let named =
        [place.transform.pixel_width(), place.transform.pixel_height()].map(|side| side * place.metres_per_unit);
    let is_true = pixel.iter().zip(named).all(|(pixel, named)| (named / pixel - 1.0).abs() < TRUE_TO_SCALE);
    Ok(if is_true && !place.geographic { named } else { pixel })
}

#[cfg(test)]
mod tests {
    use super::super::SceneReader;
    use super::super::test_scenes::{as_it_is, georeference, make, plane};
    use super::*;
    use crate::scene::AreaRequest;

    #[test]
    fn sentinel_products_say_their_offset_in_their_names() {
        let scaling = |name: &str| sentinel_scaling(Path::new(name)).map(|scaling| (scaling.scale, scaling.offset));
        assert_eq!(scaling("d/S2A_MSIL2A_20220130T103241_N0400_R108_T32ULC_20220130T140000.SAFE"), Some((1e-4, -0.1)));
        assert_eq!(scaling("S2B_MSIL1C_20190130T103241_N0207_R108_T32ULC_20190130T140000.SAFE"), Some((1e-4, 0.0)));
        assert_eq!(scaling("S2A_MSIL2A_20220130T103241_N0400_R108.tif"), None);
        assert_eq!(scaling("folder"), None);
    }

    fn request(name: &str, resolution: Resolution) -> SceneRequest {
        SceneRequest { resolution: Some(resolution), ..SceneRequest::file(name) }
    }

    fn scene(name: &str, coefficients: [f64; 6], epsg: u32, size: Size) {
        make(name, size, &[plane(size, |col, row| ((col / 2 + row / 2) % 200) as u8)], &[], |dataset| {
            dataset.set_projection(&georeference([0.0; 6], epsg).crs_wkt.unwrap()).unwrap();
            dataset.set_geo_transform(&coefficients).unwrap();
        });
    }

    fn only(request: &SceneRequest) -> SceneInfo {
        find(request).unwrap().remove(0)
    }

    #[test]
    fn resolution_in_metres_holds_in_any_crs() {
        let size = Size::new(100, 60);
        // At 60° north a degree is 55,800 m to the east and 111,412 m to the north.
        scene("/vsimem/degrees.tif", [10.0, 2e-5, 0.0, 60.0006, 0.0, -2e-5], 4326, size);
        let info = only(&request("/vsimem/degrees.tif", Resolution::Metres(10.0)));
        let native = info.access.native.as_ref().unwrap();
        assert!((native.scale[0] - 10.0 / (55_800.2 * 2e-5)).abs() < 1e-3, "{:?}", native.scale);
        assert!((native.scale[1] - 10.0 / (111_412.2 * 2e-5)).abs() < 1e-3, "{:?}", native.scale);
        let place = info.georeference.as_ref().unwrap();
        assert!((place.transform.pixel_width() / place.transform.pixel_height() - 1.9966).abs() < 1e-3);
        assert_eq!(place.transform.to_world(0.0, 0.0).x, 10.0);
        assert_eq!(info.native().0, size);

        scene("/vsimem/feet_grid.tif", [0.0, 3.0, 0.0, 0.0, 0.0, -3.0], 2263, size);
        let info = only(&request("/vsimem/feet_grid.tif", Resolution::Metres(3.0 * 1200.0 / 3937.0)));
        assert_eq!((info.size, info.access.native.is_none()), (size, true), "three feet are three feet");
        let info = only(&request("/vsimem/feet_grid.tif", Resolution::CrsUnits(6.0)));
        assert_eq!(info.size, Size::new(50, 30));
        let rotated = [0.0, 0.6, 0.8, 0.0, 0.8, -0.6];
        scene("/vsimem/rotated_grid.tif", rotated, 32632, size);
        let info = only(&request("/vsimem/rotated_grid.tif", Resolution::Metres(2.0)));
        assert_eq!(info.size, Size::new(50, 30));
        let (near, far) =
            (info.georeference.as_ref().unwrap().transform, crate::geom::GeoTransform { coefficients: rotated });
        let (near, far) = (near.to_world(50.0, 30.0), far.to_world(100.0, 60.0));
        assert!((near.x - far.x).abs() < 1e-9 && (near.y - far.y).abs() < 1e-9);
    }

    #[test]
    fn coarser_scene_is_averaged_within_the_area() {
        let size = Size::new(64, 40);
        scene("/vsimem/coarser.tif", [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], 32632, size);
        let area = AreaRequest::Bounds { bounds: [20.0, -20.0, 40.0, 0.0], crs: "EPSG:32632".into() };
        let mut request = request("/vsimem/coarser.tif", Resolution::Metres(2.0));
        request.area = Some(area);
        let info = only(&request);
        assert_eq!(info.size, Size::new(32, 20));
        let reader = SceneReader::open(&info, [1, 1, 1], &as_it_is()).unwrap();
        let tile = reader.read(info.size.window()).unwrap();
        let valid = tile.valid.unwrap();
        for (at, &valid) in valid.iter().enumerate() {
            let (col, row) = (at % 32, at / 32);
            assert_eq!(tile.rgb[at], ((col + row) % 200) as f32, "pixels beside the area are seen");
            assert_eq!(valid, (10..20).contains(&col) && row < 10);
        }
        let outside = crate::geom::Window { col: 0, row: 12, width: 32, height: 8 };
        assert!(reader.read(outside).unwrap().is_empty());
    }

    /// Results have the coordinates of the scene, whatever its orientation and resolution.
    #[test]
    fn results_have_the_extent_of_the_scene() {
        let size = Size::new(40, 30);
        let (sin, cos) = 0.5f64.sin_cos();
        let cases = [
            ("north up", [5e5, 2.0, 0.0, 5.6e6, 0.0, -2.0], 32632, false),
            ("south up", [5e5, 2.0, 0.0, 5.6e6, 0.0, 2.0], 32632, false),
            ("rotated", [5e5, 2.0 * cos, 2.0 * sin, 5.6e6, 2.0 * sin, -2.0 * cos], 32632, false),
            ("pixel is point", [5e5, 2.0, 0.0, 5.6e6, 0.0, -2.0], 32632, true),
            ("degrees", [10.0, 1e-4, 0.0, 60.0, 0.0, -1e-4], 4326, false),
            ("antimeridian", [179.998, 1e-4, 0.0, -16.0, 0.0, -1e-4], 4326, false),
        ];
        let folder = tempfile::tempdir().unwrap();
        let block = |col: usize, row: usize| (24..32).contains(&col) && (6..14).contains(&row);
        for (number, (what, coefficients, epsg, point)) in cases.into_iter().enumerate() {
            let name = format!("/vsimem/odd_{number}.tif");
            make(&name, size, &[plane(size, |col, row| u8::from(block(col, row)) * 200)], &[], |dataset| {
                if point {
                    gdal::Metadata::set_metadata_item(dataset, "AREA_OR_POINT", "Point", "").unwrap();
                }
                dataset.set_projection(&georeference([0.0; 6], epsg).crs_wkt.unwrap()).unwrap();
                dataset.set_geo_transform(&coefficients).unwrap();
            });
            let own = crate::geom::GeoTransform { coefficients };
            for times in [1.0, 2.0, 0.4] {
                let info = only(&request(&name, Resolution::CrsUnits(times * own.pixel_width())));
                let reader = SceneReader::open(&info, [1, 1, 1], &as_it_is()).unwrap();
                let seen = reader.read(info.size.window()).unwrap().rgb;
                let labels: Vec<u16> =
                    seen[..info.size.pixels()].iter().map(|value| u16::from(*value > 100.0)).collect();
                let path = folder.path().join(format!("{number}_{times}.tif"));
                let (place, classes) = (info.georeference.as_ref(), super::super::test_scenes::classes(2));
                let layout = crate::scene::RasterLayout::default();
                let kind = crate::scene::LabelType::U8;
                let mut writer =
                    super::super::LabelWriter::create(&path, info.size, place, &classes, kind, layout, &[]).unwrap();
                writer.write_rows(0, &labels).unwrap();
                writer.finish().unwrap();

                let written = inspect(&path).unwrap().georeference.unwrap();
                assert_eq!(written.pixel_is_point, point, "{what}");
                for (col, row, label) in
                    [(28.0, 10.0, 1), (25.5, 7.5, 1), (30.5, 12.5, 1), (22.0, 10.0, 0), (28.0, 16.5, 0)]
                {
                    let there = written.transform.to_pixel(own.to_world(col, row)).unwrap();
                    let at = there[1] as usize * info.size.width + there[0] as usize;
                    assert_eq!(labels[at], label, "{what}, {times} times, at {col}, {row}");
                }
            }
        }
    }

    #[test]
    fn resolution_needs_a_georeference() {
        make("/vsimem/nowhere.tif", Size::new(4, 4), &[vec![0u8; 16]], &[], |_| {});
        let error = find(&request("/vsimem/nowhere.tif", Resolution::Metres(1.0))).unwrap_err();
        assert!(error.to_string().contains("no georeference"), "{error}");
        scene("/vsimem/tiny.tif", [0.0, 1.0, 0.0, 0.0, 0.0, -1.0], 32632, Size::new(4, 4));
        for side in [0.0, -1.0, f64::NAN, 1e-300, 0.015] {
            assert!(find(&request("/vsimem/tiny.tif", Resolution::Metres(side))).is_err(), "{side}");
        }
    }
}
