//! All `unsafe` of the raster room: what GDAL's C interface offers and the bindings do not wrap.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_int};
use std::path::{Path, PathBuf};
use std::ptr;

use gdal::Dataset;
use gdal::cpl::CslStringList;
use gdal::errors::{GdalError, Result};
use gdal::raster::RasterBand;
use gdal::spatial_ref::SpatialRef;
use gdal_sys::{CPLErr, GDALRATFieldType, GDALRATFieldUsage, GDALRATTableType, OGRErr};

/// One row of a raster attribute table of classes.
pub(super) struct AttributeRow<'a> {
    pub value: i32,
    pub name: &'a str,
    pub pixels: u64,
    pub colour: [u8; 3],
}

/// Bytes of decoded blocks that GDAL keeps, over all datasets.
pub(super) fn limit_block_cache(bytes: usize) {
    // SAFETY: takes a number by value; GDAL guards the cache with its own lock.
    unsafe { gdal_sys::GDALSetCacheMax64(i64::try_from(bytes).unwrap_or(i64::MAX)) }
}

/// Bytes of decoded blocks that GDAL may keep.
pub(super) fn block_cache() -> usize {
    // SAFETY: gives a number by value; GDAL guards the cache with its own lock.
    usize::try_from(unsafe { gdal_sys::GDALGetCacheMax64() }).unwrap_or(0)
}

/// Makes GDAL forget what it learnt of a remote file: that it is not there, or parts of it.
pub(super) fn forget_remote(name: &Path) {
    if let Ok(name) = CString::new(name.to_string_lossy().as_bytes()) {
        // SAFETY: the name is a C string that lives over the call; GDAL guards its caches with their own lock.
        unsafe { gdal_sys::VSICurlPartialClearCache(name.as_ptr()) }
    }
}

/// The bytes of a file by GDAL's name; at most `most` of them, else an error.
pub(super) fn read_file(name: &Path, most: usize) -> Result<Vec<u8>> {
    let c_name = CString::new(name.to_string_lossy().as_bytes())?;
    let mut bytes = ptr::null_mut();
    let mut count = 0;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    // SAFETY: the name lives over the call. On success GDAL sets `bytes` to memory of its own with `count` bytes (and a
    // zero behind them), which is copied and then freed with GDAL's own call; on failure it leaves or sets null.
    unsafe {
        let read = gdal_sys::VSIIngestFile(ptr::null_mut(), c_name.as_ptr(), &mut bytes, &mut count, most);
        if read == 0 || bytes.is_null() {
            return Err(GdalError::BadArgument(format!("{} is not there or too large", name.display())));
        }
        let copy = std::slice::from_raw_parts(bytes, usize::try_from(count).unwrap_or(0)).to_vec();
        gdal_sys::VSIFree(bytes.cast());
        Ok(copy)
    }
}

/// The names of the files that a dataset is made of, as far as its driver knows.
pub(super) fn files(dataset: &Dataset) -> Vec<PathBuf> {
    // SAFETY: the handle is that of an open dataset, alive while `dataset` is borrowed. The list, null where there is none,
    // is ours and freed with GDAL's own call; its strings are copied before.
    unsafe {
        let list = gdal_sys::GDALGetFileList(dataset.c_dataset());
        let count = if list.is_null() { 0 } else { gdal_sys::CSLCount(list) };
        let name = |index: c_int| CStr::from_ptr(*list.offset(index as isize)).to_string_lossy().into_owned();
        let names = (0..count).map(|index| PathBuf::from(name(index))).collect();
        gdal_sys::CSLDestroy(list);
        names
    }
}

/// Bytes of a file by GDAL's name, and the time of its last change in seconds since 1970 (0 where its storage does not tell).
pub(super) fn size_and_time(name: &Path) -> Option<(i64, String)> {
    let name = CString::new(name.to_string_lossy().as_bytes()).ok()?;
    let mut found = std::mem::MaybeUninit::<libc::stat64>::zeroed();
    // SAFETY: the name lives over the call, and the buffer is the C library's own `stat64`, which is GDAL's. It is plain numbers, for which zeros
    // are values: it may be read whatever the call did.
    let (failed, found) = unsafe {
        let failed = gdal_sys::VSIStatL(name.as_ptr(), found.as_mut_ptr().cast());
        (failed, found.assume_init())
    };
    let time = format!("{}.{:09}", found.st_mtime, found.st_mtime_nsec);
    (failed == 0).then_some((found.st_size, time))
}

/// Number of ground control points.
pub(super) fn control_points(dataset: &Dataset) -> usize {
    // SAFETY: the handle is that of an open dataset, alive while `dataset` is borrowed; the call only reads.
    let count = unsafe { gdal_sys::GDALGetGCPCount(dataset.c_dataset()) };
    usize::try_from(count).unwrap_or(0)
}

/// GDAL's name of a band's pixel type; the bindings do not know the complex ones.
pub(super) fn pixel_type(band: &RasterBand<'_>) -> String {
    // SAFETY: the band handle is valid while `band` is borrowed; the name is a static C string or null.
    unsafe {
        let name = gdal_sys::GDALGetDataTypeName(gdal_sys::GDALGetRasterDataType(band.c_rasterband()));
        if name.is_null() { String::from("Unknown") } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
    }
}

/// The CRS as WKT 2 (2019). WKT 1, which the bindings give, has no words for some CRSs and loses detail of others.
pub(super) fn wkt2(crs: &SpatialRef) -> Option<String> {
    let options = [c"FORMAT=WKT2_2019".as_ptr(), ptr::null()];
    let mut text = ptr::null_mut();
    // SAFETY: the handle lives as long as `crs`; `options` ends with a null pointer and outlives the call, as `text`
    // does, which GDAL sets to a C string of its own or leaves null.
    unsafe {
        let status = gdal_sys::OSRExportToWktEx(crs.to_c_hsrs(), &mut text, options.as_ptr());
        if text.is_null() {
            return None;
        }
        let wkt = CStr::from_ptr(text).to_string_lossy().into_owned();
        gdal_sys::VSIFree(text.cast());
        (status == OGRErr::OGRERR_NONE && !wkt.is_empty()).then_some(wkt)
    }
}

/// Names the values 0, 1, 2, … of a band.
pub(super) fn set_category_names(band: &mut RasterBand<'_>, names: &CslStringList) -> Result<()> {
    // SAFETY: the band handle is valid while `band` is borrowed; the list is null-terminated, lives over the call, and
    // GDAL copies it.
    check(unsafe { gdal_sys::GDALSetRasterCategoryNames(band.c_rasterband(), names.as_ptr()) }, "category names")
}

/// Gives a band an attribute table with one row a class: value, class name, pixel count, red, green, blue.
pub(super) fn set_attribute_table(band: &mut RasterBand<'_>, rows: &[AttributeRow<'_>]) -> Result<()> {
    const COLUMNS: [(&CStr, GDALRATFieldType::Type, GDALRATFieldUsage::Type); 6] = [
        (c"Value", GDALRATFieldType::GFT_Integer, GDALRATFieldUsage::GFU_MinMax),
        (c"Class", GDALRATFieldType::GFT_String, GDALRATFieldUsage::GFU_Name),
        (c"Count", GDALRATFieldType::GFT_Real, GDALRATFieldUsage::GFU_PixelCount),
        (c"Red", GDALRATFieldType::GFT_Integer, GDALRATFieldUsage::GFU_Red),
        (c"Green", GDALRATFieldType::GFT_Integer, GDALRATFieldUsage::GFU_Green),
        (c"Blue", GDALRATFieldType::GFT_Integer, GDALRATFieldUsage::GFU_Blue),
    ];
    let table = AttributeTable::new();
    for (name, kind, usage) in COLUMNS {
        // SAFETY: the table is alive; the name is a static C string that GDAL copies.
        check(unsafe { gdal_sys::GDALRATCreateColumn(table.0, name.as_ptr(), kind, usage) }, "attribute table column")?;
    }
    // SAFETY: the table is alive and owned by us alone.
    check(unsafe { gdal_sys::GDALRATSetTableType(table.0, GDALRATTableType::GRTT_THEMATIC) }, "attribute table type")?;
    for (index, row) in rows.iter().enumerate() {
        let index = c_int::try_from(index)?;
        let name = CString::new(row.name)?;
        let [red, green, blue] = row.colour.map(c_int::from);
        // SAFETY: the six columns 0 to 5 were made above with these types; GDAL adds row `index` by itself, since it
        // follows the last one; the name lives over the call and is copied.
        unsafe {
            gdal_sys::GDALRATSetValueAsInt(table.0, index, 0, row.value);
            gdal_sys::GDALRATSetValueAsString(table.0, index, 1, name.as_ptr());
            gdal_sys::GDALRATSetValueAsDouble(table.0, index, 2, row.pixels as f64);
            gdal_sys::GDALRATSetValueAsInt(table.0, index, 3, red);
            gdal_sys::GDALRATSetValueAsInt(table.0, index, 4, green);
            gdal_sys::GDALRATSetValueAsInt(table.0, index, 5, blue);
        }
    }
    // SAFETY: both handles are alive; the band keeps a copy, the table stays ours.
    check(unsafe { gdal_sys::GDALSetDefaultRAT(band.c_rasterband(), table.0) }, "attribute table")
}

/// An attribute table that is freed however its making ends.
struct AttributeTable(gdal_sys::GDALRasterAttributeTableH);

impl AttributeTable {
    fn new() -> Self {
        // SAFETY: takes nothing and returns a table that is ours to free.
        Self(unsafe { gdal_sys::GDALCreateRasterAttributeTable() })
    }
}

impl Drop for AttributeTable {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed only here.
        unsafe { gdal_sys::GDALDestroyRasterAttributeTable(self.0) }
    }
}

fn check(status: CPLErr::Type, what: &str) -> Result<()> {
    if status == CPLErr::CE_None { Ok(()) } else { Err(GdalError::BadArgument(format!("GDAL refused the {what}"))) }
}

/// The names of the values 0, 1, 2, … of a band. Of a GeoTIFF they are there only after something else was asked of it that
/// brings its sidecar in.
pub(super) fn category_names(band: &RasterBand<'_>) -> Vec<String> {
    // SAFETY: the band handle is valid while `band` is borrowed; the list stays the band's and is copied at once.
    unsafe {
        let mut next = gdal_sys::GDALGetRasterCategoryNames(band.c_rasterband());
        let mut names = Vec::new();
        while !next.is_null() && !(*next).is_null() {
            names.push(CStr::from_ptr(*next).to_string_lossy().into_owned());
            next = next.add(1);
        }
        names
    }
}

/// Value, class and pixel count of a band's attribute table.
pub(super) fn attribute_table(band: &RasterBand<'_>) -> Vec<(i32, String, u64)> {
    // SAFETY: the table belongs to the band, which is borrowed; its columns are those of `set_attribute_table`; strings
    // are copied before the next call.
    unsafe {
        let table = gdal_sys::GDALGetDefaultRAT(band.c_rasterband());
        let rows = if table.is_null() { 0 } else { gdal_sys::GDALRATGetRowCount(table) };
        let row = |row| {
            let name = CStr::from_ptr(gdal_sys::GDALRATGetValueAsString(table, row, 1)).to_string_lossy().into_owned();
            let count = gdal_sys::GDALRATGetValueAsDouble(table, row, 2) as u64;
            (gdal_sys::GDALRATGetValueAsInt(table, row, 0), name, count)
        };
        (0..rows).map(row).collect()
    }
}
