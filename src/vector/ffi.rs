//! The functions of GDAL that its Rust crate does not wrap.

#![expect(unsafe_code, reason = "functions of GDAL that its crate does not wrap")]

use std::ffi::{CStr, CString};

use gdal::Dataset;
use gdal::raster::RasterBand;
use gdal::spatial_ref::SpatialRef;
use gdal::vector::{Geometry, Layer, LayerAccess};

use super::feature::{Feature, Value};

/// Adds a field whose alias other programs show instead of its name.
///
/// # Errors
/// GDAL cannot add it.
pub fn add_field_with_alias(
    layer: &Layer<'_>,
    name: &str,
    kind: gdal_sys::OGRFieldType::Type,
    alias: &str,
) -> gdal::errors::Result<()> {
    let (name, alias) = (CString::new(name)?, CString::new(alias)?);
    // SAFETY: the texts live until the end of the function and GDAL copies them; the definition is destroyed once, after the layer has
    // copied it.
    let done = unsafe {
        let definition = gdal_sys::OGR_Fld_Create(name.as_ptr(), kind);
        gdal_sys::OGR_Fld_SetAlternativeName(definition, alias.as_ptr());
        let done = gdal_sys::OGR_L_CreateField(layer.c_layer(), definition, 1);
        gdal_sys::OGR_Fld_Destroy(definition);
        done
    };
    if done == gdal_sys::OGRErr::OGRERR_NONE { Ok(()) } else { Err(gdal::errors::GdalError::BadArgument(last_error())) }
}

/// Frees the blocks that GDAL caches of a dataset.
pub fn drop_cache(dataset: &Dataset) {
    // SAFETY: the handle is valid while `dataset` is borrowed; flushing a read-only dataset writes nothing.
    unsafe {
        gdal_sys::GDALFlushCache(dataset.c_dataset());
    }
}

/// Runs a read and also returns errors that GDAL reports without a failing result, such as an unreadable part of the block
/// index, whose blocks would read as empty.
pub fn read_whole<T>(read: impl FnOnce() -> gdal::errors::Result<T>) -> gdal::errors::Result<T> {
    // SAFETY: the function has no arguments and resets the error state of this thread.
    unsafe { gdal_sys::CPLErrorReset() };
    let value = read()?;
    // SAFETY: the function has no arguments and returns the error class of this thread.
    if unsafe { gdal_sys::CPLGetLastErrorType() } == gdal_sys::CPLErr::CE_Failure {
        return Err(gdal::errors::GdalError::BadArgument(last_error()));
    }
    Ok(value)
}

/// Replaces regions of fewer than `pixels` pixels by the label of their largest neighbour; reads `from`, writes `to`.
pub fn sieve(from: &RasterBand<'_>, to: &RasterBand<'_>, pixels: i32, eight: bool) -> Result<(), String> {
    // SAFETY: both bands are valid while borrowed; no options and no progress function are given, which GDAL allows.
    let done = unsafe {
        gdal_sys::GDALSieveFilter(
            from.c_rasterband(),
            gdal_sys::GDALGetMaskBand(from.c_rasterband()),
            to.c_rasterband(),
            pixels,
            if eight { 8 } else { 4 },
            std::ptr::null_mut(),
            None,
            std::ptr::null_mut(),
        )
    };
    if done == gdal_sys::CPLErr::CE_None { Ok(()) } else { Err(last_error()) }
}

/// A CRS as PROJJSON.
pub fn projjson(srs: &SpatialRef) -> Result<String, String> {
    // SAFETY: the handle is valid while `srs` is borrowed; GDAL fills the pointer with a text of its own making, which is
    // copied and then given back to it.
    unsafe {
        let mut text = std::ptr::null_mut();
        let done = gdal_sys::OSRExportToPROJJSON(srs.to_c_hsrs(), &mut text, std::ptr::null());
        if text.is_null() {
            return Err(last_error());
        }
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        gdal_sys::VSIFree(text.cast());
        if done == gdal_sys::OGRErr::OGRERR_NONE { Ok(copy) } else { Err(last_error()) }
    }
}

/// The polygons enclosed by noded lines, as well-known binary; dangling lines are ignored. `None` where GEOS fails.
pub fn faces(lines: &Geometry) -> Option<Vec<Vec<u8>>> {
    // SAFETY: the handle is valid while `lines` is borrowed; the collection that comes back is ours and destroyed here; each
    // buffer has the size that GDAL asks for.
    unsafe {
        let found = gdal_sys::OGR_G_Polygonize(lines.c_geometry());
        if found.is_null() {
            return None;
        }
        let mut faces = Vec::new();
        for index in 0..gdal_sys::OGR_G_GetGeometryCount(found) {
            let face = gdal_sys::OGR_G_GetGeometryRef(found, index);
            let mut wkb = vec![0u8; usize::try_from(gdal_sys::OGR_G_WkbSize(face)).unwrap_or(0)];
            let order = gdal_sys::OGRwkbByteOrder::wkbNDR;
            if gdal_sys::OGR_G_ExportToWkb(face, order, wkb.as_mut_ptr()) == gdal_sys::OGRErr::OGRERR_NONE {
                faces.push(wkb);
            }
        }
        gdal_sys::OGR_G_DestroyGeometry(found);
        Some(faces)
    }
}

/// Appends features to a layer and reports the ID and the bounding box (west, east, south, north) of each.
///
/// # Errors
/// The message of GDAL.
pub fn append(
    layer: &Layer<'_>,
    features: impl Iterator<Item = Feature>,
    mut report: impl FnMut(i64, [f64; 4]),
) -> Result<(), String> {
    // SAFETY: the layer and its definition live as long as `layer`; a feature is destroyed on every path; the feature
    // takes ownership of the geometry (GDAL destroys it also where it rejects it).
    unsafe {
        let definition = gdal_sys::OGR_L_GetLayerDefn(layer.c_layer());
        for feature in features {
            let mut geometry = std::ptr::null_mut();
            let size = i32::try_from(feature.wkb.len())
                .map_err(|_| format!("a geometry has {} bytes, the limit of GDAL is 2 GiB", feature.wkb.len()))?;
            let created =
                gdal_sys::OGR_G_CreateFromWkb(feature.wkb.as_ptr().cast(), std::ptr::null_mut(), &mut geometry, size);
            if created != gdal_sys::OGRErr::OGRERR_NONE {
                return Err(last_error());
            }
            drop(feature.wkb);
            let mut bounds = gdal_sys::OGREnvelope { MinX: 0.0, MaxX: 0.0, MinY: 0.0, MaxY: 0.0 };
            gdal_sys::OGR_G_GetEnvelope(geometry, &mut bounds);
            let handle = gdal_sys::OGR_F_Create(definition);
            gdal_sys::OGR_F_SetGeometryDirectly(handle, geometry);
            for (index, value) in (0..).zip(&feature.values) {
                match value {
                    Value::Integer(value) => gdal_sys::OGR_F_SetFieldInteger64(handle, index, *value),
                    Value::Real(value) => gdal_sys::OGR_F_SetFieldDouble(handle, index, *value),
                    Value::Text(value) => gdal_sys::OGR_F_SetFieldString(handle, index, value.as_ptr()),
                    Value::Missing => gdal_sys::OGR_F_SetFieldNull(handle, index),
                }
            }
            let created = gdal_sys::OGR_L_CreateFeature(layer.c_layer(), handle);
            let number = gdal_sys::OGR_F_GetFID(handle);
            gdal_sys::OGR_F_Destroy(handle);
            if created != gdal_sys::OGRErr::OGRERR_NONE {
                return Err(last_error());
            }
            report(number, [bounds.MinX, bounds.MaxX, bounds.MinY, bounds.MaxY]);
        }
    }
    Ok(())
}

fn last_error() -> String {
    // SAFETY: the text of the last error is valid until the next call on this thread; it is copied here.
    let text = unsafe { CStr::from_ptr(gdal_sys::CPLGetLastErrorMsg()).to_string_lossy().into_owned() };
    if text.is_empty() { "GDAL reported no reason".into() } else { text }
}
