//! All `unsafe` code of `raster`: functions of GDAL's C interface that the gdal crate (0.19) does not wrap.

#![expect(unsafe_code, reason = "calls to GDAL that its crate does not wrap")]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};
use std::path::{Path, PathBuf};
use std::ptr;
use std::time::{Duration, SystemTime};

use gdal::Dataset;
use gdal::cpl::CslStringList;
use gdal::errors::{GdalError, Result};
use gdal::raster::RasterBand;
use gdal::spatial_ref::SpatialRef;
use gdal::vector::Geometry;
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

/// The version of PROJ that GDAL uses.
pub(super) fn proj_version() -> String {
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    // SAFETY: the pointers are those of three numbers that live over the call.
    unsafe { gdal_sys::OSRGetPROJVersion(&raw mut major, &raw mut minor, &raw mut patch) };
    format!("{major}.{minor}.{patch}")
}

/// Drops what GDAL has cached of a remote file: its parts, or that it does not exist.
pub(super) fn clear_remote_cache(name: PathBuf) {
    if let Ok(name) = CString::new(name.to_string_lossy().as_bytes()) {
        // SAFETY: the name is a C string that lives over the call; GDAL guards its caches with their own lock.
        unsafe { gdal_sys::VSICurlPartialClearCache(name.as_ptr()) }
    }
}

/// The HTTP headers of a remote file; empty where its storage has none.
pub(super) fn headers(name: &Path) -> Result<Vec<(String, String)>> {
    let name = CString::new(name.to_string_lossy().as_bytes())?;
    // SAFETY: name and domain are C strings that live over the call. The list, null where there is none, is ours and freed
    // with GDAL's own call; its strings are copied before.
    unsafe {
        let list = gdal_sys::VSIGetFileMetadata(name.as_ptr(), c"HEADERS".as_ptr(), ptr::null_mut());
        let count = if list.is_null() { 0 } else { gdal_sys::CSLCount(list) };
        let line = |index: c_int| CStr::from_ptr(*list.offset(index as isize)).to_string_lossy().into_owned();
        let pair =
            |line: String| line.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        let pairs = (0..count).filter_map(|index| pair(line(index))).collect();
        gdal_sys::CSLDestroy(list);
        Ok(pairs)
    }
}

/// The time of an HTTP header, as in `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(text: &str) -> Option<SystemTime> {
    let text = CString::new(text).ok()?;
    let mut time = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both texts are C strings that live over the call, and `time` is plain numbers, for which zeros are values: it may
    // be read whatever the call did. The second call only reads it, and takes it for UTC.
    let seconds = unsafe {
        let end = libc::strptime(text.as_ptr(), c"%a, %d %b %Y %H:%M:%S GMT".as_ptr(), time.as_mut_ptr());
        if end.is_null() {
            return None;
        }
        libc::timegm(time.as_mut_ptr())
    };
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// The bytes of a file by GDAL's name, read from its start to its end; at most `most` of them, else an error.
pub(super) fn read_file(name: &Path, most: usize) -> Result<Vec<u8>> {
    let c_name = CString::new(name.to_string_lossy().as_bytes())?;
    let mut bytes = Vec::new();
    let mut chunk = vec![0u8; 1 << 16];
    // SAFETY: name and mode are C strings that live over the calls; the handle is closed once, on every way; GDAL writes at
    // most the chunk's length into it and gives how much it wrote.
    unsafe {
        let file = gdal_sys::VSIFOpenL(c_name.as_ptr(), c"rb".as_ptr());
        if file.is_null() {
            return Err(GdalError::BadArgument(format!("{} does not exist", name.display())));
        }
        loop {
            let count = gdal_sys::VSIFReadL(chunk.as_mut_ptr().cast(), 1, chunk.len(), file);
            bytes.extend(chunk.iter().take(count));
            if count == 0 || bytes.len() > most {
                break;
            }
        }
        gdal_sys::VSIFCloseL(file);
    }
    match bytes.len() > most {
        true => Err(GdalError::BadArgument(format!("{} has more than {most} bytes", name.display()))),
        false => Ok(bytes),
    }
}

/// The bytes of a file by GDAL's name, at most one more than `limit`; `None`: GDAL cannot open it.
pub(super) fn read_start(name: &Path, limit: usize) -> Result<Option<Vec<u8>>> {
    const PIECE: usize = 1 << 16;
    let c_name = CString::new(name.to_string_lossy().as_bytes())?;
    let most = limit.saturating_add(1);
    // SAFETY: name and mode are C strings that live over the calls; the handle is closed once, on every way; GDAL writes at
    // most as many bytes as it is told, for which the buffer has room, and gives how many it wrote.
    unsafe {
        let file = gdal_sys::VSIFOpenL(c_name.as_ptr(), c"rb".as_ptr());
        if file.is_null() {
            return Ok(None);
        }
        // A remote file is read by one request where its size is known.
        gdal_sys::VSIFSeekL(file, 0, libc::SEEK_END);
        let size = usize::try_from(gdal_sys::VSIFTellL(file)).unwrap_or(usize::MAX);
        gdal_sys::VSIFSeekL(file, 0, libc::SEEK_SET);
        let mut bytes = vec![0u8; size.saturating_add(1).clamp(PIECE, PIECE.max(most)).min(most)];
        let mut length = 0;
        loop {
            if length == bytes.len() {
                bytes.resize(length.saturating_add(PIECE).min(most), 0);
            }
            let rest = bytes.get_mut(length..).unwrap_or_default();
            let count =
                if rest.is_empty() { 0 } else { gdal_sys::VSIFReadL(rest.as_mut_ptr().cast(), 1, rest.len(), file) };
            if count == 0 {
                break;
            }
            length += count;
        }
        gdal_sys::VSIFCloseL(file);
        bytes.truncate(length);
        Ok(Some(bytes))
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

/// Bytes of a file by GDAL's name, and the time of its last change in seconds since 1970 (0 where its storage does not
/// give it).
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

/// The CRS as WKT 2 (2019). WKT 1, which the gdal crate gives, cannot express some CRSs and loses detail of others.
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

/// The geometry with its arcs as segments, at the angle of GDAL's default; without a CRS where there were any.
pub(super) fn linearised(geometry: &Geometry) -> Result<Geometry> {
    // SAFETY: the handle lives as long as `geometry` is borrowed; the call only reads.
    if unsafe { gdal_sys::OGR_G_HasCurveGeometry(geometry.c_geometry(), 0) } == 0 {
        return Ok(geometry.clone());
    }
    // SAFETY: as above. The linear geometry is ours and destroyed once, after it was written into a buffer of the size that
    // GDAL gives for it.
    let bytes = unsafe {
        let linear = gdal_sys::OGR_G_GetLinearGeometry(geometry.c_geometry(), 0.0, ptr::null_mut());
        if linear.is_null() {
            return Err(GdalError::BadArgument(format!("a {} has no linear form", geometry.geometry_name())));
        }
        let mut bytes = vec![0u8; usize::try_from(gdal_sys::OGR_G_WkbSize(linear)).unwrap_or(0)];
        let status = gdal_sys::OGR_G_ExportToIsoWkb(linear, gdal_sys::OGRwkbByteOrder::wkbNDR, bytes.as_mut_ptr());
        gdal_sys::OGR_G_DestroyGeometry(linear);
        if status != OGRErr::OGRERR_NONE {
            return Err(GdalError::OgrError { err: status, method_name: "OGR_G_ExportToIsoWkb" });
        }
        bytes
    };
    Geometry::from_wkb(&bytes)
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

/// An attribute table that is freed when it is dropped.
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

/// The names of the values 0, 1, 2, … of a band. A GeoTIFF has them only after another call has made GDAL load the
/// sidecar.
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

/// A row of an attribute table: the name and colour of a value.
pub(super) struct ValueRow {
    pub value: i64,
    /// Empty where the table names nothing.
    pub name: String,
    pub colour: Option<[u8; 3]>,
    #[cfg_attr(not(test), expect(dead_code, reason = "what is written is read back by a test"))]
    pub pixels: u64,
}

/// Most rows of an attribute table that are read: one for each 16-bit value, and a few more.
const MAX_ROWS: c_int = 1 << 17;

/// Columns that hold names in tables without usages, as those of databases are.
const NAME_COLUMNS: [&str; 9] =
    ["class_name", "class_names", "classname", "class", "name", "label", "category", "land_cover", "landcover"];

/// The rows of a band's attribute table that describe single values; empty where it has none.
pub(super) fn attribute_table(band: &RasterBand<'_>) -> Vec<ValueRow> {
    // SAFETY: the table belongs to the band, which is borrowed over all calls. Columns and rows that are asked for are below
    // the counts that GDAL gives; strings are copied before the next call.
    unsafe {
        let table = gdal_sys::GDALGetDefaultRAT(band.c_rasterband());
        if table.is_null() {
            return Vec::new();
        }
        let columns = 0..gdal_sys::GDALRATGetColumnCount(table);
        let usage = |wanted| columns.clone().find(|col| gdal_sys::GDALRATGetUsageOfCol(table, *col) == wanted);
        let column_name = |col| {
            let name = gdal_sys::GDALRATGetNameOfCol(table, col);
            if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().to_lowercase() }
        };
        let called = |name: &str| columns.clone().find(|col| column_name(*col) == name);
        let is_text = |col: &c_int| gdal_sys::GDALRATGetTypeOfCol(table, *col) == GDALRATFieldType::GFT_String;
        let value = usage(GDALRATFieldUsage::GFU_MinMax);
        let range = usage(GDALRATFieldUsage::GFU_Min).zip(usage(GDALRATFieldUsage::GFU_Max));
        let value = value.or_else(|| if range.is_none() { called("value") } else { None });
        let (mut first, mut step) = (0.0, 1.0);
        // Erdas tables give the size of their bins instead of values.
        let binned = gdal_sys::GDALRATGetLinearBinning(table, &mut first, &mut step) != 0;
        let (first, step) = if binned { (first, step) } else { (0.0, 1.0) };
        let mut texts = columns.clone().filter(is_text);
        let only_text = texts.next().filter(|_| texts.next().is_none());
        let name = usage(GDALRATFieldUsage::GFU_Name)
            .or_else(|| NAME_COLUMNS.iter().find_map(|name| called(name)))
            .or(only_text);
        let colour = [GDALRATFieldUsage::GFU_Red, GDALRATFieldUsage::GFU_Green, GDALRATFieldUsage::GFU_Blue].map(usage);
        let count = usage(GDALRATFieldUsage::GFU_PixelCount);
        let number = |row, col| gdal_sys::GDALRATGetValueAsDouble(table, row, col);
        let row = |row: c_int| {
            let value = match (value, range) {
                (Some(col), _) => number(row, col),
                (None, Some((low, high))) if number(row, low) == number(row, high) => number(row, low),
                (None, Some(_)) => return None,
                (None, None) => first + step * f64::from(row),
            };
            let whole = value.fract() == 0.0 && value.abs() < 9e15;
            let text =
                name.map(|col| gdal_sys::GDALRATGetValueAsString(table, row, col)).filter(|text| !text.is_null());
            let name = text.map(|text| CStr::from_ptr(text).to_string_lossy().into_owned()).unwrap_or_default();
            let part = |col: Option<c_int>| Some(gdal_sys::GDALRATGetValueAsInt(table, row, col?).clamp(0, 255) as u8);
            let [red, green, blue] = colour.map(part);
            let colour = red.zip(green).zip(blue).map(|((red, green), blue)| [red, green, blue]);
            let pixels = count.map_or(0, |col| number(row, col) as u64);
            whole.then_some(ValueRow { value: value as i64, name, colour, pixels })
        };
        (0..gdal_sys::GDALRATGetRowCount(table).min(MAX_ROWS)).filter_map(row).collect()
    }
}

/// The attributes of all elements of these names in an XML document, in its order; empty where it is none.
pub(super) fn xml_elements(text: Vec<u8>, names: &[&str]) -> Vec<HashMap<String, String>> {
    let Ok(text) = CString::new(text) else { return Vec::new() };
    let mut found = Vec::new();
    // SAFETY: the text lives over the call. The tree is ours and freed below with GDAL's own call; until then all pointers
    // in it are null or lead to its other nodes and to C strings.
    unsafe {
        let root = gdal_sys::CPLParseXMLString(text.as_ptr());
        let string = |text: *const std::ffi::c_char| CStr::from_ptr(text).to_string_lossy().into_owned();
        let mut open: Vec<*const gdal_sys::CPLXMLNode> = vec![root];
        while let Some(node) = open.pop().and_then(|node| node.as_ref()) {
            // Children come first: they were pushed last.
            open.extend(
                [node.psNext, node.psChild].map(|node| node.cast_const()).iter().filter(|node| !node.is_null()),
            );
            if node.eType != gdal_sys::CPLXMLNodeType::CXT_Element || !names.contains(&string(node.pszValue).as_str()) {
                continue;
            }
            let mut attributes = HashMap::new();
            let mut next = node.psChild.as_ref();
            while let Some(child) = next {
                if child.eType == gdal_sys::CPLXMLNodeType::CXT_Attribute
                    && let Some(value) = child.psChild.as_ref()
                {
                    attributes.insert(string(child.pszValue), string(value.pszValue));
                }
                next = child.psNext.as_ref();
            }
            found.push(attributes);
        }
        gdal_sys::CPLDestroyXMLNode(root);
    }
    found
}

/// Drops the decoded blocks that GDAL caches of a raster that is read once.
pub(super) fn drop_blocks(dataset: &Dataset) {
    // SAFETY: the handle is valid while `dataset` is borrowed; flushing a dataset that was opened to be read writes nothing.
    unsafe {
        gdal_sys::GDALFlushCache(dataset.c_dataset());
    }
}
