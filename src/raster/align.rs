//! One raster on the pixel grid of another, by exact nearest neighbour between any two CRSs and grids.

use std::path::Path;

use gdal::spatial_ref::CoordTransform;

use super::coded::{ABSENT, CodedRaster};
use super::messages;
use super::score_reader::ScoreReader;
use super::spatial_ref::crs;
use crate::error::{Context, Error, Result};
use crate::geom::{GeoTransform, Size, Window};
use crate::scene::{Georeference, SceneInfo};

/// Pixels of a block on each axis: small enough that two rasters and their coordinates take some tens of MB.
const BLOCK: usize = 512;

/// Pixels of the aligned raster that are read for a block at most; where it is much finer, blocks are cut in four.
const MAX_READ: usize = 4 << 20;

/// Part of a pixel by which two grids may differ and still be the same.
const SAME_GRID: f64 = 1e-3;

/// Part of a pixel that moves centres on an edge of the other grid to one side of it, against rounding.
const EDGE: f64 = 1e-6;

/// A label raster, read on the grid of another raster.
pub struct AlignedRaster {
    raster: CodedRaster,
    mapping: Mapping,
}

/// A score raster, read on the grid of another raster.
pub struct AlignedScores {
    reader: ScoreReader,
    mapping: Mapping,
}

enum Mapping {
    /// Pixel for pixel.
    Same,
    Warped {
        from: GeoTransform,
        crs: Option<CoordTransform>,
        to_pixels: GeoTransform,
    },
}

impl AlignedRaster {
    /// Aligns `raster` with the grid of `onto`; an error where their georeferences do not allow it.
    pub fn new(raster: CodedRaster, onto: &SceneInfo) -> Result<Self> {
        let mapping = mapping(onto, raster.info())?;
        Ok(Self { raster, mapping })
    }

    pub fn raster(&self) -> &CodedRaster {
        &self.raster
    }

    /// Whether the two grids differ.
    pub fn is_warped(&self) -> bool {
        !matches!(self.mapping, Mapping::Same)
    }

    /// The codes under a window of the other raster's grid, (row, column); [`ABSENT`] outside this one.
    pub fn read(&self, window: Window) -> Result<Vec<i64>> {
        let read = |window| self.raster.read(window);
        self.mapping.read(window, &Planes { size: self.raster.info().size, count: 1, absent: ABSENT, read: &read })
    }
}

impl AlignedScores {
    /// Opens a score raster and aligns it with the grid of `onto`.
    ///
    /// # Errors
    /// As [`ScoreReader::open`]; the georeferences do not allow it.
    pub fn open(path: &Path, onto: &SceneInfo) -> Result<Self> {
        let reader = ScoreReader::open(path)?;
        let mapping = mapping(onto, &super::inspect(path)?)?;
        Ok(Self { reader, mapping })
    }

    /// The names of the classes, in the order of the bands.
    pub fn names(&self) -> Vec<String> {
        self.reader.names()
    }

    /// The scores of some bands, numbered from 0, under a window of the other raster's grid, (band, row, column), 0..=1; NaN without
    /// data and outside this raster.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, window: Window, bands: &[usize]) -> Result<Vec<f32>> {
        let read = |window| self.reader.read_bands(window, bands);
        let (size, count) = (self.reader.size(), bands.len());
        self.mapping.read(window, &Planes { size, count, absent: f32::NAN, read: &read })
    }
}

/// How values of a raster of `size` are read, (plane, row, column); `absent` stands outside of it.
struct Planes<'a, T> {
    size: Size,
    count: usize,
    absent: T,
    read: &'a dyn Fn(Window) -> Result<Vec<T>>,
}

impl Mapping {
    /// What is read of a raster, (plane, row, column), under a window of the other grid.
    fn read<T: Copy>(&self, window: Window, planes: &Planes<'_, T>) -> Result<Vec<T>> {
        let Self::Warped { from, crs, to_pixels } = self else { return (planes.read)(window) };
        let Planes { size, count, absent, read } = *planes;
        let (mut cols, mut rows) = centres(from, window);
        if let Some(crs) = crs {
            // Points outside the other CRS come back infinite, which is outside the raster.
            let _ = messages::attempt(|| crs.transform_coords(&mut cols, &mut rows, &mut []));
        }
        for (col, row) in cols.iter_mut().zip(&mut rows) {
            let place = to_pixels.to_world(*col, *row);
            (*col, *row) = ((place.x + EDGE).floor(), (place.y + EDGE).floor());
        }
        let Some(needed) = bounds(&cols, &rows, size) else {
            return Ok(vec![absent; count * window.size().pixels()]);
        };
        if needed.size().pixels() * count > MAX_READ && window.size().pixels() > 1 {
            return self.read_in_parts(window, planes);
        }
        let values = read(needed)?;
        let value = |plane: &[T], col: f64, row: f64| {
            if !inside(col, row, size) {
                return absent;
            }
            let index = (row as usize - needed.row) * needed.width + col as usize - needed.col;
            plane.get(index).copied().unwrap_or(absent)
        };
        let planes = values.chunks_exact(needed.size().pixels());
        Ok(planes.flat_map(|plane| cols.iter().zip(&rows).map(move |(col, row)| value(plane, *col, *row))).collect())
    }

    /// Reads a window in halves, so that each needs less of the other raster at once.
    fn read_in_parts<T: Copy>(&self, window: Window, planes: &Planes<'_, T>) -> Result<Vec<T>> {
        let down = window.height > 1 && window.width < 2 * window.height;
        let first = match down {
            true => Window { height: window.height / 2, ..window },
            false => Window { width: window.width / 2, ..window },
        };
        let second = match down {
            true => Window { row: window.row + first.height, height: window.height - first.height, ..window },
            false => Window { col: window.col + first.width, width: window.width - first.width, ..window },
        };
        let (one, other) = (self.read(first, planes)?, self.read(second, planes)?);
        let (mut one, mut other) = (one.as_slice(), other.as_slice());
        let mut values = Vec::with_capacity(planes.count * window.size().pixels());
        // Above each other, whole planes alternate; side by side, rows of them.
        let lines = if down { planes.count } else { planes.count * window.height };
        for _ in 0..lines {
            for (rest, part) in [(&mut one, first), (&mut other, second)] {
                let line = if down { part.size().pixels() } else { part.width };
                let (taken, left) = rest.split_at(line.min(rest.len()));
                values.extend_from_slice(taken);
                *rest = left;
            }
        }
        Ok(values)
    }
}

/// A raster's pixels in blocks, row by row of blocks.
pub fn blocks(size: Size) -> impl Iterator<Item = Window> {
    (0..size.height).step_by(BLOCK).flat_map(move |row| {
        (0..size.width).step_by(BLOCK).map(move |col| Window {
            col,
            row,
            width: BLOCK.min(size.width - col),
            height: BLOCK.min(size.height - row),
        })
    })
}

fn mapping(onto: &SceneInfo, other: &SceneInfo) -> Result<Mapping> {
    let names = || (onto.path.display(), other.path.display());
    let (here, there) = match (&onto.georeference, &other.georeference) {
        (None, None) if onto.size == other.size => return Ok(Mapping::Same),
        (None, None) => {
            let (first, second) = names();
            return Err(Error::input(format!(
                "{first} has {} pixels and {second} {}, and neither has a georeference: they cannot be aligned",
                onto.size, other.size
            ))
            .with_hint(other.georeference_hint("Compare rasters of one size, or georeference both.")));
        }
        (Some(here), Some(there)) => (here, there),
        (here, _) => {
            let (first, second) = names();
            let bare = if here.is_some() { other } else { onto };
            let (with, without) = if here.is_some() { (first, second) } else { (second, first) };
            return Err(Error::input(format!(
                "{with} has a georeference and {without} has none: they cannot be aligned"
            ))
            .with_hint(bare.georeference_hint(
                "Give it the other's georeference, for example with gdal_translate -a_srs … -a_ullr …",
            )));
        }
    };
    let crs = transform_between(here, there).input(|| {
        let (first, second) = names();
        format!("{second} cannot be aligned with {first}")
    })?;
    if crs.is_none() && onto.size == other.size && same_grid(here.transform, there.transform, onto.size) {
        return Ok(Mapping::Same);
    }
    let to_pixels = inverse(there.transform)
        .ok_or_else(|| Error::input(format!("{} has a geotransform that cannot be inverted", other.path.display())))?;
    Ok(Mapping::Warped { from: here.transform, crs, to_pixels })
}

/// The transformation from one CRS to another; `None` where they are the same.
pub(super) fn transform_between(from: &Georeference, to: &Georeference) -> Result<Option<CoordTransform>> {
    let (from, to) = match (&from.crs_wkt, &to.crs_wkt) {
        (None, None) => return Ok(None),
        (Some(from), Some(to)) => (crs(from)?, crs(to)?),
        _ => {
            return Err(Error::input("one of them has a CRS and the other has none")
                .with_hint("Assign the missing CRS, for example with gdal_edit.py -a_srs EPSG:…"));
        }
    };
    if from == to {
        return Ok(None);
    }
    let transform = messages::attempt(|| CoordTransform::new(&from, &to));
    transform.map(Some).input(|| "no transformation between the two CRSs is known".into())
}

/// World coordinates of the pixel centres of a window, x and y apart.
fn centres(transform: &GeoTransform, window: Window) -> (Vec<f64>, Vec<f64>) {
    let pixels = window.rows().flat_map(|row| window.cols().map(move |col| (col as f64 + 0.5, row as f64 + 0.5)));
    pixels.map(|(col, row)| transform.to_world(col, row)).map(|place| (place.x, place.y)).unzip()
}

/// The geotransform from world coordinates to pixels.
fn inverse(transform: GeoTransform) -> Option<GeoTransform> {
    let [x0, a, b, y0, c, d] = transform.coefficients;
    let area = a * d - b * c;
    if area == 0.0 || !area.is_finite() {
        return None;
    }
    let [ia, ib, ic, id] = [d / area, -b / area, -c / area, a / area];
    Some(GeoTransform { coefficients: [-(ia * x0 + ib * y0), ia, ib, -(ic * x0 + id * y0), ic, id] })
}

fn same_grid(first: GeoTransform, second: GeoTransform, size: Size) -> bool {
    let (width, height) = (size.width as f64, size.height as f64);
    let tolerance = SAME_GRID * first.pixel_width().min(first.pixel_height());
    [(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)].into_iter().all(|(col, row)| {
        let (a, b) = (first.to_world(col, row), second.to_world(col, row));
        (a.x - b.x).abs() <= tolerance && (a.y - b.y).abs() <= tolerance
    })
}

fn inside(col: f64, row: f64, size: Size) -> bool {
    col >= 0.0 && row >= 0.0 && col < size.width as f64 && row < size.height as f64
}

/// The smallest window that holds all of these pixels of an image; `None` where all are outside.
fn bounds(cols: &[f64], rows: &[f64], size: Size) -> Option<Window> {
    let mut bounds: Option<[f64; 4]> = None;
    for (&col, &row) in cols.iter().zip(rows).filter(|(col, row)| inside(**col, **row, size)) {
        let [left, top, right, below] = bounds.unwrap_or([col, row, col, row]);
        bounds = Some([left.min(col), top.min(row), right.max(col), below.max(row)]);
    }
    bounds.map(|[left, top, right, below]| Window {
        col: left as usize,
        row: top as usize,
        width: (right - left) as usize + 1,
        height: (below - top) as usize + 1,
    })
}

#[cfg(test)]
mod tests {
    use gdal::Metadata as _;

    use super::super::test_scenes::{georeference, make, plane};
    use super::*;

    fn open(name: &str) -> CodedRaster {
        CodedRaster::open(name.as_ref()).unwrap()
    }

    /// What a raster says of itself when it lies at `coefficients` in a CRS.
    fn grid(size: Size, coefficients: [f64; 6], epsg: u32) -> SceneInfo {
        let georeference = Some(georeference(coefficients, epsg));
        SceneInfo {
            path: "grid.tif".into(),
            size,
            bands: Vec::new(),
            georeference,
            access: crate::scene::Access::default(),
        }
    }

    fn place(dataset: &mut gdal::Dataset, coefficients: [f64; 6], epsg: u32) {
        dataset.set_geo_transform(&coefficients).unwrap();
        dataset.set_spatial_ref(&gdal::spatial_ref::SpatialRef::from_epsg(epsg).unwrap()).unwrap();
    }

    #[test]
    fn rotated_grid_takes_nearest_pixels() {
        let size = Size::new(40, 30);
        let name = "/vsimem/align_rotated.tif";
        let stored = plane(size, |col, row| (row * 40 + col) as u16);
        make(name, size, &[stored], &[], |dataset| place(dataset, [1000.0, 2.0, 0.0, 500.0, 0.0, -2.0], 32632));
        let (sin, cos) = 0.5f64.sin_cos();
        let turned = [1010.0, 0.7 * cos, 0.7 * sin, 495.0, 0.7 * sin, -0.7 * cos];
        let onto = grid(Size::new(90, 80), turned, 32632);
        let aligned = AlignedRaster::new(open(name), &onto).unwrap();
        assert!(aligned.is_warped());
        let window = Window { col: 5, row: 3, width: 80, height: 70 };
        let codes = aligned.read(window).unwrap();
        let (mut inside, mut outside) = (0, 0);
        for (index, code) in codes.into_iter().enumerate() {
            let (col, row) = ((5 + index % 80) as f64 + 0.5, (3 + index / 80) as f64 + 0.5);
            let x = 1010.0 + 0.7 * (col * cos + row * sin);
            let y = 495.0 + 0.7 * (col * sin - row * cos);
            let (there_col, there_row) = (((x - 1000.0) / 2.0).floor(), ((500.0 - y) / 2.0).floor());
            if there_col < 0.0 || there_row < 0.0 || there_col >= 40.0 || there_row >= 30.0 {
                assert_eq!(code, ABSENT);
                outside += 1;
            } else {
                assert_eq!(code, (there_row * 40.0 + there_col) as i64);
                inside += 1;
            }
        }
        assert!(inside > 1000 && outside > 100, "{inside} inside, {outside} outside");
    }

    /// Positions from `gdaltransform -s_srs EPSG:25832 -t_srs EPSG:4326` (GDAL 3.6, PROJ 9.1).
    #[test]
    fn other_crs_maps_to_the_right_pixels() {
        let (west, north, step) = (6.80, 50.97, 1e-4);
        let size = Size::new(200, 150);
        let name = "/vsimem/align_degrees.tif";
        let stored = plane(size, |col, row| (row * 200 + col) as i32);
        make(name, size, &[stored], &[], |dataset| place(dataset, [west, step, 0.0, north, 0.0, -step], 4326));
        let onto = grid(Size::new(500, 500), [346_000.0, 1.0, 0.0, 5_648_000.0, 0.0, -1.0], 25832);
        let aligned = AlignedRaster::new(open(name), &onto).unwrap();
        for (x, y, longitude, latitude) in [
            (346_010.5, 5_647_990.5, 6.807_104_31, 50.962_916_5),
            (346_250.5, 5_647_750.5, 6.810_620_77, 50.960_823_9),
            (346_490.5, 5_647_510.5, 6.814_136_93, 50.958_731_3),
        ] {
            let window = Window { col: (x - 346_000.0) as usize, row: (5_648_000.0 - y) as usize, width: 1, height: 1 };
            let (col, row) = (((longitude - west) / step).floor(), ((north - latitude) / step).floor());
            assert_eq!(aligned.read(window).unwrap(), [(row * 200.0 + col) as i64], "{x}, {y}");
        }
    }

    #[test]
    fn much_finer_raster_is_read_in_parts() {
        let size = Size::new(4000, 3000);
        let name = "/vsimem/align_fine.tif";
        let stored = plane(size, |col, row| (col / 8 + row / 8 * 7) as u16);
        make(name, size, &[stored], &["COMPRESS=DEFLATE"], |dataset| {
            place(dataset, [0.0, 0.5, 0.0, 0.0, 0.0, -0.5], 32632)
        });
        let onto = grid(Size::new(500, 375), [0.0, 4.0, 0.0, 0.0, 0.0, -4.0], 32632);
        let aligned = AlignedRaster::new(open(name), &onto).unwrap();
        let window = onto.size.window();
        assert_eq!(aligned.read(window).unwrap(), plane(onto.size, |col, row| (col + row * 7) as i64));
    }

    #[test]
    fn bands_of_scores_stay_apart_when_read_in_parts() {
        let size = Size::new(4000, 3000);
        let name = "/vsimem/align_scores.tif";
        let bands = [1, 100].map(|times| plane(size, |col, row| (times * (col / 8 + row / 8 * 7)) as f32));
        make(name, size, &bands, &["COMPRESS=DEFLATE"], |dataset| {
            place(dataset, [0.0, 0.5, 0.0, 0.0, 0.0, -0.5], 32632);
            for (number, name) in [(1, "water"), (2, "land")] {
                dataset.rasterband(number).unwrap().set_description(name).unwrap();
            }
        });
        // The last row and column lie outside.
        let onto = grid(Size::new(501, 376), [0.0, 4.0, 0.0, 0.0, 0.0, -4.0], 32632);
        let scores = AlignedScores::open(name.as_ref(), &onto).unwrap();
        assert_eq!(scores.names(), ["water", "land"]);
        for (bands, times) in [(vec![0, 1], vec![1, 100]), (vec![1], vec![100])] {
            let found = scores.read(onto.size.window(), &bands).unwrap();
            let (mut values, mut outside) = (0, 0);
            for (index, found) in found.iter().enumerate() {
                let (band, at) = (index / onto.size.pixels(), index % onto.size.pixels());
                let (col, row) = (at % 501, at / 501);
                if col == 500 || row == 375 {
                    assert!(found.is_nan());
                    outside += 1;
                } else {
                    assert_eq!(*found, (times[band] * (col + row * 7)) as f32);
                    values += 1;
                }
            }
            assert_eq!((values, outside), (bands.len() * 500 * 375, bands.len() * (501 + 375)));
        }
    }

    #[test]
    fn same_grid_is_recognised_and_covered_once() {
        let size = Size::new(1100, 600);
        let mut seen = vec![0u8; size.pixels()];
        for block in blocks(size) {
            for (row, col) in block.rows().flat_map(|row| block.cols().map(move |col| (row, col))) {
                seen[row * size.width + col] += 1;
            }
        }
        assert!(seen.iter().all(|times| *times == 1));
        let name = "/vsimem/align_same.tif";
        let small = Size::new(4, 3);
        make(name, small, &[vec![1u8; 12]], &[], |dataset| place(dataset, [10.0, 2.0, 0.0, 20.0, 0.0, -2.0], 32632));
        let onto = grid(small, [10.0001, 2.0, 0.0, 20.0, 0.0, -2.0], 32632);
        assert!(!AlignedRaster::new(open(name), &onto).unwrap().is_warped());
        let shifted = grid(small, [11.0, 2.0, 0.0, 20.0, 0.0, -2.0], 32632);
        assert!(AlignedRaster::new(open(name), &shifted).unwrap().is_warped());
    }
}
