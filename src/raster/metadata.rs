//! A scene's properties from its header.

use std::path::Path;

use gdal::raster::{ColorInterpretation, GdalDataType, RasterBand};
use gdal::{Dataset, Metadata};

use super::{control, ffi, messages, sparse_files};
use crate::error::{Context, Result};
use crate::geom::{GeoTransform, Size};
use crate::scene::{
    Access, BandInfo, ColourRole, Georeference, Scaling, SceneInfo, Sensor, Spectral, Spectrum, micrometres,
};

/// Reads the properties of an open scene; no pixels.
pub(super) fn describe(dataset: &Dataset, path: &Path) -> Result<SceneInfo> {
    let (width, height) = dataset.raster_size();
    let (sensor, wavelengths) = (sensor(dataset, path), wavelengths(dataset));
    let bands = (1..=dataset.raster_count()).map(|number| {
        let band = messages::attempt(|| dataset.rasterband(number))
            .input(|| format!("cannot read the header of band {number} of {}", path.display()))?;
        let mut band = describe_band(&band);
        band.spectral.sensor = sensor;
        if band.scaling.is_none() && band.pixel_type == "UInt16" && dataset.raster_count() == 1 {
            band.scaling = scaling_of_product(path);
        }
        band.spectral.wavelength = band.spectral.wavelength.or(wavelengths.get(number - 1).copied());
        Ok(band)
    });
    let bands = bands.collect::<Result<_>>()?;
    let georeference = georeference(dataset);
    let size = Size::new(width, height);
    let (mask_band, nodata_values) = masks(dataset);
    let control = if georeference.is_none() { control::control(dataset) } else { None };
    let access = Access { mask_band, nodata_values, lossy: lossy(dataset), control, ..Access::default() };
    let info = SceneInfo { path: path.to_owned(), size, bands, georeference, access };
    sparse_files::check(dataset, path, &info)?;
    Ok(info)
}

/// Whether some band has a mask band, and whether nodata values hold for all bands together. Alpha bands are recognised
/// by their role: GDAL uses them as masks only in rasters of two or four bands.
fn masks(dataset: &Dataset) -> (bool, bool) {
    let flags = |number| messages::attempt(|| dataset.rasterband(number)?.mask_flags()).ok();
    let flags = || (1..=dataset.raster_count()).filter_map(flags).filter(|flags| !flags.is_all_valid());
    let mask_band = flags().any(|flags| !flags.is_nodata() && !flags.is_alpha());
    (mask_band, flags().any(|flags| flags.is_nodata() && flags.is_per_dataset()))
}

/// The name of a lossy compression, where the file or its format gives one.
fn lossy(dataset: &Dataset) -> Option<String> {
    let said = |key: &str| dataset.metadata_item(key, "IMAGE_STRUCTURE").unwrap_or_default();
    let (compression, reversible) = (said("COMPRESSION"), said("COMPRESSION_REVERSIBILITY").to_uppercase());
    let driver = dataset.driver().short_name();
    let upper = compression.to_uppercase();
    // GDAL does not always report how these formats are compressed; JPEG 2000 and WebP may also be lossless.
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
    let spectral = Spectral { wavelength: wavelength(band), ..Spectral::default() };
    BandInfo { name, role, pixel_type: ffi::pixel_type(band), nodata: nodata(band), spectral, scaling: scaling(band) }
}

/// `None` where the file sets neither, or both to values without effect.
fn scaling(band: &RasterBand<'_>) -> Option<Scaling> {
    let scaling = Scaling { scale: band.scale().unwrap_or(1.0), offset: band.offset().unwrap_or(0.0) };
    let sound = scaling.scale.is_finite() && scaling.scale != 0.0 && scaling.offset.is_finite();
    (sound && scaling != Scaling { scale: 1.0, offset: 0.0 }).then_some(scaling)
}

/// How a band of a Sentinel-2 product stores reflectance, which its file does not say: in steps of 1/10,000, and since the
/// processing baseline 04.00 (January 2022) 0.1 above the value (`RADIO_ADD_OFFSET` and `BOA_ADD_OFFSET` of the product). The
/// folder's name has the baseline: `S2A_MSIL2A_20220130T103241_N0400_….SAFE`.
fn scaling_of_product(path: &Path) -> Option<Scaling> {
    let is_band = crate::scene::designation(path.file_stem()?.to_str()?).is_some();
    let mut folders = path.ancestors().skip(1).filter_map(|folder| folder.file_name()?.to_str());
    let product = folders.find(|name| name.starts_with("S2") && name.ends_with(".SAFE"))?;
    let baseline: u16 = product.split('_').find_map(|part| part.strip_prefix('N')?.parse().ok())?;
    is_band.then_some(Scaling { scale: 0.0001, offset: if baseline >= 400 { -0.1 } else { 0.0 } })
}

/// A band's central wavelength in micrometres, where its metadata gives one.
///
/// GDAL's drivers since 3.10 write `CENTRAL_WAVELENGTH_UM` in the domain IMAGERY, the ENVI driver `wavelength` with
/// `wavelength_units`, the Sentinel-2 driver `WAVELENGTH` with `WAVELENGTH_UNIT`; ArcGIS has `WavelengthMin` and
/// `WavelengthMax` in nanometres. Keys are compared without regard to case.
fn wavelength(band: &RasterBand<'_>) -> Option<f64> {
    let item = |key: &str| {
        let found = ["IMAGERY", "", "ENVI"].iter().find_map(|domain| band.metadata_item(key, domain));
        found.filter(|value| !value.trim().is_empty())
    };
    let number = |key: &str| item(key)?.trim().parse::<f64>().ok();
    let unit = ["wavelength_units", "wavelength_unit", "wavelength units"].iter().find_map(|key| item(key));
    let keys = ["wavelength", "central_wavelength", "center_wavelength", "centerwavelength", "centralwavelength"];
    let found = number("CENTRAL_WAVELENGTH_UM")
        .or_else(|| number("wavelength_um"))
        .or_else(|| Some(number("CENTRAL_WAVELENGTH_NM").or_else(|| number("wavelength_nm"))? / 1000.0))
        .or_else(|| keys.iter().find_map(|key| number(key)).and_then(|value| in_micrometres(value, unit.as_deref())))
        .or_else(|| in_micrometres(f64::midpoint(number("WavelengthMin")?, number("WavelengthMax")?), unit.as_deref()));
    found.filter(|value| value.is_finite() && *value > 0.0)
}

/// The wavelengths of all bands, where the dataset gives them as a list: `{450.0, 550.0, …}` in ENVI's domain.
fn wavelengths(dataset: &Dataset) -> Vec<f64> {
    let item = |key: &str| ["ENVI", "", "IMAGERY"].iter().find_map(|domain| dataset.metadata_item(key, domain));
    let unit = ["wavelength_units", "wavelength units", "wavelength_unit"].iter().find_map(|key| item(key));
    let Some(list) = item("wavelength").or_else(|| item("wavelengths")) else { return Vec::new() };
    let numbers = list.trim().trim_matches(['{', '}', '[', ']']).split(',').map(|text| text.trim().parse::<f64>().ok());
    let found: Option<Vec<f64>> = numbers.map(|value| in_micrometres(value?, unit.as_deref())).collect();
    // A list whose length is not the number of bands would give bands wrong wavelengths.
    found.filter(|found| found.len() == dataset.raster_count()).unwrap_or_default()
}

/// A wavelength in micrometres. Without a unit its size decides: there are no bands at 400 µm or at 2 nm.
fn in_micrometres(value: f64, unit: Option<&str>) -> Option<f64> {
    match unit.map(|unit| unit.trim().to_lowercase()) {
        None => Some(if value > 100.0 { value / 1000.0 } else { value }),
        Some(unit) if unit.is_empty() || unit == "unknown" => Some(if value > 100.0 { value / 1000.0 } else { value }),
        // Wave numbers, GHz, an index.
        Some(unit) => Some(value * micrometres(&unit)?),
    }
    .filter(|value| Spectrum::of_wavelength(*value).is_some() || (0.1..100.0).contains(value))
}

/// The sensor that the file's name or its metadata names.
fn sensor(dataset: &Dataset, path: &Path) -> Option<Sensor> {
    const KEYS: [&str; 12] = [
        "SPACECRAFT_ID",
        "SPACECRAFT_NAME",
        "DATATAKE_1_SPACECRAFT_NAME",
        "PRODUCT_URI",
        "LANDSAT_PRODUCT_ID",
        "SATELLITEID",
        "SATELLITE",
        "PLATFORM",
        "CONSTELLATION",
        "MISSION",
        "SENSOR",
        "SENSOR_ID",
    ];
    let stored = KEYS
        .iter()
        .flat_map(|key| ["", "IMAGERY"].map(|domain| (key, domain)))
        .filter_map(|(key, domain)| dataset.metadata_item(key, domain))
        .find_map(|value| Sensor::named_in(&value));
    stored.or_else(|| Sensor::named_in(&path.file_name()?.to_string_lossy()))
}

/// The nodata value; 64-bit integers have their own calls, and values beyond a double's precision are rounded.
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

/// `None` where the file has no geotransform. A CRS alone does not georeference a raster.
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

/// The georeference that a geotransform and a CRS (WKT) give; `None` without a geotransform.
///
/// # Errors
/// The CRS cannot be read.
pub fn georeference_of(coefficients: Option<[f64; 6]>, crs_wkt: Option<&str>) -> Result<Option<Georeference>> {
    let Some(coefficients) = coefficients else { return Ok(None) };
    let crs = crs_wkt.map(super::spatial_ref::crs).transpose()?;
    let geographic = crs.as_ref().is_some_and(|crs| crs.is_geographic());
    let metres_per_unit = match &crs {
        Some(crs) if !geographic && crs.linear_units() > 0.0 => crs.linear_units(),
        _ => 1.0,
    };
    Ok(Some(Georeference {
        transform: GeoTransform { coefficients },
        crs_wkt: crs_wkt.map(str::to_owned),
        crs_name: crs.as_ref().and_then(|crs| crs.authority().ok().or_else(|| crs.name())),
        geographic,
        metres_per_unit,
        pixel_is_point: false,
    }))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::test_scenes::{georeference, make};
    use super::super::{LabelWriter, inspect};
    use super::*;
    use crate::scene::{LabelType, RasterLayout};
    use segearth_testing::shared;

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
    fn wavelengths_sensors_scale_and_offset_are_read() {
        let set = |dataset: &mut Dataset, band: usize, key: &str, value: &str, domain: &str| {
            dataset.rasterband(band).unwrap().set_metadata_item(key, value, domain).unwrap();
        };
        let planes = vec![vec![1u16; 4]; 7];
        make("/vsimem/LC08_waves.tif", Size::new(2, 2), &planes, &[], |dataset| {
            set(dataset, 1, "CENTRAL_WAVELENGTH_UM", "0.485", "IMAGERY");
            set(dataset, 2, "wavelength", "560.0", "");
            set(dataset, 2, "wavelength_units", "Nanometers", "");
            set(dataset, 3, "WAVELENGTH", "665", "");
            set(dataset, 3, "WAVELENGTH_UNIT", "nm", "");
            set(dataset, 4, "wavelength", "0.83", "ENVI");
            set(dataset, 5, "WavelengthMin", "630", "");
            set(dataset, 5, "WavelengthMax", "690", "");
            set(dataset, 6, "wavelength", "15400", "");
            set(dataset, 6, "wavelength_units", "Wavenumber", "");
            let mut band = dataset.rasterband(1).unwrap();
            band.set_scale(0.0001).unwrap();
            band.set_offset(-0.1).unwrap();
            dataset.rasterband(2).unwrap().set_scale(1.0).unwrap();
        });
        let info = inspect("/vsimem/LC08_waves.tif").unwrap();
        let found: Vec<_> = info.bands.iter().map(|band| band.spectral.wavelength).collect();
        assert_eq!(found, [Some(0.485), Some(0.56), Some(0.665), Some(0.83), Some(0.66), None, None]);
        assert_eq!(info.bands[0].scaling, Some(Scaling { scale: 0.0001, offset: -0.1 }));
        assert_eq!((info.bands[1].scaling, info.bands[2].scaling), (None, None));
        assert!(info.bands.iter().all(|band| band.spectral.sensor == Some(Sensor::LandsatOli)));

        let list = |value: &str| {
            make("/vsimem/listed.tif", Size::new(2, 2), &planes[..3], &[], |dataset| {
                dataset.set_metadata_item("wavelength", value, "ENVI").unwrap();
                dataset.set_metadata_item("wavelength_units", "Micrometers", "ENVI").unwrap();
                dataset.set_metadata_item("SPACECRAFT_ID", "LANDSAT_7", "").unwrap();
            });
            let info = inspect("/vsimem/listed.tif").unwrap();
            assert_eq!(info.bands[0].spectral.sensor, Some(Sensor::LandsatTm));
            info.bands.iter().map(|band| band.spectral.wavelength).collect::<Vec<_>>()
        };
        assert_eq!(list("{0.485, 0.56, 0.66}"), [Some(0.485), Some(0.56), Some(0.66)]);
        assert_eq!(list("{0.485, 0.56}"), [None; 3], "a list of another length says nothing");
        assert_eq!(list("{0.485, x, 0.66}"), [None; 3]);
    }

    #[test]
    fn sentinel_bands_have_the_offset_of_their_baseline() {
        let of = |name: &str| scaling_of_product(Path::new(name)).map(|scaling| (scaling.scale, scaling.offset));
        let within = "S2A_MSIL2A_20220130T103241_N0400_R108_T32ULC_20220130T133201.SAFE/GRANULE/L2A/IMG_DATA/R10m";
        let band = "T32ULC_20220130T103241_B04_10m.jp2";
        assert_eq!(of(&format!("/d/{within}/{band}")), Some((0.0001, -0.1)));
        assert_eq!(of(&format!("/d/{}/{band}", within.replace("N0400", "N0301"))), Some((0.0001, 0.0)));
        assert_eq!(of(&format!("/d/{within}/T32ULC_20220130T103241_AOT_10m.jp2")), None);
        assert_eq!(of(&format!("/d/R10m/{band}")), None);
    }

    #[test]
    fn shared_scenes_have_their_georeference() {
        let Some(path) = shared("scenes/naip_2012.tif") else { return };
        let info = inspect(&path).unwrap();
        assert_eq!((info.size, info.bands.len()), (Size::new(934, 723), 4));
        let georeference = info.georeference.unwrap();
        assert_eq!((georeference.crs_name.as_deref(), georeference.geographic), (Some("EPSG:26914"), false));
        assert_eq!((georeference.transform.pixel_width(), georeference.transform.pixel_height()), (5.0, 5.0));
    }
}
