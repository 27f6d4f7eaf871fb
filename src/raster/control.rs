//! What georeferences a raster without a geotransform: ground control points, RPC, geolocation arrays.

use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};
use gdal::{Dataset, Metadata};

use super::{ffi, messages};
use crate::scene::GroundControl;

/// The ground control of a dataset; meant for those without a geotransform.
pub(super) fn control(dataset: &Dataset) -> Option<GroundControl> {
    let points = ffi::control_points(dataset);
    if points > 0 {
        let what =
            if points == 1 { "1 ground control point".to_owned() } else { format!("{points} ground control points") };
        return Some(GroundControl { what, options: "", target: target_of_points(dataset) });
    }
    let item = |domain: &str, key: &str| dataset.metadata_item(key, domain);
    if item("RPC", "LINE_NUM_COEFF").is_some() {
        let degrees = |key: &str| item("RPC", key).and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        let target = match (degrees("LONG_OFF"), degrees("LAT_OFF")) {
            (Some(longitude), Some(latitude)) => zone(longitude, latitude),
            _ => None,
        };
        let what = "rational polynomial coefficients (RPC)".to_owned();
        return Some(GroundControl { what, options: "-rpc ", target: target.unwrap_or_else(unknown) });
    }
    item("GEOLOCATION", "X_DATASET").map(|_| GroundControl {
        what: "a geolocation array".to_owned(),
        options: "-geoloc ",
        target: unknown(),
    })
}

fn unknown() -> String {
    "EPSG:…".to_owned()
}

/// A CRS for ground control points: their own where it is projected, else the UTM zone of their centre.
fn target_of_points(dataset: &Dataset) -> String {
    let points = dataset.gcps();
    let count = points.len().max(1) as f64;
    let middle = |of: fn(&gdal::GcpRef<'_>) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mut x, mut y) = ([middle(|point| point.x())], [middle(|point| point.y())]);
    let found = messages::attempt(|| {
        let Some(mut crs) = dataset.gcp_spatial_ref() else { return Ok(None) };
        if let (false, Ok(name)) = (crs.is_geographic(), crs.authority()) {
            return Ok(Some(name));
        }
        crs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
        let mut degrees = SpatialRef::from_epsg(4326)?;
        degrees.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
        CoordTransform::new(&crs, &degrees)?.transform_coords(&mut x, &mut y, &mut [])?;
        Ok(zone(x[0], y[0]))
    });
    found.ok().flatten().unwrap_or_else(unknown)
}

/// The UTM zone of a position, or polar stereographic beyond the zones.
fn zone(longitude: f64, latitude: f64) -> Option<String> {
    if !longitude.is_finite() || !(-90.0..=90.0).contains(&latitude) {
        return None;
    }
    let number = ((longitude + 180.0).rem_euclid(360.0) / 6.0) as u32 % 60 + 1;
    Some(match latitude {
        84.0.. => "EPSG:3413".to_owned(),
        0.0.. => format!("EPSG:{}", 32600 + number),
        -80.0.. => format!("EPSG:{}", 32700 + number),
        _ => "EPSG:3031".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::inspect;
    use super::*;

    fn vrt(name: &str, inside: &str) -> Option<GroundControl> {
        let text = format!(
            "<VRTDataset rasterXSize=\"4\" rasterYSize=\"4\">{inside}<VRTRasterBand dataType=\"Byte\" band=\"1\"/></VRTDataset>"
        );
        gdal::vsi::create_mem_file(name, text.into_bytes()).unwrap();
        let info = inspect(name).unwrap();
        assert_eq!(info.georeference, None);
        info.access.control
    }

    #[test]
    fn control_points_give_a_gdalwarp_command() {
        let points = |crs: &str, [x, y]: [f64; 2], step: f64| {
            format!(
                "<GCPList Projection=\"{crs}\"><GCP Id=\"a\" Pixel=\"0\" Line=\"0\" X=\"{x}\" Y=\"{y}\"/>\
                 <GCP Id=\"b\" Pixel=\"4\" Line=\"0\" X=\"{}\" Y=\"{y}\"/>\
                 <GCP Id=\"c\" Pixel=\"0\" Line=\"4\" X=\"{x}\" Y=\"{}\"/></GCPList>",
                x + step,
                y - step
            )
        };
        // The zone of 5° to 6° east is 31, that of 18.4° east in the south is 34.
        for (index, (crs, at, step, target)) in [
            ("EPSG:4326", [5.0, 50.0], 1.0, "EPSG:32631"),
            ("EPSG:4326", [18.4, -33.9], 0.1, "EPSG:32734"),
            ("EPSG:4326", [10.0, 87.0], 0.1, "EPSG:3413"),
            ("EPSG:25832", [356_000.0, 5_645_000.0], 10.0, "EPSG:25832"),
        ]
        .into_iter()
        .enumerate()
        {
            let found = vrt(&format!("/vsimem/points_{index}.vrt"), &points(crs, at, step)).unwrap();
            assert_eq!((found.what.as_str(), found.target.as_str()), ("3 ground control points", target));
            assert_eq!(
                found.warp_line("drone.tif".as_ref(), "bilinear"),
                format!("gdalwarp -r bilinear -t_srs {target} drone.tif drone_warped.tif")
            );
        }
    }

    #[test]
    fn rpc_and_geolocation_arrays_are_noted() {
        let inside = "<Metadata domain=\"RPC\"><MDI key=\"LINE_NUM_COEFF\">1 0</MDI><MDI key=\"LONG_OFF\">-76.5</MDI>\
                      <MDI key=\"LAT_OFF\">39.1 degrees</MDI></Metadata>";
        let found = vrt("/vsimem/camera.vrt", inside).unwrap();
        assert_eq!(
            found.warp_line("/data/a b.ntf".as_ref(), "near"),
            "gdalwarp -rpc -r near -t_srs EPSG:32618 '/data/a b.ntf' '/data/a b_warped.tif'"
        );
        let inside = "<Metadata domain=\"GEOLOCATION\"><MDI key=\"X_DATASET\">lon.tif</MDI></Metadata>";
        assert_eq!(vrt("/vsimem/swath.vrt", inside).unwrap().what, "a geolocation array");
        assert_eq!(vrt("/vsimem/bare.vrt", ""), None);
    }
}
