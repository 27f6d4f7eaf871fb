//! Scenes: GeoTIFFs of several layouts, mutated in their headers, directories, tables and pixels.

use std::path::Path;
use std::sync::OnceLock;

use gdal::raster::RasterCreationOptions;
use gdal::{Dataset, DriverManager};

use super::bytes::{self, NUMBERS};
use super::dice::Dice;
use super::{Case, vectors};
use crate::scenes::{noise, noise_scene, place, write_bands, write_scene};
use crate::workdir::Workdir;

const SIZE: (usize, usize) = (60, 40);

fn seeds() -> &'static [Vec<u8>] {
    static SEEDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SEEDS.get_or_init(|| {
        let work = Workdir::new();
        let count = SIZE.0 * SIZE.1;
        // Shapes for those who look for them, and noise in the last band.
        let pixels: Vec<u8> =
            (0..count).flat_map(|at| [(at % 60 * 4) as u8, (at / 60 * 6) as u8, noise(count)[at]]).collect();
        write_scene(&work.path("bytes.tif"), SIZE.0, SIZE.1, &pixels);
        let band = |index: usize| pixels.iter().skip(index).step_by(3).copied();
        let words: Vec<Vec<u16>> =
            (0..3).map(|index| band(index).map(|value| u16::from(value) * 40).collect()).collect();
        write_bands(&work.path("words.tif"), SIZE, &words, |dataset| {
            place(dataset);
            dataset.rasterband(1).expect("a band").set_no_data_value(Some(0.0)).expect("nodata");
        });
        let floats: Vec<Vec<f32>> =
            (0..3).map(|index| band(index).map(|value| f32::from(value) / 255.0).collect()).collect();
        write_bands(&work.path("floats.tif"), SIZE, &floats, |dataset| {
            place(dataset);
            dataset.rasterband(1).expect("a band").set_no_data_value(Some(f64::NAN)).expect("nodata");
        });
        let copy = |from: &str, driver: &str, options: &[&str]| {
            copied(&work.path(from), &work.path("copy.tif"), driver, options)
        };
        vec![
            std::fs::read(work.path("bytes.tif")).expect("a scene"),
            copy(
                "bytes.tif",
                "GTiff",
                &["TILED=YES", "BLOCKXSIZE=16", "BLOCKYSIZE=16", "COMPRESS=DEFLATE", "PREDICTOR=2"],
            ),
            copy("bytes.tif", "GTiff", &["INTERLEAVE=BAND", "COMPRESS=PACKBITS", "BLOCKYSIZE=8", "ENDIANNESS=BIG"]),
            copy(
                "bytes.tif",
                "GTiff",
                &["COMPRESS=JPEG", "PHOTOMETRIC=YCBCR", "TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=32"],
            ),
            copy("words.tif", "GTiff", &["COMPRESS=LZW", "PREDICTOR=2", "BLOCKYSIZE=5"]),
            copy("words.tif", "COG", &["BLOCKSIZE=128"]),
            copy("floats.tif", "GTiff", &["BIGTIFF=YES", "COMPRESS=DEFLATE", "PREDICTOR=3", "BLOCKYSIZE=9"]),
            copy(
                "floats.tif",
                "GTiff",
                &["BIGTIFF=YES", "ENDIANNESS=BIG", "TILED=YES", "BLOCKXSIZE=32", "BLOCKYSIZE=16"],
            ),
        ]
    })
}

/// A sound scene.
pub fn of_noise(width: usize, height: usize) -> Vec<u8> {
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), width, height);
    std::fs::read(work.path("scene.tif")).expect("a scene")
}

fn copied(from: &Path, to: &Path, driver: &str, options: &[&str]) -> Vec<u8> {
    let driver = DriverManager::get_driver_by_name(driver).expect(driver);
    let options = RasterCreationOptions::from_iter(options.iter().copied());
    Dataset::open(from).expect("a scene").create_copy(&driver, to, &options).expect("a copy").close().expect("a copy");
    std::fs::read(to).expect("a copy")
}

pub fn case(dice: &mut Dice) -> Case {
    let mut scene = dice.pick(seeds());
    mutate(&mut scene, dice);
    let more = dice.pick(&[
        "",
        "",
        "",
        "--polygons out/polygons.gpkg --scores out/scores.tif",
        "--preview out/preview.png --report out/report.html",
        "--resolution 0.9m",
        "--aoi area.geojson",
        "--stretch percentile",
        "--bands 1,1,1 --stretch min-max",
    ]);
    of_scene(&scene, more)
}

/// What is mutated, as it is.
pub fn sound() -> Vec<Case> {
    seeds().iter().map(|scene| of_scene(scene, "--aoi area.geojson --polygons out/polygons.fgb")).collect()
}

fn of_scene(scene: &[u8], more: &str) -> Case {
    let work = Workdir::new();
    work.write("scene.tif", scene);
    work.write("area.geojson", vectors::AREA);
    let words = "segment scene.tif --model fake:identity -c red;green;blue -o out/labels.tif --memory 500MB";
    Case::new(work, &format!("{words} {more}"))
}

/// Where a directory's entry lies, and what it says.
#[derive(Clone)]
struct Entry {
    at: usize,
    tag: u64,
    /// Where its values lie, and how many bytes they take.
    values: (usize, usize),
}

/// How numbers lie in a TIFF.
struct Layout {
    big: bool,
    wide: bool,
}

impl Layout {
    fn number(&self, bytes: &[u8], at: usize, width: usize) -> u64 {
        let read = bytes.get(at..at + width).unwrap_or_default().iter();
        let join = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
        if self.big { read.fold(0, join) } else { read.rev().fold(0, join) }
    }

    /// Bytes of an entry, and of an offset in it.
    fn widths(&self) -> (usize, usize) {
        if self.wide { (20, 8) } else { (12, 4) }
    }
}

/// All entries of a sound file, and where the directories' own links lie.
fn entries(bytes: &[u8]) -> (Layout, Vec<Entry>, Vec<usize>) {
    let big = bytes.starts_with(b"MM");
    let wide = bytes.get(if big { 3 } else { 2 }) == Some(&43);
    let layout = Layout { big, wide };
    let (entry, offset) = layout.widths();
    let mut link = if wide { 8 } else { 4 };
    let (mut found, mut links) = (Vec::new(), vec![link]);
    while links.len() < 9 {
        let directory = layout.number(bytes, link, offset) as usize;
        if directory == 0 || directory >= bytes.len() {
            break;
        }
        let head = if wide { 8 } else { 2 };
        let count = layout.number(bytes, directory, head) as usize;
        for index in 0..count.min(100) {
            let at = directory + head + index * entry;
            let size = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8];
            let size = size.get(layout.number(bytes, at + 2, 2) as usize).copied().unwrap_or(0);
            let len = size * layout.number(bytes, at + 4, offset) as usize;
            let inside = at + 4 + offset;
            let start = if len <= offset { inside } else { layout.number(bytes, inside, offset) as usize };
            found.push(Entry { at, tag: layout.number(bytes, at, 2), values: (start, len) });
        }
        link = directory + head + count * entry;
        links.push(link);
    }
    (layout, found, links)
}

/// Tags that a reader acts on: sizes, tables, compression, samples, georeference, nodata.
const TAGS: [u64; 32] = [
    254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330, 338, 339, 347,
    530, 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113,
];

/// Does one thing to a sound TIFF, sometimes two or three.
pub fn mutate(file: &mut Vec<u8>, dice: &mut Dice) {
    let (layout, entries, links) = entries(file);
    let (_, offset) = layout.widths();
    for _ in 0..dice.pick(&[1, 1, 1, 2, 3]) {
        let entry = dice.pick(&entries);
        let number = match dice.below(3) {
            0 => dice.below(file.len() + 100) as u64,
            1 => entry.at as u64,
            _ => dice.pick(&NUMBERS),
        };
        match dice.below(14) {
            0 => bytes::put(file, entry.at, dice.pick(&TAGS), 2, layout.big),
            1 => bytes::put(file, entry.at + 2, dice.below(20) as u64, 2, layout.big),
            2 => bytes::put(file, entry.at + 4, number, offset, layout.big),
            3 => bytes::put(file, entry.at + 4 + offset, number, offset, layout.big),
            4 => bytes::put(file, dice.pick(&links), number, offset, layout.big),
            // Width, height, strips and tiles alone.
            5 | 6 => {
                let sizes: Vec<&Entry> =
                    entries.iter().filter(|entry| [256, 257, 277, 278, 322, 323].contains(&entry.tag)).collect();
                let value = dice.pick(&[0, 1, 13, 59, 61, 4096, 40_000, 65_535, 1_000_003, 0x7fff_ffff, 0xffff_ffff]);
                bytes::put(file, dice.pick(&sizes).values.0, value, 4, layout.big);
            }
            // A number inside a table, or a character of a text.
            7..=9 if entry.values.1 > 0 => {
                let (start, len) = entry.values;
                let width = dice.pick(&[1, 2, 4, 8]);
                let value = if dice.one_in(4) { f64::NAN.to_bits() } else { number };
                bytes::put(file, start + dice.below(len) / width * width, value, width, layout.big);
            }
            // What one entry says becomes another's.
            10 => {
                let other = dice.pick(&entries).at;
                let copy = file.get(other + 2..other + 4 + 2 * offset).unwrap_or_default().to_vec();
                let room = file.get_mut(entry.at + 2..).unwrap_or_default();
                let len = room.len().min(copy.len());
                room[..len].copy_from_slice(&copy[..len]);
            }
            11 => bytes::mutate(file, 0..16, dice),
            12 => {
                let cut = dice.below(file.len() + 1);
                file.truncate(cut);
            }
            _ => bytes::mutate(file, bytes::ALL, dice),
        }
        if file.is_empty() {
            return;
        }
    }
}
