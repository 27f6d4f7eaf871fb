//! Stretched bytes brought to another size: OpenCV's bilinear interpolation (`INTER_LINEAR` of 8-bit images) to the byte, without
//! anti-aliasing.
//!
//! Each pixel is computed from the bytes of at most four pixels by its position alone. Only rows of the scene that a window needs
//! are read, in pieces of limited size.

#![expect(clippy::indexing_slicing, reason = "taps inside the scene, and pieces that hold them")]

use super::band_reader::{BandReader, RawPixels};
use super::{Stretch, fill};
use crate::error::Result;
use crate::geom::{Size, Window};

/// Most pixels of the scene that are in memory at once, unless two of its rows have more.
const PIECE: usize = 4 << 20;

/// One in the fixed-point weights of an axis.
const ONE: f32 = 2048.0;

/// Resizes a scene's stretched bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct ByteResizer {
    from: Size,
    to: Size,
}

/// The two pixels along an axis that make one, and their weights in 1/2048.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taps {
    pixels: [usize; 2],
    weights: [i32; 2],
}

/// Rows of the scene as bytes: (channel, row, column), and which pixels hold data.
struct Piece {
    window: Window,
    bytes: Vec<u8>,
    valid: Option<Vec<bool>>,
}

impl ByteResizer {
    pub(super) fn new(from: Size, to: Size) -> Self {
        Self { from, to }
    }

    /// Number of rows of the scene under so many rows of the result.
    pub(super) fn native_rows(&self, rows: usize) -> usize {
        (rows * self.from.height).div_ceil(self.to.height.max(1)) + 2
    }

    /// Reads a window of the result: bytes as numbers.
    pub(super) fn read(&self, source: &BandReader, stretch: &Stretch, window: Window) -> Result<RawPixels> {
        let (cols, rows) = self.taps(window);
        let span = |taps: &[Taps]| {
            let first = taps.iter().map(|taps| taps.pixels[0]).min().unwrap_or(0);
            first..taps.iter().map(|taps| taps.pixels[1] + 1).max().unwrap_or(first)
        };
        let across = span(&cols);
        let pixels = window.size().pixels();
        let (mut values, mut valid) = (vec![0f32; 3 * pixels], vec![true; pixels]);
        let most = (PIECE / across.len().max(1)).max(2);
        let mut done = 0;
        while done < rows.len() {
            let top = rows[done].pixels[0];
            let fitting = rows[done..].iter().take_while(|taps| taps.pixels[1] < top + most).count().max(1);
            let down = span(&rows[done..done + fitting]);
            let part = Window { col: across.start, row: down.start, width: across.len(), height: down.len() };
            let piece = Piece::read(source, stretch, part)?;
            for (index, row) in rows.iter().enumerate().skip(done).take(fitting) {
                let out = index * window.width;
                for (col, taps) in cols.iter().enumerate() {
                    valid[out + col] = piece.holds(taps, row);
                }
                for channel in 0..3 {
                    let to = &mut values[channel * pixels + out..][..window.width];
                    self.row(&piece, channel, &cols, row, to);
                }
            }
            done += fitting;
        }
        let all = valid.iter().all(|valid| *valid);
        Ok(RawPixels { values, valid: (!all).then_some(valid) })
    }

    /// Exactly half of both sides: the mean of four pixels.
    fn halves(&self) -> bool {
        self.from.width == 2 * self.to.width && self.from.height == 2 * self.to.height
    }

    /// The taps of a window's columns and rows.
    fn taps(&self, window: Window) -> (Vec<Taps>, Vec<Taps>) {
        if self.halves() {
            let half = |at: usize| Taps { pixels: [2 * at, 2 * at + 1], weights: [1024, 1024] };
            return (window.cols().map(half).collect(), window.rows().map(half).collect());
        }
        (
            window.cols().map(|col| column_taps(col, self.from.width, self.to.width)).collect(),
            window.rows().map(|row| row_taps(row, self.from.height, self.to.height)).collect(),
        )
    }

    fn row(&self, piece: &Piece, channel: usize, cols: &[Taps], row: &Taps, to: &mut [f32]) {
        let lines = row.pixels.map(|row| piece.line(channel, row));
        let left = piece.window.col;
        let byte = |line: &[u8], pixel: usize| i32::from(line[pixel - left]);
        if self.halves() {
            for (to, taps) in to.iter_mut().zip(cols) {
                let [a, b] = taps.pixels;
                let sum: i32 = lines.iter().map(|line| byte(line, a) + byte(line, b)).sum();
                *to = ((sum + 2) >> 2) as f32;
            }
            return;
        }
        for (to, taps) in to.iter_mut().zip(cols) {
            let [a, b] = taps.pixels;
            let sum = |line: &[u8]| taps.weights[0] * byte(line, a) + taps.weights[1] * byte(line, b);
            let part = |at: usize| (row.weights[at] * (sum(lines[at]) >> 4)) >> 16;
            let value = part(0) + part(1);
            *to = ((value + 2) >> 2).clamp(0, 255) as f32;
        }
    }
}

impl Piece {
    /// Reads, stretches and fills a part of the scene.
    fn read(source: &BandReader, stretch: &Stretch, window: Window) -> Result<Self> {
        let RawPixels { mut values, valid } = source.raw(window)?;
        for (channel, plane) in values.chunks_exact_mut(window.size().pixels().max(1)).enumerate() {
            stretch.apply(channel, plane);
        }
        if let Some(valid) = &valid {
            fill::fill(&mut values, valid, window.size());
        }
        let bytes = values.iter().map(|value| value.round_ties_even() as u8).collect();
        Ok(Self { window, bytes, valid })
    }

    fn line(&self, channel: usize, row: usize) -> &[u8] {
        let Window { width, height, row: top, .. } = self.window;
        &self.bytes[(channel * height + row - top) * width..][..width]
    }

    /// Whether pixels with at least half of the weight hold data.
    fn holds(&self, col: &Taps, row: &Taps) -> bool {
        let Some(valid) = &self.valid else { return true };
        let mut weight = 0;
        for (row, down) in row.pixels.iter().zip(row.weights) {
            for (col, across) in col.pixels.iter().zip(col.weights) {
                let at = (row - self.window.row) * self.window.width + col - self.window.col;
                weight += if valid[at] { i64::from(down) * i64::from(across) } else { 0 };
            }
        }
        2 * weight >= (ONE * ONE) as i64
    }
}

/// Where a pixel's centre lies on the other axis: the pixel before it, and the share of the next one.
fn position(index: usize, from: usize, to: usize) -> (i64, f32) {
    let position = ((index as f64 + 0.5) * (from as f64 / to as f64) - 0.5) as f32;
    let before = position.floor();
    (before as i64, position - before)
}

fn weights(share: f32) -> [i32; 2] {
    [1.0 - share, share].map(|weight| (ONE * weight).round_ties_even() as i32)
}

/// Beyond an edge the pixel at it has all the weight.
fn column_taps(index: usize, from: usize, to: usize) -> Taps {
    let last = from as i64 - 1;
    let (before, share) = match position(index, from, to) {
        (before, _) if before < 0 => (0, 0.0),
        (before, _) if before >= last => (last.max(0), 0.0),
        found => found,
    };
    let before = before as usize;
    Taps { pixels: [before, (before + 1).min(from.saturating_sub(1))], weights: weights(share) }
}

/// Beyond an edge the pixel at it has both weights.
fn row_taps(index: usize, from: usize, to: usize) -> Taps {
    let (before, share) = position(index, from, to);
    let inside = |row: i64| row.clamp(0, from.max(1) as i64 - 1) as usize;
    Taps { pixels: [inside(before), inside(before + 1)], weights: weights(share) }
}

#[cfg(test)]
mod tests {
    use segearth_testing::shared;
    use tch::Tensor;

    use super::super::test_scenes::{as_it_is, make, plane};
    use super::super::{SceneReader, find};
    use super::*;
    use crate::scene::{ImageSize, Resolution, SceneInfo, SceneRequest};

    fn resized(path: &str, size: ImageSize) -> SceneInfo {
        find(&SceneRequest { resolution: Some(Resolution::Image(size)), ..SceneRequest::file(path) }).unwrap().remove(0)
    }

    #[test]
    fn bytes_equal_those_of_the_authors_code() {
        let Some(path) = shared("parity/more/protocol/resize.safetensors") else { return };
        let tensors: std::collections::HashMap<String, Tensor> =
            Tensor::read_safetensors(path).unwrap().into_iter().collect();
        let names: Vec<&str> = tensors.keys().filter_map(|name| name.strip_suffix(".source")).collect();
        assert_eq!(names.len(), 7);
        for name in names {
            let side: usize = name.rsplit('_').next().unwrap().parse().unwrap();
            let [source, result] = ["source", "result"].map(|what| &tensors[&format!("{name}.{what}")]);
            let bytes = |tensor: &Tensor| -> Vec<u8> {
                Vec::try_from(tensor.permute([2, 0, 1]).contiguous().flatten(0, -1)).unwrap()
            };
            let size = Size::new(source.size()[1] as usize, source.size()[0] as usize);
            let planes: Vec<Vec<u8>> = bytes(source).chunks_exact(size.pixels()).map(<[u8]>::to_vec).collect();
            let file = format!("/vsimem/bytes_{name}.tif");
            make(&file, size, &planes, &[], |_| {});
            let info = resized(&file, ImageSize::LongSide(side));
            assert_eq!([info.size.height as i64, info.size.width as i64], result.size()[..2], "{name}");
            let tile = SceneReader::open(&info, [1, 2, 3], &as_it_is()).unwrap().read(info.size.window()).unwrap();
            let got: Vec<u8> = tile.rgb.iter().map(|value| *value as u8).collect();
            assert_eq!(got, bytes(result), "{name}");
        }
    }

    #[test]
    fn sizes_equal_those_of_the_authors_code() {
        let Some(path) = shared("parity/more/protocol/sizes_448.json") else { return };
        let sizes: Vec<[usize; 4]> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for [height, width, to_height, to_width] in sizes {
            assert_eq!(ImageSize::LongSide(448).of(Size::new(width, height)), Size::new(to_width, to_height));
        }
        assert_eq!(ImageSize::ShortSide(448).of(Size::new(1280, 1080)), Size::new(531, 448));
    }

    #[test]
    fn windows_and_invalid_pixels_do_not_change_bytes() {
        let size = Size::new(70, 50);
        let value = |col: usize, row: usize| ((col * 7919 + row * 104_729) % 251) as f32;
        make("/vsimem/bytes_windows.tif", size, &[plane(size, value)], &["TILED=YES"], |_| {});
        let holes = |col: usize, row: usize| if col < 9 { f32::NAN } else { value(col, row) };
        make("/vsimem/bytes_holes.tif", size, &[plane(size, holes)], &["TILED=YES"], |_| {});
        for to in [Size::new(33, 91), Size::new(35, 25), Size::new(140, 11)] {
            let [whole, part] = ["/vsimem/bytes_windows.tif", "/vsimem/bytes_holes.tif"].map(|path| {
                let info = resized(path, ImageSize::Exact(to));
                SceneReader::open(&info, [1, 1, 1], &as_it_is()).unwrap()
            });
            let all = whole.read(to.window()).unwrap();
            let window = Window { col: to.width / 2, row: to.height / 3, width: to.width / 3, height: to.height / 2 };
            for reader in [&whole, &part] {
                let found = reader.read(window).unwrap();
                assert_eq!(found.valid, None);
                for (index, value) in found.rgb[..window.size().pixels()].iter().enumerate() {
                    let at = (window.row + index / window.width) * to.width + window.col + index % window.width;
                    assert_eq!(value.to_bits(), all.rgb[at].to_bits());
                }
            }
            let valid = part.read(to.window()).unwrap().valid.unwrap();
            let share = valid.iter().filter(|valid| !**valid).count() as f64 / valid.len() as f64;
            assert!((share - 9.0 / 70.0).abs() < 0.02, "{share}");
        }
    }
}
