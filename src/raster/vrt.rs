//! Several rasters as one, without copying: GDAL's virtual format, written to memory.
//!
//! `GDALBuildVRT` cannot express what mosaics need: masks that follow the rules of a job ([`tile_mask`](super::tile_mask)),
//! nodata, scale and offset that differ from tile to tile, all bands of several files side by side (`-separate` takes the
//! first one before GDAL 3.8), south-up rasters, tiles on both sides of the antimeridian. It also opens every tile, of
//! which there may be thousands on a server. No version of GDAL so far would let this file go.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{messages, open};
use crate::error::{Context, Result};
use crate::geom::{GeoTransform, Size};
use crate::scene::qml::escaped;
use crate::scene::{BandInfo, ColourRole, Conversion, Georeference, Scaling, SceneInfo};

/// A raster and its position on the virtual one.
pub(super) struct VrtSource<'a> {
    pub info: &'a SceneInfo,
    pub block: Size,
    /// Left, top, width, height on the virtual raster, in its pixels.
    pub place: [f64; 4],
}

/// A band of the virtual raster: where its pixels come from, the topmost tile last.
pub(super) struct Band<'a> {
    pub info: &'a BandInfo,
    /// Tiles and the numbers of their bands, from 1.
    pub sources: Vec<(&'a VrtSource<'a>, usize)>,
    /// Conversions of each source's values, where some are converted: the band then is floating point.
    pub conversions: Option<Vec<Conversion>>,
}

/// How the virtual raster says which of its pixels hold data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// By the bands' nodata values, which are the tiles' own.
    Nodata,
    /// By an alpha band among the bands.
    Alpha,
    /// By a mask that combines those of the tiles.
    Mask,
}

/// Folder of virtual rasters, in GDAL's memory.
const FOLDER: &str = "/vsimem/segearth/";

/// Whether a name is that of a virtual raster of this module.
pub(super) fn is_own(name: &Path) -> bool {
    name.starts_with(FOLDER)
}

/// Writes the virtual raster and gives its name.
pub(super) fn write(
    size: Size,
    georeference: Option<&Georeference>,
    bands: &[Band<'_>],
    missing: Missing,
) -> Result<PathBuf> {
    store(xml(size, georeference, bands, missing))
}

/// Keeps the text of a virtual raster in memory and gives its name.
pub(super) fn store(text: String) -> Result<PathBuf> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let name = PathBuf::from(format!("{FOLDER}{}.vrt", NUMBER.fetch_add(1, Ordering::Relaxed)));
    messages::attempt(|| gdal::vsi::create_mem_file(&name, text.into_bytes()))
        .internal(|| "a virtual raster could not be kept in memory".into())?;
    Ok(name)
}

/// The size of the blocks of a raster's first band.
pub(super) fn block_of(path: &Path) -> Result<Size> {
    let dataset = open::open(path)?;
    let (width, height) = messages::attempt(|| Ok(dataset.rasterband(1)?.block_size()))
        .input(|| format!("cannot read the header of band 1 of {}", path.display()))?;
    Ok(Size::new(width, height))
}

fn xml(size: Size, georeference: Option<&Georeference>, bands: &[Band<'_>], missing: Missing) -> String {
    let mut text = format!("<VRTDataset rasterXSize=\"{}\" rasterYSize=\"{}\">", size.width, size.height);
    if let Some(Georeference { transform: GeoTransform { coefficients }, crs_wkt, pixel_is_point, .. }) = georeference {
        if let Some(wkt) = crs_wkt {
            let _ = write!(text, "<SRS>{}</SRS>", escaped(wkt));
        }
        let _ =
            write!(text, "<GeoTransform>{}</GeoTransform>", coefficients.map(|value| format!("{value:?}")).join(","));
        if *pixel_is_point {
            text += "<Metadata><MDI key=\"AREA_OR_POINT\">Point</MDI></Metadata>";
        }
    }
    for (number, band) in (1..).zip(bands) {
        let info = band.info;
        let pixel_type = if band.conversions.is_some() { "Float32" } else { info.pixel_type.as_str() };
        let _ = write!(text, "<VRTRasterBand dataType=\"{pixel_type}\" band=\"{number}\">");
        if let Some(name) = &info.name {
            let _ = write!(text, "<Description>{}</Description>", escaped(name));
        }
        if let (Missing::Nodata, Some(value)) = (missing, info.nodata) {
            let _ = write!(text, "<NoDataValue>{value:?}</NoDataValue>");
        }
        if let Some(Scaling { scale, offset }) = info.scaling {
            let _ = write!(text, "<Offset>{offset:?}</Offset><Scale>{scale:?}</Scale>");
        }
        let _ = write!(text, "<ColorInterp>{}</ColorInterp>", role(info.role));
        for (index, (tile, number)) in band.sources.iter().enumerate() {
            let own = match (missing, info.role) {
                (Missing::Nodata, _) => info.nodata.map(|value| format!("<NODATA>{value:?}</NODATA>")),
                (Missing::Alpha, ColourRole::Alpha) => Some("<NODATA>0</NODATA>".to_owned()),
                // Where an upper tile has no data, the lower one shows.
                _ => Some("<UseMaskBand>true</UseMaskBand>".to_owned()),
            };
            let conversion = band.conversions.as_ref().and_then(|conversions| conversions.get(index));
            let scaled = conversion.map(|Conversion { factor, shift, .. }| {
                format!("<ScaleOffset>{shift:?}</ScaleOffset><ScaleRatio>{factor:?}</ScaleRatio>")
            });
            let own = match (own, scaled) {
                (Some(own), Some(scaled)) => Some(own + &scaled),
                (own, scaled) => own.or(scaled),
            };
            source(&mut text, tile, &number.to_string(), own.as_deref());
        }
        text += "</VRTRasterBand>";
    }
    if let (Missing::Mask, Some(first)) = (missing, bands.first()) {
        let others = layers(bands);
        if others.len() < 2 {
            text += "<MaskBand><VRTRasterBand dataType=\"Byte\">";
            for (tile, number) in &first.sources {
                source(&mut text, tile, &format!("mask,{number}"), Some("<NODATA>0</NODATA>"));
            }
        } else {
            // 255 or 0 times 255 or 0, cut to a byte: valid is what all layers cover with data.
            text += "<MaskBand><VRTRasterBand dataType=\"Byte\" subClass=\"VRTDerivedRasterBand\">\
                     <PixelFunctionType>mul</PixelFunctionType><SourceTransferType>Float32</SourceTransferType>";
            for (tile, number) in others {
                source(&mut text, tile, &format!("mask,{number}"), None);
            }
        }
        text += "</VRTRasterBand></MaskBand>";
    }
    text + "</VRTDataset>"
}

/// Of bands side by side, the first of each raster that they come from; of a mosaic's, whose bands come from the same tiles, the first.
fn layers<'a>(bands: &'a [Band<'_>]) -> Vec<&'a (&'a VrtSource<'a>, usize)> {
    let mut layers: Vec<&(&VrtSource<'_>, usize)> = Vec::new();
    for band in bands.iter().filter_map(|band| band.sources.first()) {
        if !layers.iter().any(|layer| std::ptr::eq(layer.0, band.0)) {
            layers.push(band);
        }
    }
    layers
}

fn source(text: &mut String, tile: &VrtSource<'_>, band: &str, own: Option<&str>) {
    let VrtSource { info, block, place: [left, top, width, height] } = tile;
    let kind = if own.is_some() { "ComplexSource" } else { "SimpleSource" };
    let pixel_type = info.bands.first().map_or("Byte", |band| band.pixel_type.as_str());
    let _ = write!(
        text,
        "<{kind}><SourceFilename relativeToVRT=\"0\">{}</SourceFilename><SourceBand>{band}</SourceBand>\
         <SourceProperties RasterXSize=\"{}\" RasterYSize=\"{}\" DataType=\"{pixel_type}\" BlockXSize=\"{}\" \
         BlockYSize=\"{}\"/><SrcRect xOff=\"0\" yOff=\"0\" xSize=\"{}\" ySize=\"{}\"/><DstRect xOff=\"{left:?}\" \
         yOff=\"{top:?}\" xSize=\"{width:?}\" ySize=\"{height:?}\"/>{}</{kind}>",
        escaped(&info.dataset().to_string_lossy()),
        info.size.width,
        info.size.height,
        block.width,
        block.height,
        info.size.width,
        info.size.height,
        own.unwrap_or_default(),
    );
}

fn role(role: ColourRole) -> &'static str {
    match role {
        ColourRole::Undefined | ColourRole::Other => "Undefined",
        ColourRole::Grey => "Gray",
        ColourRole::Palette => "Palette",
        ColourRole::Red => "Red",
        ColourRole::Green => "Green",
        ColourRole::Blue => "Blue",
        ColourRole::Alpha => "Alpha",
    }
}
