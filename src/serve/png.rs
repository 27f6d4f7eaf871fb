//! PNG in memory, written fast: map tiles are made by the thousand, and shown once.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::error::{Context as _, Error, Result};
use crate::geom::Size;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// Fast, and about as small as slower ones for labels.
const LEVEL: u32 = 3;
/// PNG's colour types.
const INDEXED: u8 = 3;
const RGBA: u8 = 6;

/// Palette indices, (row, column); palette entries are red, green, blue and opacity.
///
/// # Errors
/// There are not as many pixels as the size says.
pub fn indexed(size: Size, pixels: &[u8], palette: &[[u8; 4]]) -> Result<Vec<u8>> {
    let colours: Vec<u8> = palette.iter().take(256).flat_map(|[red, green, blue, _]| [*red, *green, *blue]).collect();
    let opacity: Vec<u8> = palette.iter().take(256).map(|entry| entry[3]).collect();
    encode(size, INDEXED, 1, pixels, &[(*b"PLTE", colours), (*b"tRNS", opacity)])
}

/// Red, green, blue and opacity of each pixel, (row, column).
///
/// # Errors
/// There are not as many pixels as the size says.
pub fn rgba(size: Size, pixels: &[u8]) -> Result<Vec<u8>> {
    encode(size, RGBA, 4, pixels, &[])
}

fn encode(size: Size, colour: u8, bytes: usize, pixels: &[u8], tables: &[([u8; 4], Vec<u8>)]) -> Result<Vec<u8>> {
    let stride = size.width * bytes;
    if pixels.len() != stride * size.height || pixels.is_empty() {
        return Err(Error::internal(format!("a picture of {size} does not have as many pixels")));
    }
    let mut file = SIGNATURE.to_vec();
    let [width, height] = [size.width, size.height].map(|side| (side as u32).to_be_bytes());
    chunk(&mut file, *b"IHDR", &[&width[..], &height, &[8, colour, 0, 0, 0]].concat());
    tables.iter().for_each(|(name, content)| chunk(&mut file, *name, content));
    let mut data = ZlibEncoder::new(Vec::new(), Compression::new(LEVEL));
    let cannot = || format!("a picture of {size} cannot be encoded");
    let mut line = vec![0; stride + 1];
    for row in pixels.chunks_exact(stride) {
        match (colour, line.split_first_mut()) {
            (RGBA, Some((filter, line))) => {
                // The difference to the pixel on the left: photographs become a third smaller.
                *filter = 1;
                let left = std::iter::repeat_n(&0, bytes).chain(row);
                line.iter_mut().zip(row).zip(left).for_each(|((to, value), left)| *to = value.wrapping_sub(*left));
            }
            (_, Some((filter, line))) => {
                *filter = 0;
                line.copy_from_slice(row);
            }
            _ => {}
        }
        data.write_all(&line).internal(cannot)?;
    }
    chunk(&mut file, *b"IDAT", &data.finish().internal(cannot)?);
    chunk(&mut file, *b"IEND", &[]);
    Ok(file)
}

fn chunk(file: &mut Vec<u8>, name: [u8; 4], content: &[u8]) {
    file.extend((content.len() as u32).to_be_bytes());
    let start = file.len();
    file.extend(name);
    file.extend(content);
    let sum = crc32fast::hash(file.get(start..).unwrap_or_default());
    file.extend(sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdal::Dataset;

    #[test]
    fn pictures_read_back() {
        crate::raster::init();
        let size = Size::new(5, 3);
        let pixels: Vec<u8> = (0..60u8).map(|at| at.wrapping_mul(37)).collect();
        gdal::vsi::create_mem_file("/vsimem/serve_rgba.png", rgba(size, &pixels).unwrap()).unwrap();
        let dataset = Dataset::open("/vsimem/serve_rgba.png").unwrap();
        for band in 0..4 {
            let expected: Vec<u8> = pixels.iter().skip(band).step_by(4).copied().collect();
            assert_eq!(dataset.rasterband(band + 1).unwrap().read_band_as::<u8>().unwrap().data(), expected);
        }
        let places: Vec<u8> = (0..15).map(|at| at % 3).collect();
        let palette = [[1, 2, 3, 255], [250, 0, 9, 128], [0, 0, 0, 0]];
        gdal::vsi::create_mem_file("/vsimem/serve_indexed.png", indexed(size, &places, &palette).unwrap()).unwrap();
        let dataset = Dataset::open("/vsimem/serve_indexed.png").unwrap();
        let band = dataset.rasterband(1).unwrap();
        assert_eq!(band.read_band_as::<u8>().unwrap().data(), places);
        let entry = band.color_table().unwrap().entry_as_rgb(1).unwrap();
        assert_eq!([entry.r, entry.g, entry.b, entry.a], [250, 0, 9, 128]);
        assert!(rgba(size, &pixels[1..]).is_err());
    }
}
