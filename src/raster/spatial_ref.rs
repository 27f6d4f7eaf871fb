//! Coordinate reference systems for GDAL's transformations.

use gdal::spatial_ref::{AxisMappingStrategy, SpatialRef};

use super::messages;
use crate::error::{Context, Result};

/// A CRS whose coordinates are x then y, as geotransforms have them.
///
/// # Errors
/// PROJ does not understand the text.
pub(super) fn crs(wkt: &str) -> Result<SpatialRef> {
    let mut crs = messages::attempt(|| SpatialRef::from_wkt(wkt)).input(|| "its CRS is not understood".into())?;
    crs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    Ok(crs)
}
