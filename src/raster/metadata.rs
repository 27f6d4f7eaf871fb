//! A scene's facts from its header.

use std::path::Path;

use gdal::raster::{ColorInterpretation, GdalDataType, RasterBand};
use gdal::{Dataset, Metadata};

use super::{ffi, hollow, messages};
use crate::error::{Context, Result};
use crate::geom::{GeoTransform, Size};
use crate::scene::{Access, BandInfo, ColourRole, Georeference, SceneInfo};

/// Reads the facts of an open scene; no pixels.
pub(super) fn describe(dataset: &Dataset, path: &Path) -> Result<SceneInfo> {
    let (width, height) = dataset.raster_size();
    let bands = (1..=dataset.raster_count()).map(|number| {
        let band = messages::attempt(|| dataset.rasterband(number))
            .input(|| format!("cannot read the header of band {number} of {}", path.display()))?;
        Ok(describe_band(&band))
    });
    let bands = bands.collect::<Result<_>>()?;
    let georeference = georeference(dataset);
    let points = ffi::control_points(dataset);
    if georeference.is_none() && points > 0 {
        messages::warn(&format!(
            "{} is placed by {points} ground control points alone; results lie in pixel coordinates. \
             Warp the scene first (gdalwarp) to have them on the map.",
            path.display()
        ));
    }
    let size = Size::new(width, height);
    let (mask_band, nodata_values) = masks(dataset);
    let access = Access { mask_band, nodata_values, lossy: lossy(dataset), ..Access::default() };
    let info = SceneInfo { path: path.to_owned(), size, bands, georeference, access };
    hollow::refuse(dataset, path, &info)?;
    Ok(info)
}

/// Whether some band has a mask band, and whether nodata values hold for all bands together. Alpha bands are told by their
/// role: GDAL takes them for masks only of two or four bands.
fn masks(dataset: &Dataset) -> (bool, bool) {
    let flags = |number| messages::attempt(|| dataset.rasterband(number)?.mask_flags()).ok();
    let flags = || (1..=dataset.raster_count()).filter_map(flags).filter(|flags| !flags.is_all_valid());
    let mask_band = flags().any(|flags| !flags.is_nodata() && !flags.is_alpha());
    (mask_band, flags().any(|flags| flags.is_nodata() && flags.is_per_dataset()))
}

/// The name of the compression that has changed values, where the file or its format tells of one.
fn lossy(dataset: &Dataset) -> Option<String> {
    let said = |key: &str| dataset.metadata_item(key, "IMAGE_STRUCTURE").unwrap_or_default();
    let (compression, reversible) = (said("COMPRESSION"), said("COMPRESSION_REVERSIBILITY").to_uppercase());
    let driver = dataset.driver().short_name();
    let upper = compression.to_uppercase();
    // Of these formats GDAL does not always say how they are compressed; JPEG 2000 and WebP may also be without loss.
    let by_driver = ["ECW", "MRSID", "JP2ECW", "JP2MRSID"].contains(&driver.as_str());
    let usual = upper.contains("JPEG") || upper == "WEBP" || driver == "JPEG" || by_driver;
    let lossy = match reversible {
        said if said.contains("LOSSLESS") => false,
        said if said.contains("LOSSY") => true,
        _ => usual || (upper.starts_with("LERC") && said("MAX_Z_ERROR").parse::<f64>().is_ok_and(|error| error > 0.0)),
    };
    lossy.then_some(if compression.is_empty() { driver } else { compression })
}

fn describe_band(band: &RasterBand<'_>) -> BandInfo {
    let name = band.description().ok().filter(|name| !name.is_empty());
    let role = role(band.color_interpretation());
    BandInfo { name, role, pixel_type: ffi::pixel_type(band), nodata: nodata(band) }
}

/// The nodata value; 64-bit integers have calls of their own and lose what a double cannot hold.
fn nodata(band: &RasterBand<'_>) -> Option<f64> {
    match band.band_type() {
        GdalDataType::Int64 => band.no_data_value_i64().map(|value| value as f64),
        GdalDataType::UInt64 => band.no_data_value_u64().map(|value| value as f64),
        _ => band.no_data_value(),
    }
}

fn role(interpretation: ColorInterpretation) -> ColourRole {
    match interpretation {
        ColorInterpretation::Undefined => ColourRole::Undefined,
        ColorInterpretation::GrayIndex => ColourRole::Grey,
        ColorInterpretation::PaletteIndex => ColourRole::Palette,
        ColorInterpretation::RedBand => ColourRole::Red,
        ColorInterpretation::GreenBand => ColourRole::Green,
        ColorInterpretation::BlueBand => ColourRole::Blue,
        ColorInterpretation::AlphaBand => ColourRole::Alpha,
        _ => ColourRole::Other,
    }
}

/// `None` where the file has no geotransform. A CRS without one places nothing.
fn georeference(dataset: &Dataset) -> Option<Georeference> {
    let coefficients = messages::attempt(|| dataset.geo_transform()).ok()?;
    let pixel_is_point =
        dataset.metadata_item("AREA_OR_POINT", "").is_some_and(|value| value.eq_ignore_ascii_case("point"));
    let crs = messages::attempt(|| dataset.spatial_ref()).ok();
    let crs_name = crs.as_ref().and_then(|crs| crs.authority().ok().or_else(|| crs.name()));
    let geographic = crs.as_ref().is_some_and(|crs| crs.is_geographic());
    let metres_per_unit = match &crs {
        Some(crs) if !geographic && crs.linear_units() > 0.0 => crs.linear_units(),
        _ => 1.0,
    };
    let crs_wkt = crs.as_ref().and_then(ffi::wkt2);
    let transform = GeoTransform { coefficients };
    Some(Georeference { transform, crs_wkt, crs_name, geographic, metres_per_unit, pixel_is_point })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::test_scenes::{georeference, make};
    use super::super::{LabelWriter, inspect, take_warnings};
    use super::*;
    use crate::scene::{LabelType, RasterLayout};
    use crate::testing::shared;

    /// Writes a raster with this georeference and reads it back.
    fn through_a_file(path: &Path, georeference: Option<&Georeference>) -> Option<Georeference> {
        let classes = super::super::test_scenes::classes(2);
        let mut writer = LabelWriter::create(
            path,
            Size::new(3, 2),
            georeference,
            &classes,
            LabelType::U8,
            RasterLayout::default(),
            &[],
        )
        .unwrap();
        writer.write_rows(0, &[0, 1, 255, 1, 0, 0]).unwrap();
        writer.finish().unwrap();
        inspect(path).unwrap().georeference
    }

    #[test]
    fn north_up_south_up_rotated_and_degrees_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (sin, cos) = 0.4f64.sin_cos();
        let cases = [
            ([356_000.5, 0.1, 0.0, 5_645_000.25, 0.0, -0.1], 25832),
            ([356_000.0, 10.0, 0.0, 5_645_000.0, 0.0, 10.0], 32633),
            ([356_000.0, 2.0 * cos, 2.0 * sin, 5_645_000.0, 2.0 * sin, -2.0 * cos], 32621),
            ([179.9, 1.0 / 3600.0, 0.0, -16.5, 0.0, -1.0 / 3600.0], 4326),
        ];
        for (index, (coefficients, epsg)) in cases.into_iter().enumerate() {
            for pixel_is_point in [false, true] {
                let mut given = georeference(coefficients, epsg);
                given.pixel_is_point = pixel_is_point;
                let path = folder.path().join(format!("{index}.tif"));
                let found = through_a_file(&path, Some(&given)).unwrap();
                assert_eq!(found.crs_name, Some(format!("EPSG:{epsg}")));
                assert_eq!((found.geographic, found.pixel_is_point), (epsg == 4326, pixel_is_point));
                for (found, given) in found.transform.coefficients.into_iter().zip(coefficients) {
                    // A point file stores centres: half a pixel is added and taken away, which may cost the last bit.
                    let bound = if pixel_is_point { 1e-15 * given.abs() } else { 0.0 };
                    assert!((found - given).abs() <= bound, "{found} is not {given} in {coefficients:?}");
                }
            }
        }
        assert_eq!(through_a_file(&folder.path().join("none.tif"), None), None);
    }

    #[test]
    fn feet_names_roles_and_nodata_are_read() {
        let dress = |dataset: &mut Dataset| {
            dataset.set_projection(&georeference([0.0; 6], 2263).crs_wkt.unwrap()).unwrap();
            dataset.set_geo_transform(&[0.0, 1.0, 0.0, 0.0, 0.0, -1.0]).unwrap();
            let mut band = dataset.rasterband(2).unwrap();
            band.set_no_data_value(Some(-9999.0)).unwrap();
            band.set_description("near infrared").unwrap();
        };
        make(
            "/vsimem/feet.tif",
            Size::new(2, 2),
            &[vec![1i16; 4], vec![2; 4], vec![3; 4]],
            &["PHOTOMETRIC=RGB"],
            dress,
        );
        let info = inspect("/vsimem/feet.tif").unwrap();
        let georeference = info.georeference.unwrap();
        assert!((georeference.metres_per_unit - 1200.0 / 3937.0).abs() < 1e-12);
        assert_eq!(info.bands.len(), 3);
        assert_eq!((info.bands[0].role, info.bands[2].role), (ColourRole::Red, ColourRole::Blue));
        let second = &info.bands[1];
        assert_eq!(second.name.as_deref(), Some("near infrared"));
        assert_eq!((second.pixel_type.as_str(), second.nodata), ("Int16", Some(-9999.0)));
    }

    #[test]
    fn ground_control_points_alone_are_no_georeference_and_that_is_said() {
        let vrt = "<VRTDataset rasterXSize=\"4\" rasterYSize=\"4\"><GCPList Projection=\"EPSG:4326\">\
            <GCP Id=\"a\" Pixel=\"0\" Line=\"0\" X=\"5\" Y=\"50\"/><GCP Id=\"b\" Pixel=\"4\" Line=\"0\" X=\"6\" Y=\"50.3\"/>\
            <GCP Id=\"c\" Pixel=\"0\" Line=\"4\" X=\"5\" Y=\"49\"/></GCPList>\
            <VRTRasterBand dataType=\"Byte\" band=\"1\"/></VRTDataset>";
        gdal::vsi::create_mem_file("/vsimem/points.vrt", vrt.as_bytes().to_vec()).unwrap();
        assert_eq!(inspect("/vsimem/points.vrt").unwrap().georeference, None);
        assert!(take_warnings().iter().any(|warning| warning.contains("3 ground control points")));
    }

    #[test]
    fn the_shared_scenes_are_where_they_should_be() {
        let Some(path) = shared("scenes/naip_2012.tif") else { return };
        let info = inspect(&path).unwrap();
        assert_eq!((info.size, info.bands.len()), (Size::new(934, 723), 4));
        let georeference = info.georeference.unwrap();
        assert_eq!((georeference.crs_name.as_deref(), georeference.geographic), (Some("EPSG:26914"), false));
        assert_eq!((georeference.transform.pixel_width(), georeference.transform.pixel_height()), (5.0, 5.0));
    }
}
