//! Many tiles as one scene, and the single-band assets of one acquisition as the bands of one scene.

#![expect(clippy::indexing_slicing, reason = "bands of the first tile, which all tiles have")]

use super::vrt::{self, Band, Missing, VrtSource};
use super::{messages, metadata, open, tile_mask};
use crate::error::{Error, Result};
use crate::geom::{GeoTransform, Size, WorldPoint};
use crate::scene::{BandInfo, ColourRole, Conversion, Georeference, SceneInfo, Spectrum, conversions, sensor};

/// Part of a pixel by which a tile may be off the grid and still be aligned.
const ON_GRID: f64 = 0.01;
/// Relative difference of pixel sizes that is due to rounding.
const SAME_SIZE: f64 = 1e-6;

/// Mosaics tiles into one scene. The first one is on top; pixels outside all tiles are nodata.
///
/// # Errors
/// Tiles that cannot be one scene: of differing CRS, number or type of bands, or rotated; both tiles are named.
pub(super) fn mosaic(tiles: &[SceneInfo]) -> Result<SceneInfo> {
    let Some((first, others)) = tiles.split_first() else {
        return Err(Error::internal("a mosaic of no tiles was requested"));
    };
    if others.is_empty() {
        return Ok(first.clone());
    }
    for other in others {
        check_pair(first, other)?;
    }
    let tiles = across_antimeridian(tiles);
    let grid = MosaicGrid::over(&tiles)?;
    let apart = grid.is_apart(&tiles)?;
    let converted: Vec<_> = (0..first.bands.len()).map(|band| conversions_to_first(&tiles, band)).collect();
    // A converted value may be the nodata value of another tile: masks know what each tile stores.
    let masked = converted.iter().any(Option::is_some) || !tile_mask::is_plain(&tiles, apart);
    let tiles = if masked { tile_mask::masked(&tiles)? } else { tiles };
    let places = grid.places(&tiles)?;
    let bands: Vec<Band<'_>> = (0..first.bands.len())
        .zip(converted)
        .map(|(index, converted)| Band {
            info: &first.bands[index],
            sources: places.iter().rev().map(|tile| (tile, index + 1)).collect(),
            conversions: converted.map(|found| found.into_iter().rev().collect()),
        })
        .collect();
    let missing = if masked { Missing::Mask } else { missing(&tiles) };
    let mut info = finish(&grid, &bands, missing, &tiles)?;
    info.access.masked = masked;
    if masked {
        // Nodata values are in the masks already; they are kept for reports.
        info.bands.iter_mut().zip(&first.bands).for_each(|(band, own)| band.nodata = own.nodata);
    }
    note_conversions(&mut info, &tiles);
    Ok(info)
}

/// Conversions of the tiles' values of a band to those that the first tile would store.
fn conversions_to_first(tiles: &[SceneInfo], band: usize) -> Option<Vec<Conversion>> {
    let bands: Vec<&BandInfo> = tiles.iter().filter_map(|tile| tile.bands.get(band)).collect();
    if bands.first()?.role == ColourRole::Alpha {
        return None;
    }
    conversions(&bands)
}

/// Notes which tiles' values are converted, and keeps it for the fingerprint.
fn note_conversions(info: &mut SceneInfo, tiles: &[SceneInfo]) {
    const SHOWN: usize = 3;
    let found: Vec<Vec<Conversion>> =
        (0..info.bands.len()).filter_map(|band| conversions_to_first(tiles, band)).collect();
    let (Some(first), false) = (tiles.first(), found.is_empty()) else { return };
    let mut converted = Vec::new();
    let mut assumed = false;
    for (index, tile) in tiles.iter().enumerate() {
        let own = found.iter().filter_map(|band| band.get(index));
        assumed |= own.clone().any(|to| to.assumed);
        let mut shown: Vec<String> = own.filter(|to| !to.is_identity()).map(ToString::to_string).collect();
        shown.dedup();
        if !shown.is_empty() {
            converted.push(format!("{} ({})", tile.path.display(), shown.join("; ")));
        }
    }
    let all = converted.join(", ");
    let mut some = converted.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if converted.len() > SHOWN {
        some += &format!(" and {} more", converted.len() - SHOWN);
    }
    let guess =
        if assumed { " Tiles without a scale are assumed to have the scale of the others and no offset." } else { "" };
    info.access.notes.push(format!(
        "the tiles differ in scale and offset: values are converted to those of {}, which changes {some}.{guess}",
        first.path.display()
    ));
    info.access.conversion = Some(all);
}

/// Stacks rasters, so that their bands become the bands of one scene. `names` name their bands.
///
/// # Errors
/// Rasters of differing CRS, or rotated ones.
pub(super) fn stack(layers: &[SceneInfo], names: &[String]) -> Result<SceneInfo> {
    let Some((first, others)) = layers.split_first() else {
        return Err(Error::internal("a scene of no rasters was requested"));
    };
    for other in others {
        check_georeference(first, other)?;
    }
    let mut layers: Vec<SceneInfo> = layers.iter().zip(names).map(|(layer, name)| named(layer, name)).collect();
    // A mask counts for all bands, and where one layer has one, the nodata values of the others become masks too.
    let masked = layers.iter().any(|layer| layer.access.mask_band);
    if masked {
        layers = tile_mask::masked(&layers)?;
    }
    let grid = MosaicGrid::over(&layers)?;
    let places = grid.places(&layers)?;
    let bands: Vec<Band<'_>> = places
        .iter()
        .flat_map(|tile| tile.info.bands.iter().enumerate().map(move |(index, info)| (tile, index, info)))
        .map(|(tile, index, info)| Band { info, sources: vec![(tile, index + 1)], conversions: None })
        .collect();
    let missing = match layers.iter().flat_map(|layer| &layer.bands).any(|band| band.nodata.is_some()) {
        true if !masked => Missing::Nodata,
        _ => Missing::Mask,
    };
    let mut info = finish(&grid, &bands, missing, &layers)?;
    info.access.masked = masked;
    Ok(info)
}

/// A layer whose bands have the name of the asset that they come from.
fn named(layer: &SceneInfo, name: &str) -> SceneInfo {
    let mut layer = layer.clone();
    let several = layer.bands.len() > 1;
    for (number, band) in (1..).zip(&mut layer.bands) {
        let known = band.name.is_some() || !band.spectral.names.is_empty();
        let own = band.name.take();
        band.name = match own.clone() {
            Some(own) if several => Some(own),
            _ if several && known => None,
            _ if several => Some(format!("{name} {number}")),
            _ => Some(name.to_owned()),
        };
        // A job may still select it by its file's description.
        band.spectral.names.extend(own.filter(|own| band.name.as_ref() != Some(own)));
        // Each file tags its only band as grey; in the stack their names decide.
        band.role = match name.to_lowercase().as_str() {
            _ if several => band.role,
            "red" => ColourRole::Red,
            "green" => ColourRole::Green,
            "blue" => ColourRole::Blue,
            _ => ColourRole::Undefined,
        };
    }
    layer
}

fn finish(grid: &MosaicGrid, bands: &[Band<'_>], missing: Missing, parts: &[SceneInfo]) -> Result<SceneInfo> {
    let name = vrt::write(grid.size, Some(&grid.georeference), bands, missing)?;
    let mut info = metadata::describe(&open::open(&name)?, &name)?;
    // The original georeference, not the one that went through the virtual format.
    info.georeference = Some(grid.georeference.clone());
    for (band, made) in info.bands.iter_mut().zip(bands) {
        band.spectral = made.info.spectral.clone();
        band.scaling = made.info.scaling;
    }
    info.access.dataset = Some(name);
    info.access.notes = notes_of(parts);
    info.access.files = parts.iter().flat_map(|part| part.files().to_vec()).collect();
    if let Some(first) = parts.first() {
        let first = first.path.display();
        info.path = match parts.len() {
            1 => first.to_string(),
            count => format!("{first} (and {} more)", count - 1),
        }
        .into();
    }
    Ok(info)
}

/// The first few notes of the parts.
fn notes_of(parts: &[SceneInfo]) -> Vec<String> {
    const SHOWN: usize = 4;
    let mut notes: Vec<String> = Vec::new();
    for note in parts.iter().flat_map(|part| &part.access.notes) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    if notes.len() > SHOWN {
        let more = notes.len() - SHOWN;
        notes.truncate(SHOWN);
        notes.push(format!("{more} more notes like these are left out."));
    }
    notes
}

fn check_pair(first: &SceneInfo, other: &SceneInfo) -> Result<()> {
    check_georeference(first, other)?;
    let refuse = |what: &str, of_first: String, of_other: String| {
        let (first, other) = (first.path.display(), other.path.display());
        Err(Error::input(format!(
            "{first} and {other} cannot be one mosaic: they have {of_first} and {of_other} {what}"
        ))
        .with_hint("Leave one of them out, or process them as separate scenes (`mosaic: false`)."))
    };
    if first.bands.len() != other.bands.len() {
        return refuse("bands", first.bands.len().to_string(), other.bands.len().to_string());
    }
    let shows = |scene: &SceneInfo, band: &BandInfo| {
        let claim = band.claims(sensor(&scene.bands)).first().map(|(_, part)| *part);
        claim.filter(|part| *part != Spectrum::Other)
    };
    for (number, (a, b)) in (1..).zip(first.bands.iter().zip(&other.bands)) {
        if let (Some(here), Some(there)) = (shows(first, a), shows(other, b))
            && here != there
        {
            return refuse(&format!("as band {number}"), here.name().to_owned(), there.name().to_owned());
        }
        if a.pixel_type != b.pixel_type {
            return refuse(&format!("pixels in band {number}"), a.pixel_type.clone(), b.pixel_type.clone());
        }
        let colour =
            |band: &BandInfo| !matches!(band.role, ColourRole::Undefined | ColourRole::Other | ColourRole::Grey);
        if a.role != b.role && colour(a) && colour(b) {
            return refuse(&format!("as band {number}"), format!("{:?}", a.role), format!("{:?}", b.role));
        }
    }
    Ok(())
}

/// Whether two rasters can lie on one grid at all.
fn check_georeference(first: &SceneInfo, other: &SceneInfo) -> Result<()> {
    let (here, there) = (unrotated(first)?, unrotated(other)?);
    let same = match (&here.crs_wkt, &there.crs_wkt) {
        (None, None) => true,
        (Some(a), Some(b)) => a == b || super::spatial_ref::crs(a)? == super::spatial_ref::crs(b)?,
        _ => false,
    };
    if !same {
        let name = |place: &Georeference| place.crs_name.clone().unwrap_or_else(|| "none".to_owned());
        return Err(Error::input(format!(
            "{} and {} cannot be one scene: their CRSs are {} and {}",
            first.path.display(),
            other.path.display(),
            name(here),
            name(there)
        ))
        .with_hint("Warp them to one CRS first (gdalwarp -t_srs), or process them as separate scenes."));
    }
    let [_, a, _, _, _, d] = here.transform.coefficients;
    let [_, b, _, _, _, e] = there.transform.coefficients;
    if a.signum() != b.signum() || d.signum() != e.signum() {
        return Err(Error::input(format!(
            "{} and {} cannot be one scene: one is north-up, the other south-up",
            first.path.display(),
            other.path.display()
        ))
        .with_hint("Warp the south-up one (gdalwarp writes north-up rasters)."));
    }
    Ok(())
}

/// A raster's georeference; an error where it has none, or is rotated.
fn unrotated(info: &SceneInfo) -> Result<&Georeference> {
    let Some(place) = &info.georeference else {
        return Err(Error::input(format!(
            "{} has no georeference: it cannot be unrotated in a mosaic",
            info.path.display()
        ))
        .with_hint(info.georeference_hint("Process it as a separate scene.")));
    };
    let [_, a, b, _, c, d] = place.transform.coefficients;
    if b != 0.0 || c != 0.0 || a == 0.0 || d == 0.0 || !(a * d).is_finite() {
        return Err(Error::input(format!("{} is rotated: it cannot be part of a mosaic", info.path.display()))
            .with_hint("Warp it to north-up first (gdalwarp does), or process it as a separate scene."));
    }
    Ok(place)
}

/// The tiles with longitudes from 0 to 360 instead of -180 to 180, where that makes the mosaic narrower.
fn across_antimeridian(tiles: &[SceneInfo]) -> Vec<SceneInfo> {
    let mut shifted = tiles.to_vec();
    for place in shifted.iter_mut().filter_map(|tile| tile.georeference.as_mut()) {
        if place.geographic && place.transform.coefficients[0] < 0.0 {
            place.transform.coefficients[0] += 360.0;
        }
    }
    let width = |tiles: &[SceneInfo]| MosaicGrid::over(tiles).map_or(usize::MAX, |grid| grid.size.width);
    if width(&shifted) < width(tiles) { shifted } else { tiles.to_vec() }
}

struct MosaicGrid {
    size: Size,
    georeference: Georeference,
}

impl MosaicGrid {
    /// The smallest grid over all rasters, with the smallest of their pixels.
    fn over(parts: &[SceneInfo]) -> Result<Self> {
        let mut finest = [f64::INFINITY; 2];
        let mut bounds = [f64::INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::NEG_INFINITY];
        let mut georeference = None;
        let mut point = true;
        for part in parts {
            let place = unrotated(part)?;
            let transform = &place.transform;
            let [a, d] = [transform.coefficients[1], transform.coefficients[5]];
            finest = [
                if a.abs() < finest[0].abs() { a } else { finest[0] },
                if d.abs() < finest[1].abs() { d } else { finest[1] },
            ];
            for (col, row) in [(0, 0), (part.size.width, part.size.height)] {
                let WorldPoint { x, y } = transform.to_world(col as f64, row as f64);
                bounds = [bounds[0].min(x), bounds[1].max(x), bounds[2].min(y), bounds[3].max(y)];
            }
            point &= place.pixel_is_point;
            georeference.get_or_insert_with(|| place.clone());
        }
        let (Some(mut georeference), [a, d], [left, right, low, high]) = (georeference, finest, bounds) else {
            return Err(Error::internal("a mosaic grid of no rasters was requested"));
        };
        let origin = [if a > 0.0 { left } else { right }, if d > 0.0 { low } else { high }];
        georeference.transform = GeoTransform { coefficients: [origin[0], a, 0.0, origin[1], 0.0, d] };
        georeference.pixel_is_point = point;
        let count = |length: f64, step: f64| (length / step.abs() - ON_GRID).ceil().max(1.0);
        let (width, height) = (count(right - left, a), count(high - low, d));
        if width > f64::from(i32::MAX) || height > f64::from(i32::MAX) {
            return Err(Error::input(format!(
                "the mosaic would be {width} × {height} pixels; at most {} are possible on a side",
                i32::MAX
            ))
            .with_hint(
                "Its tiles are too far apart for their pixel size: process them as separate scenes, or leave some out.",
            ));
        }
        Ok(Self { size: Size::new(width as usize, height as usize), georeference })
    }

    /// Whether no two rasters share a pixel of the grid.
    fn is_apart(&self, parts: &[SceneInfo]) -> Result<bool> {
        let mut places: Vec<[f64; 4]> = parts
            .iter()
            .map(|part| {
                let [left, top, width, height] = self.place(part)?;
                Ok([left + ON_GRID, top + ON_GRID, left + width - ON_GRID, top + height - ON_GRID])
            })
            .collect::<Result<_>>()?;
        places.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let meet = |index: usize, [_, top, right, bottom]: &[f64; 4]| {
            let next = places[index + 1..].iter().take_while(|other| other[0] < *right);
            next.into_iter().any(|other| other[1] < *bottom && *top < other[3])
        };
        Ok(!places.iter().enumerate().any(|(index, place)| meet(index, place)))
    }

    /// Left, top, width and height of a raster in pixels of the grid.
    fn place(&self, part: &SceneInfo) -> Result<[f64; 4]> {
        let [x, a, _, y, _, d] = self.georeference.transform.coefficients;
        let [left, width, _, top, _, height] = unrotated(part)?.transform.coefficients;
        let size = [part.size.width as f64 * width / a, part.size.height as f64 * height / d];
        Ok([(left - x) / a, (top - y) / d, size[0], size[1]])
    }

    fn places<'a>(&self, parts: &'a [SceneInfo]) -> Result<Vec<VrtSource<'a>>> {
        let [_, a, _, _, _, d] = self.georeference.transform.coefficients;
        let mut resampled = 0;
        let tiles = parts
            .iter()
            .map(|info| {
                let [_, width, _, _, _, height] = unrotated(info)?.transform.coefficients;
                let near = |value: f64| {
                    if (value - value.round()).abs() < ON_GRID { value.round() } else { value }
                };
                let place = self.place(info)?;
                let off_grid = place[..2].iter().any(|value| near(*value) != value.round());
                if off_grid || (width / a - 1.0).abs() > SAME_SIZE || (height / d - 1.0).abs() > SAME_SIZE {
                    resampled += 1;
                }
                Ok(VrtSource { info, block: vrt::block_of(info.dataset())?, place: place.map(near) })
            })
            .collect::<Result<Vec<_>>>()?;
        if resampled > 0 {
            messages::warn(&format!(
                "{resampled} of {} rasters are not aligned with the pixel grid: they are resampled by nearest neighbour.",
                parts.len()
            ));
        }
        Ok(tiles)
    }
}

/// How a mosaic of these tiles, which need no computed masks, marks missing data.
fn missing(tiles: &[SceneInfo]) -> Missing {
    let masked = tiles.iter().all(|tile| tile.access.mask_band);
    match tiles.iter().any(|tile| tile.alpha_band().is_some()) {
        _ if tile_mask::is_tagged_alike(tiles) => Missing::Nodata,
        true if !masked => Missing::Alpha,
        _ => Missing::Mask,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use gdal::Metadata as _;
    use gdal::raster::ColorInterpretation;

    use super::super::test_scenes::{as_it_is, georeference, make, plane};
    use super::super::{SceneReader, find, inspect, take_warnings};
    use super::*;
    use crate::scene::{MaskRequest, MaskSource, NodataValue, SceneRequest};

    /// A tile of three bands at column and row of a common grid; its pixels identify the tile and their position.
    fn tile(name: &str, at: [f64; 2], size: Size, number: u8, epsg: u32, dress: impl FnOnce(&mut gdal::Dataset)) {
        let planes = [0, 1, 2].map(|band| plane(size, move |col, row| number + band + ((col + 2 * row) % 7) as u8));
        make(name, size, &planes, &["PHOTOMETRIC=RGB"], |dataset| {
            dataset.set_geo_transform(&[500.0 + at[0] * 2.0, 2.0, 0.0, 900.0 - at[1] * 2.0, 0.0, -2.0]).unwrap();
            dataset.set_projection(&georeference([0.0; 6], epsg).crs_wkt.unwrap()).unwrap();
            dress(dataset);
        });
    }

    fn mosaic_of(names: &[&str]) -> Result<SceneInfo> {
        let request =
            SceneRequest { files: names.iter().map(Into::into).collect(), mosaic: true, ..SceneRequest::file("none") };
        find(&request).map(|scenes| scenes.into_iter().next().unwrap())
    }

    fn read(info: &SceneInfo) -> (Vec<f32>, Vec<bool>) {
        let reader = SceneReader::open(info, [1, 2, 3], &as_it_is()).unwrap();
        let tile = reader.read(info.size.window()).unwrap();
        let pixels = tile.window.size().pixels();
        (tile.rgb, tile.valid.unwrap_or(vec![true; pixels]))
    }

    #[test]
    fn quarters_make_the_whole_with_the_first_on_top() {
        let quarter = Size::new(10, 8);
        for (number, at) in [[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [10.0, 8.0]].into_iter().enumerate() {
            tile(&format!("/vsimem/q{number}.tif"), at, quarter, 50 * number as u8, 32632, |_| {});
        }
        let info = mosaic_of(&["/vsimem/q1.tif", "/vsimem/q0.tif", "/vsimem/q3.tif"]).unwrap();
        assert_eq!(info.size, Size::new(20, 16));
        assert_eq!(info.path.to_str(), Some("/vsimem/q1.tif (and 2 more)"));
        assert_eq!(info.files().len(), 3);
        assert_eq!(info.bands[2].role, ColourRole::Blue);
        let place = info.georeference.as_ref().unwrap();
        assert_eq!(place.transform.coefficients, [500.0, 2.0, 0.0, 900.0, 0.0, -2.0]);
        assert_eq!(place.crs_name.as_deref(), Some("EPSG:32632"));
        let (rgb, valid) = read(&info);
        let at = |col: usize, row: usize| row * 20 + col;
        assert_eq!(rgb[at(7, 3)], (7 + 6) as f32 % 7.0);
        assert_eq!(rgb[at(9, 3)], 50.0 + (1 + 6) as f32 % 7.0, "the first lies on top");
        assert!(valid[at(17, 7)] && !valid[at(18, 7)] && !valid[at(9, 8)] && valid[at(10, 8)], "gaps hold nothing");
    }

    #[test]
    fn nodata_of_an_upper_tile_shows_the_lower_one() {
        let size = Size::new(7, 7);
        let nodata = |dataset: &mut gdal::Dataset| {
            for band in 1..=3 {
                dataset.rasterband(band).unwrap().set_no_data_value(Some(203.0)).unwrap();
            }
        };
        // The upper one has no data where a pixel's values reach 203.
        tile("/vsimem/upper.tif", [0.0, 0.0], size, 200, 32632, nodata);
        tile("/vsimem/lower.tif", [0.0, 0.0], size, 10, 32632, nodata);
        let info = mosaic_of(&["/vsimem/upper.tif", "/vsimem/lower.tif"]).unwrap();
        let (rgb, valid) = read(&info);
        assert_eq!((rgb[0], rgb[3], rgb[4]), (200.0, 13.0, 204.0));
        assert!(valid.iter().all(|&valid| valid));

        // The same with alpha.
        for (name, number, alpha) in [("up", 100, 3), ("down", 20, 9)] {
            let mut planes = vec![vec![number; 49]; 3];
            planes.push(plane(size, |col, _| if col < alpha { 255u8 } else { 0 }));
            make(format!("/vsimem/{name}.tif"), size, &planes, &["PHOTOMETRIC=RGB", "ALPHA=YES"], |dataset| {
                dataset.set_geo_transform(&[0.0, 1.0, 0.0, 0.0, 0.0, -1.0]).unwrap();
                let mut band = dataset.rasterband(4).unwrap();
                band.set_color_interpretation(ColorInterpretation::AlphaBand).unwrap();
            });
        }
        let (rgb, valid) = read(&mosaic_of(&["/vsimem/up.tif", "/vsimem/down.tif"]).unwrap());
        assert_eq!((rgb[2], rgb[3]), (100.0, 20.0));
        assert!(valid.iter().all(|&valid| valid));
    }

    /// Two tiles of one extent, the upper one with these pixels (three bands of a row), the lower one of 90, 80, 70.
    fn upper_and_lower(
        upper: &[Vec<i16>],
        more: &[Vec<i16>],
        mask: MaskRequest,
        dress: impl Fn(&mut gdal::Dataset),
    ) -> (Vec<[f32; 3]>, String) {
        // Tests run beside each other, in one memory of files.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let width = upper[0].len();
        let lower = [90, 80, 70].map(|value| vec![value; width]);
        let lower_more: Vec<Vec<i16>> = more.iter().map(|_| vec![200; width]).collect();
        for (name, planes) in [("over", [upper, more].concat()), ("under", [lower.as_slice(), &lower_more].concat())] {
            make(
                format!("/vsimem/{name}_{number}.tif"),
                Size::new(width, 1),
                &planes,
                &["PHOTOMETRIC=RGB"],
                |dataset| {
                    dataset.set_geo_transform(&[0.0, 1.0, 0.0, 0.0, 0.0, -1.0]).unwrap();
                    dress(dataset);
                },
            );
        }
        let files = ["over", "under"].map(|name| format!("/vsimem/{name}_{number}.tif").into()).to_vec();
        let request = SceneRequest { files, mosaic: true, mask, ..SceneRequest::file("none") };
        let info = find(&request).unwrap().remove(0);
        let (rgb, valid) = read(&info);
        let pixel = |at: usize| [0, 1, 2].map(|channel| rgb[channel * width + at]);
        let valid = valid.into_iter().map(|valid| if valid { '1' } else { '0' }).collect();
        ((0..width).map(pixel).collect(), valid)
    }

    const LOWER: [f32; 3] = [90.0, 80.0, 70.0];

    #[test]
    fn invalid_pixels_show_the_tile_below() {
        let tag = |value: f64| {
            move |dataset: &mut gdal::Dataset| {
                for number in 1..=dataset.raster_count() {
                    dataset.rasterband(number).unwrap().set_no_data_value(Some(value)).unwrap();
                }
            }
        };
        let auto = MaskRequest::default();
        // A dark pixel of one band stays; its bands are not mixed with those below.
        let upper = [vec![0, 0, 9], vec![40, 0, 9], vec![50, 0, 0]];
        let (pixels, valid) = upper_and_lower(&upper, &[], auto, tag(0.0));
        assert_eq!(pixels, [[0.0, 40.0, 50.0], LOWER, [9.0, 9.0, 0.0]]);
        assert_eq!(valid, "111");
        // Where no pixel of data has the value, one band is enough.
        let upper = [vec![-9999, 1], vec![40, 2], vec![50, 3]];
        let (pixels, _) = upper_and_lower(&upper, &[], auto, tag(-9999.0));
        assert_eq!(pixels, [LOWER, [1.0, 2.0, 3.0]]);
        // A value of the job's with a tolerance, which the lower tile holds as well in one pixel.
        let nodata = Some(NodataValue { value: 3.0, tolerance: 3.0 });
        let upper = [vec![6, 7, 0], vec![0, 0, 6], vec![3, 0, 2]];
        let (pixels, valid) = upper_and_lower(&upper, &[], MaskRequest { nodata, ..auto }, |_| {});
        assert_eq!((pixels, valid.as_str()), (vec![LOWER, [7.0, 0.0, 0.0], LOWER], "111"));
        let nodata = Some(NodataValue { value: 80.0, tolerance: 10.0 });
        let (_, valid) =
            upper_and_lower(&[vec![6, 85], vec![0, 85], vec![3, 85]], &[], MaskRequest { nodata, ..auto }, |_| {});
        assert_eq!(valid, "10", "neither tile has data there");
        let none = MaskRequest { source: MaskSource::None, nodata: None };
        let (pixels, valid) = upper_and_lower(&[vec![0], vec![0], vec![0]], &[], none, tag(0.0));
        assert_eq!((pixels, valid.as_str()), (vec![[0.0; 3]], "1"));
    }

    #[test]
    fn adjacent_tiles_are_masked_as_one_raster() {
        let nodata = |dataset: &mut gdal::Dataset| {
            for band in 1..=3 {
                dataset.rasterband(band).unwrap().set_no_data_value(Some(0.0)).unwrap();
            }
        };
        // The first pixel of each holds 0 to 2: dark, and data. Of the left one column lies below the overlapping one.
        let size = Size::new(7, 7);
        tile("/vsimem/left.tif", [0.0, 0.0], size, 0, 32632, nodata);
        tile("/vsimem/right.tif", [7.0, 0.0], size, 0, 32632, nodata);
        tile("/vsimem/overlap.tif", [6.0, 0.0], size, 0, 32632, nodata);
        for (other, masked) in [("right", false), ("overlap", true)] {
            let info = mosaic_of(&["/vsimem/left.tif", &format!("/vsimem/{other}.tif")]).unwrap();
            assert_eq!((info.access.masked, info.bands[1].nodata), (masked, Some(0.0)), "{other}");
            let (rgb, valid) = read(&info);
            assert_eq!((rgb[0], rgb[info.size.pixels()], valid), (0.0, 1.0, vec![true; info.size.pixels()]), "{other}");
        }
        // Off by less than rounding is no overlap.
        tile("/vsimem/near.tif", [6.9999, 0.0], size, 0, 32632, nodata);
        assert!(!mosaic_of(&["/vsimem/left.tif", "/vsimem/near.tif"]).unwrap().access.masked);
    }

    #[test]
    fn nan_shows_the_tile_below() {
        let nan = f32::NAN;
        let upper = [vec![nan, 1.0, 2.0, 4.0], vec![1.0, nan, 3.0, 4.0], vec![1.0, 1.0, f32::INFINITY, 4.0]];
        let lower = [vec![90.0f32; 4], vec![80.0; 4], vec![70.0, 70.0, 70.0, nan]];
        for (name, planes) in [("number", &upper), ("below", &lower)] {
            make(format!("/vsimem/{name}.tif"), Size::new(4, 1), planes, &["PHOTOMETRIC=RGB"], |dataset| {
                dataset.set_geo_transform(&[0.0, 1.0, 0.0, 0.0, 0.0, -1.0]).unwrap();
            });
        }
        let (rgb, valid) = read(&mosaic_of(&["/vsimem/number.tif", "/vsimem/below.tif"]).unwrap());
        assert_eq!(rgb, [90.0, 90.0, 90.0, 4.0, 80.0, 80.0, 80.0, 4.0, 70.0, 70.0, 70.0, 4.0]);
        assert_eq!(valid, [true; 4]);
        let (_, valid) = read(&mosaic_of(&["/vsimem/below.tif", "/vsimem/below.tif"]).unwrap());
        assert_eq!(valid, [true, true, true, false]);
    }

    #[test]
    fn alpha_of_tiles_follows_the_rule() {
        let tag = |value: Option<f64>| {
            move |dataset: &mut gdal::Dataset| {
                for number in 1..=4 {
                    dataset.rasterband(number).unwrap().set_no_data_value(value).unwrap();
                }
                let mut band = dataset.rasterband(4).unwrap();
                band.set_color_interpretation(ColorInterpretation::AlphaBand).unwrap();
            }
        };
        let auto = MaskRequest::default();
        let roof = [vec![255, 255], vec![255, 255], vec![255, 255]];
        let (pixels, _) = upper_and_lower(&roof, &[vec![200, 0]], auto, tag(Some(255.0)));
        assert_eq!(pixels, [[255.0; 3], LOWER], "alpha decides over nodata");
        let by_tag = MaskRequest { source: MaskSource::Nodata, nodata: None };
        let (pixels, _) = upper_and_lower(&roof, &[vec![200, 0]], by_tag, tag(Some(255.0)));
        assert_eq!(pixels, [LOWER; 2]);
    }

    #[test]
    fn incompatible_tiles_are_both_named() {
        let size = Size::new(4, 4);
        tile("/vsimem/fit.tif", [0.0, 0.0], size, 0, 32632, |_| {});
        tile("/vsimem/zone.tif", [4.0, 0.0], size, 0, 32633, |_| {});
        make("/vsimem/bands.tif", size, &[vec![1u8; 16]], &[], |dataset| {
            dataset.set_geo_transform(&[508.0, 2.0, 0.0, 900.0, 0.0, -2.0]).unwrap();
            dataset.set_projection(&georeference([0.0; 6], 32632).crs_wkt.unwrap()).unwrap();
        });
        tile("/vsimem/turned.tif", [4.0, 0.0], size, 0, 32632, |dataset| {
            dataset.set_geo_transform(&[500.0, 2.0, 0.1, 900.0, 0.1, -2.0]).unwrap();
        });
        let refusal = |name: &str| mosaic_of(&["/vsimem/fit.tif", name]).unwrap_err();
        let zone = refusal("/vsimem/zone.tif").to_string();
        assert!(["fit.tif", "zone.tif", "EPSG:32632", "EPSG:32633"].iter().all(|part| zone.contains(part)), "{zone}");
        let bands = refusal("/vsimem/bands.tif").to_string();
        assert!(["fit.tif", "bands.tif", "3 and 1 bands"].iter().all(|part| bands.contains(part)), "{bands}");
        assert!(refusal("/vsimem/turned.tif").to_string().contains("turned.tif is rotated"));
    }

    #[test]
    fn tiles_on_both_sides_of_the_antimeridian_are_neighbours() {
        for (name, left) in [("west", 179.5), ("east", -180.0)] {
            make(format!("/vsimem/{name}.tif"), Size::new(50, 10), &[vec![9u8; 500]], &[], |dataset| {
                dataset.set_projection(&georeference([0.0; 6], 4326).crs_wkt.unwrap()).unwrap();
                dataset.set_geo_transform(&[left, 0.01, 0.0, -16.0, 0.0, -0.01]).unwrap();
            });
        }
        let info = mosaic_of(&["/vsimem/east.tif", "/vsimem/west.tif"]).unwrap();
        assert_eq!(info.size, Size::new(100, 10));
        let place = info.georeference.unwrap();
        assert!(place.geographic && place.transform.coefficients[0] == 179.5);
    }

    /// A strip of one row; its three bands hold the same values.
    fn strip(
        name: &str,
        left: f64,
        values: &[u16],
        scaling: Option<(f64, f64)>,
        dress: impl FnOnce(&mut gdal::Dataset),
    ) {
        make(name, Size::new(values.len(), 1), &vec![values.to_vec(); 3], &["PHOTOMETRIC=RGB"], |dataset| {
            dataset.set_projection(&georeference([0.0; 6], 32632).crs_wkt.unwrap()).unwrap();
            dataset.set_geo_transform(&[left, 1.0, 0.0, 0.0, 0.0, -1.0]).unwrap();
            for band in 1..=3 {
                let mut band = dataset.rasterband(band).unwrap();
                if let Some((scale, offset)) = scaling {
                    band.set_scale(scale).unwrap();
                    band.set_offset(offset).unwrap();
                }
            }
            dress(dataset);
        });
    }

    /// Greys of a row as `values:0,10000` shows them, and where there is data.
    fn greys(names: &[&str]) -> (Vec<f32>, Vec<bool>, SceneInfo) {
        let info = mosaic_of(names).unwrap();
        let range = crate::scene::ValueRange { low: 0.0, high: 10_000.0 };
        let plan = super::super::test_scenes::stretched(crate::scene::StretchMethod::Given([range; 3]));
        let reader = SceneReader::open(&info, [1, 2, 3], &plan).unwrap();
        let tile = reader.read(info.size.window()).unwrap();
        let pixels = info.size.pixels();
        (tile.rgb[..pixels].to_vec(), tile.valid.unwrap_or(vec![true; pixels]), info)
    }

    #[test]
    fn tiles_of_one_reflectance_read_alike() {
        let nodata = |dataset: &mut gdal::Dataset| {
            for band in 1..=3 {
                dataset.rasterband(band).unwrap().set_no_data_value(Some(0.0)).unwrap();
            }
        };
        let (old, new) = (Some((0.0001, 0.0)), Some((0.0001, -0.1)));
        // The same reflectances: 0.302, none, 0 and 1.
        strip("/vsimem/old.tif", 0.0, &[3020, 0, 1, 10_000], old, nodata);
        strip("/vsimem/new.tif", 4.0, &[4020, 0, 1001, 11_000], new, nodata);
        let grey = |stored: f32| stored / 10_000.0 * 255.0;
        let (found, valid, info) = greys(&["/vsimem/old.tif", "/vsimem/new.tif"]);
        for (at, stored) in [(0, 3020.0), (3, 10_000.0), (2, 1.0), (4, 3020.0), (6, 1.0), (7, 10_000.0)] {
            assert!((found[at] - grey(stored)).abs() < 1e-4, "{at}: {found:?}");
        }
        assert_eq!((found[0].round(), found[0]), (77.0, found[4]));
        assert_eq!(valid, [true, false, true, true, true, false, true, true]);
        assert!(info.access.notes[0].contains("which changes /vsimem/new.tif (- 1000)"), "{:?}", info.access.notes);
        assert_eq!(info.access.conversion.as_deref(), Some("/vsimem/new.tif (- 1000)"));
        assert_eq!(info.bands[0].scaling, Some(crate::scene::Scaling { scale: 0.0001, offset: 0.0 }));
        // Values are those of the first tile, whichever that is.
        let (found, ..) = greys(&["/vsimem/new.tif", "/vsimem/old.tif"]);
        assert_eq!((found[0], found[0].round()), (found[4], 103.0));
        // What the second stores as 1000 is a reflectance of 0, and not the first one's nodata.
        strip("/vsimem/dark.tif", 4.0, &[1000, 0, 999, 4020], new, nodata);
        let (found, valid, _) = greys(&["/vsimem/old.tif", "/vsimem/dark.tif"]);
        assert_eq!((&valid[4..], found[4], found[7]), (&[true, false, true, true][..], 0.0, found[0]));
        // Masks instead of nodata values, where only one tile has them; and a tile without a scale of its own.
        strip("/vsimem/masked.tif", 4.0, &[4020, 7, 1001, 11_000], new, |dataset| {
            for band in 1..=3 {
                dataset.rasterband(band).unwrap().set_no_data_value(Some(7.0)).unwrap();
            }
        });
        strip("/vsimem/bare.tif", 0.0, &[3020, 3, 1, 10_000], None, |_| {});
        let (found, valid, info) = greys(&["/vsimem/bare.tif", "/vsimem/masked.tif"]);
        assert_eq!(found[0], found[4]);
        assert_eq!(valid, [true, true, true, true, true, false, true, true]);
        assert!(info.access.notes[0].contains("Tiles without a scale"), "{:?}", info.access.notes);
        // Tiles of one scale, and of none, are read as they are stored.
        strip("/vsimem/same.tif", 4.0, &[4020, 0, 1001, 11_000], old, nodata);
        let (found, _, info) = greys(&["/vsimem/old.tif", "/vsimem/same.tif"]);
        assert_eq!((found[4].round(), info.bands[0].pixel_type.as_str()), (103.0, "UInt16"));
        assert_eq!((info.access.notes, info.access.conversion), (Vec::new(), None));
    }

    #[test]
    fn tiles_with_bands_in_another_order_are_refused() {
        let named = |name: &str, left: f64, names: [&str; 3]| {
            strip(name, left, &[1, 2, 3], None, |dataset| {
                for (number, name) in (1..).zip(names) {
                    let mut band = dataset.rasterband(number).unwrap();
                    band.set_description(name).unwrap();
                    band.set_color_interpretation(ColorInterpretation::Undefined).unwrap();
                }
            });
        };
        named("/vsimem/order_a.tif", 0.0, ["red", "green", "blue"]);
        named("/vsimem/order_b.tif", 3.0, ["blue", "green", "red"]);
        let error = mosaic_of(&["/vsimem/order_a.tif", "/vsimem/order_b.tif"]).unwrap_err();
        assert!(error.to_string().contains("they have red and blue as band 1"), "{error}");
        named("/vsimem/order_c.tif", 3.0, ["Red", "Green", "Blue"]);
        mosaic_of(&["/vsimem/order_a.tif", "/vsimem/order_c.tif"]).unwrap();
    }

    #[test]
    fn masks_of_all_layers_count() {
        let layer = |name: &str, dress: &dyn Fn(&mut gdal::Dataset)| {
            make(name, Size::new(2, 2), &[vec![5u16, 6, 7, 8]], &[], |dataset| {
                dataset.set_projection(&georeference([0.0; 6], 32632).crs_wkt.unwrap()).unwrap();
                dataset.set_geo_transform(&[0.0, 10.0, 0.0, 0.0, 0.0, -10.0]).unwrap();
                dress(dataset);
            });
        };
        let mask = |invalid: usize| {
            move |dataset: &mut gdal::Dataset| {
                dataset.rasterband(1).unwrap().create_mask_band(true).unwrap();
                let band = dataset.rasterband(1).unwrap();
                let mut mask = band.open_mask_band().unwrap();
                let values = (0..4).map(|at| if at == invalid { 0 } else { 255 }).collect();
                mask.write((0, 0), (2, 2), &mut gdal::raster::Buffer::new((2, 2), values)).unwrap();
            }
        };
        layer("/vsimem/mask_red.tif", &mask(0));
        layer("/vsimem/mask_green.tif", &mask(1));
        layer("/vsimem/mask_blue.tif", &|dataset| {
            dataset.rasterband(1).unwrap().set_no_data_value(Some(7.0)).unwrap();
        });
        layer("/vsimem/mask_none.tif", &|_| {});
        let names = ["red", "green", "blue"].map(str::to_owned);
        let valid = |files: [&str; 3]| {
            let layers = files.map(|name| inspect(format!("/vsimem/mask_{name}.tif")).unwrap());
            let info = stack(&layers, &names).unwrap();
            let tile = SceneReader::open(&info, [1, 2, 3], &as_it_is()).unwrap().read(info.size.window()).unwrap();
            (tile.valid, tile.rgb[3])
        };
        assert_eq!(valid(["red", "green", "none"]), (Some(vec![false, false, true, true]), 8.0));
        assert_eq!(valid(["none", "green", "red"]).0, Some(vec![false, false, true, true]));
        assert_eq!(valid(["red", "green", "blue"]).0, Some(vec![false, false, false, true]));
        assert_eq!(valid(["none", "none", "none"]).0, None);
    }

    #[test]
    fn single_band_files_become_one_scene() {
        let place = |dataset: &mut gdal::Dataset, step: f64| {
            dataset.set_projection(&georeference([0.0; 6], 32632).crs_wkt.unwrap()).unwrap();
            dataset.set_geo_transform(&[0.0, step, 0.0, 0.0, 0.0, -step]).unwrap();
        };
        make("/vsimem/fine.tif", Size::new(4, 4), &[(0..16u16).collect()], &[], |dataset| place(dataset, 10.0));
        make("/vsimem/coarse.tif", Size::new(2, 2), &[vec![100u16, 200, 300, 400]], &[], |dataset| {
            place(dataset, 20.0)
        });
        let layers = ["/vsimem/fine.tif", "/vsimem/coarse.tif"].map(|name| inspect(name).unwrap());
        let info = stack(&layers, &["red".to_owned(), "B11".to_owned()]).unwrap();
        assert_eq!((info.size, info.bands.len()), (Size::new(4, 4), 2));
        assert_eq!((info.bands[0].role, info.bands[1].name.as_deref()), (ColourRole::Red, Some("B11")));
        let reader = SceneReader::open(&info, [1, 2, 2], &as_it_is()).unwrap();
        let rgb = reader.read(info.size.window()).unwrap().rgb;
        assert_eq!((rgb[5], rgb[16 + 5], rgb[16 + 15]), (5.0, 100.0, 255.0));
        assert!(take_warnings().iter().any(|warning| warning.contains("nearest")));
    }
}
