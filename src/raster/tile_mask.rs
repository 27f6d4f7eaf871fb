//! Masks of a mosaic's tiles by the rule of `scene/mask.rs`, as virtual rasters: where a tile has no data, the one
//! below it shows.
//!
//! A mask is combined from bands that are 255 for data and 0 for none. Combined by *or*, each band overwrites the
//! others where it is not 0; by *and*, where it is not 255.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::vrt;
use crate::error::{Error, Result};
use crate::scene::qml::escaped;
use crate::scene::{
    BandInfo, ColourRole, MaskRequest, MaskRule, MaskSource, NodataValue, SceneInfo, Spectrum, range, sensor,
};

/// 255, whatever the value.
const FULL: &str = "<ScaleOffset>255</ScaleOffset><ScaleRatio>0</ScaleRatio>";

/// 255 for all finite numbers. Values beyond a table's ends take the value at that end, and NaN takes the first.
const FINITE: &str = "<LUT>-1e300:0,-9e299:255,9e299:255,1e300:0</LUT>";

/// A band of 255 for data and 0 for none, derived from a band of a raster.
struct Part {
    raster: PathBuf,
    /// A band's number, or `mask,N`.
    band: String,
    /// The conversion of its values to 0 and 255: XML of a source.
    turn: String,
}

/// Whether GDAL's own handling of tiles gives the result of the rule: all have their own masks, or only alpha bands, or
/// nothing marks missing data and no pixel can be NaN. GDAL would apply nodata values band by band, and mix bands of
/// two tiles in one pixel; that does not matter where tiles are `apart`, without overlap.
pub(super) fn is_plain(tiles: &[SceneInfo], apart: bool) -> bool {
    let default = tiles.iter().all(|tile| tile.access.mask == MaskRequest::default());
    let picture = tiles.iter().any(|tile| tile.access.picture_alpha.is_some());
    let (tagged, mask) = (tiles.iter().any(tagged), |tile: &SceneInfo| tile.access.mask_band);
    let alpha = |tile: &SceneInfo| tile.alpha_band().is_some();
    let alpha_alone = tiles.iter().all(alpha) && !tiles.iter().any(mask);
    let floats = tiles.iter().flat_map(|tile| &tile.bands).any(is_float);
    if apart && is_tagged_alike(tiles) {
        return true;
    }
    default
        && !picture
        && (apart || !floats)
        && (tiles.iter().all(mask) || !tagged && (alpha_alone || !tiles.iter().any(alpha)))
}

/// Whether all bands of all tiles have nodata values, band by band the same, and nothing else marks missing data: a
/// mosaic of tiles without overlap can then be treated as one raster with these values.
pub(super) fn is_tagged_alike(tiles: &[SceneInfo]) -> bool {
    let values = |tile: &SceneInfo| tile.bands.iter().map(|band| band.nodata.map(f64::to_bits)).collect::<Vec<_>>();
    let plain = |tile: &SceneInfo| {
        let access = &tile.access;
        access.mask == MaskRequest::default()
            && !access.mask_band
            && !access.nodata_values
            && tile.alpha_band().is_none()
            && access.picture_alpha.is_none()
            && tile.bands.iter().all(|band| band.nodata.is_some())
    };
    tiles.iter().all(plain) && tiles.first().map(values).is_some_and(|first| tiles.iter().all(|it| values(it) == first))
}

fn is_float(band: &BandInfo) -> bool {
    band.pixel_type.starts_with("Float")
}

fn tagged(tile: &SceneInfo) -> bool {
    tile.bands.iter().any(|band| band.nodata.is_some()) || tile.access.nodata_values
}

/// The tiles with their masks by the rule.
///
/// # Errors
/// A job that selects a mark that no tile has.
pub(super) fn masked(tiles: &[SceneInfo]) -> Result<Vec<SceneInfo>> {
    if let Some(first) = tiles.first() {
        refuse(first, tiles)?;
    }
    tiles.iter().map(with_mask).collect()
}

fn refuse(first: &SceneInfo, tiles: &[SceneInfo]) -> Result<()> {
    let (name, request) = (first.path.display(), first.access.mask);
    match request.source {
        MaskSource::Alpha if first.alpha_band().is_none() => Err(Error::input(format!("{name} has no alpha band"))
            .with_hint("Name the mask band with `mask: band:N`, or remove the key.")),
        MaskSource::Band(number) if number > first.bands.len() => {
            let count = first.bands.len();
            Err(Error::input(format!("{name} has no band {number}: bands are numbered from 1 to {count}")))
        }
        MaskSource::Nodata if request.nodata.is_none() && !tiles.iter().any(tagged) => {
            Err(Error::input(format!("neither {name} nor the other tiles have a nodata value"))
                .with_hint("Set it, as in `nodata: 0`, or leave `mask` out."))
        }
        _ => Ok(()),
    }
}

fn with_mask(tile: &SceneInfo) -> Result<SceneInfo> {
    let bands = seen(tile);
    let mut parts = match tile.mask_rule(bands) {
        MaskRule::Unmarked => vec![part(tile, "1", FULL)],
        MaskRule::Mask => vec![part(tile, "mask,1", "")],
        MaskRule::Alpha(number) | MaskRule::Band(number) => {
            let least = tile.bands.get(number - 1).map_or(1.0, |band| above(0.0, &band.pixel_type));
            vec![part(tile, &number.to_string(), &format!("<LUT>0:0,{least:?}:255</LUT>"))]
        }
        MaskRule::Nodata if tile.access.nodata_values => vec![part(tile, "mask,1", "")],
        MaskRule::Nodata if tile.access.mask.nodata.is_some() => Vec::new(),
        MaskRule::Nodata => nodata(tile, bands, tile.tags(bands))?,
    };
    if let Some(given) = tile.access.mask.nodata {
        let joined = nodata(tile, bands, [Some(given.value); 3])?;
        parts.extend(joined);
    }
    let float = |number: &&usize| tile.bands.get(**number - 1).is_some_and(is_float);
    let numbers: Vec<Part> = bands.iter().filter(float).map(|number| part(tile, &number.to_string(), FINITE)).collect();
    if !numbers.is_empty() {
        parts.push(joined(tile, &numbers, Join::And)?);
    }
    if parts.is_empty() {
        parts.push(part(tile, "1", FULL));
    }
    let mut text = header(tile);
    for (number, band) in (1..).zip(&tile.bands) {
        let _ = write!(text, "<VRTRasterBand dataType=\"{}\" band=\"{number}\">", band.pixel_type);
        source(&mut text, "SimpleSource", tile.dataset(), &number.to_string(), "");
        text += "</VRTRasterBand>";
    }
    text += "<MaskBand><VRTRasterBand dataType=\"Byte\">";
    let mask = in_blocks(tile, &parts)?;
    source(&mut text, "SimpleSource", &mask.raster, &mask.band, &mask.turn);
    text += "</VRTRasterBand></MaskBand></VRTDataset>";
    let mut masked = tile.clone();
    // The files behind it are the tile's.
    masked.access.files = tile.files().to_vec();
    masked.access.dataset = Some(vrt::store(text)?);
    Ok(masked)
}

/// The bands that decide validity: red, green and blue, or the first three that are not alpha.
fn seen(tile: &SceneInfo) -> [usize; 3] {
    let sensor = sensor(&tile.bands);
    let shows = |band: &BandInfo, part| band.claims(sensor).first().is_some_and(|(_, shown)| *shown == part);
    let of = |part| tile.bands.iter().position(|band| shows(band, part)).map(|index| index + 1);
    if let (Some(red), Some(green), Some(blue)) = (of(Spectrum::Red), of(Spectrum::Green), of(Spectrum::Blue)) {
        return [red, green, blue];
    }
    let plain = (1..).zip(&tile.bands).filter(|(_, band)| band.role != ColourRole::Alpha).map(|(number, _)| number);
    let first: Vec<usize> = plain.take(3).collect();
    let at = |index: usize| first.get(index).or(first.last()).copied().unwrap_or(1);
    [at(0), at(1), at(2)]
}

/// The nodata values of three bands as one part; empty where they mark nothing.
fn nodata(tile: &SceneInfo, bands: [usize; 3], values: [Option<f64>; 3]) -> Result<Vec<Part>> {
    let tolerance = tile.access.mask.nodata.map_or(0.0, |given| given.tolerance);
    let mut parts: Vec<(bool, Part)> = Vec::new();
    for (number, value) in bands.into_iter().zip(values) {
        let (Some(value), Some(band)) = (value, tile.bands.get(number - 1)) else { continue };
        let nodata = NodataValue { value, tolerance };
        let turn = format!("<LUT>{}</LUT>", table(nodata, &band.pixel_type));
        let by_job = tile.access.mask.nodata.is_some();
        parts.push((nodata.could_be_data(&band.pixel_type, by_job), part(tile, &number.to_string(), &turn)));
    }
    if parts.len() == 3 && parts.iter().all(|(ambiguous, _)| *ambiguous) {
        // A pixel is nodata only if all three bands have their nodata values.
        let parts: Vec<Part> = parts.into_iter().map(|(_, part)| part).collect();
        return Ok(vec![joined(tile, &parts, Join::Or)?]);
    }
    let strong: Vec<Part> = parts.into_iter().filter(|(ambiguous, _)| !ambiguous).map(|(_, part)| part).collect();
    if strong.is_empty() { Ok(Vec::new()) } else { Ok(vec![joined(tile, &strong, Join::And)?]) }
}

/// A table with 0 for the nodata value within its tolerance, 255 for all others. The type has no values between these
/// entries.
fn table(nodata: NodataValue, pixel_type: &str) -> String {
    let NodataValue { value, tolerance } = nodata;
    let (low, high) = match range(pixel_type) {
        Some(_) => ((value - tolerance).ceil(), (value + tolerance).floor()),
        None => (f64::from((value - tolerance) as f32), f64::from((value + tolerance) as f32)),
    };
    if low > high {
        return "0:255".to_owned();
    }
    let entries = [(below(low, pixel_type), 255), (low, 0), (high, 0), (above(high, pixel_type), 255)];
    let mut entries: Vec<(f64, u8)> = entries.into_iter().filter(|(value, _)| value.is_finite()).collect();
    entries.dedup();
    entries.iter().map(|(value, mask)| format!("{value:?}:{mask}")).collect::<Vec<_>>().join(",")
}

fn above(value: f64, pixel_type: &str) -> f64 {
    if range(pixel_type).is_some() { value + 1.0 } else { f64::from((value as f32).next_up()) }
}

fn below(value: f64, pixel_type: &str) -> f64 {
    if range(pixel_type).is_some() { value - 1.0 } else { f64::from((value as f32).next_down()) }
}

fn part(tile: &SceneInfo, band: &str, turn: &str) -> Part {
    Part { raster: tile.dataset().to_owned(), band: band.to_owned(), turn: turn.to_owned() }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Join {
    And,
    Or,
}

/// Several parts as the only band of a virtual raster.
fn joined(tile: &SceneInfo, parts: &[Part], how: Join) -> Result<Part> {
    // GDAL compares a value with NODATA before it converts it: each part is converted in a band of its own first.
    let mut turned = header(tile);
    for (number, part) in (1..).zip(parts) {
        let _ = write!(turned, "<VRTRasterBand dataType=\"Byte\" band=\"{number}\">");
        source(&mut turned, "ComplexSource", &part.raster, &part.band, &part.turn);
        turned += "</VRTRasterBand>";
    }
    turned += "</VRTDataset>";
    let raster = vrt::store(turned)?;
    let parts: Vec<Part> = (1..=parts.len())
        .map(|number| Part { raster: raster.clone(), band: number.to_string(), turn: String::new() })
        .collect();
    let mut text = header(tile);
    join(&mut text, " band=\"1\"", &parts, how);
    text += "</VRTDataset>";
    Ok(Part { raster: vrt::store(text)?, band: "1".to_owned(), turn: String::new() })
}

/// All parts together as a mask that GDAL computes once for each block and caches: every band of a mosaic and each
/// window need it. GDAL caches masks by a dataset's nodata values, but not other bands of virtual rasters.
fn in_blocks(tile: &SceneInfo, parts: &[Part]) -> Result<Part> {
    let mut text = header(tile) + "<Metadata><MDI key=\"NODATA_VALUES\">0</MDI></Metadata>";
    join(&mut text, " band=\"1\"", parts, Join::And);
    text += "</VRTDataset>";
    Ok(Part { raster: vrt::store(text)?, band: "mask,1".to_owned(), turn: String::new() })
}

/// A band of combined parts. Those after the first are already 0 and 255.
fn join(text: &mut String, number: &str, parts: &[Part], how: Join) {
    let passed_over = if how == Join::Or { "<NODATA>0</NODATA>" } else { "<NODATA>255</NODATA>" };
    let _ = write!(text, "<VRTRasterBand dataType=\"Byte\"{number}>");
    for (index, part) in parts.iter().enumerate() {
        let more = if index == 0 { part.turn.as_str() } else { passed_over };
        source(text, "ComplexSource", &part.raster, &part.band, more);
    }
    *text += "</VRTRasterBand>";
}

fn header(tile: &SceneInfo) -> String {
    format!("<VRTDataset rasterXSize=\"{}\" rasterYSize=\"{}\">", tile.size.width, tile.size.height)
}

fn source(text: &mut String, kind: &str, raster: &Path, band: &str, more: &str) {
    let name = escaped(&raster.to_string_lossy());
    let _ = write!(
        text,
        "<{kind}><SourceFilename relativeToVRT=\"0\">{name}</SourceFilename><SourceBand>{band}</SourceBand>{more}</{kind}>"
    );
}
