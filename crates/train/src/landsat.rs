//! Weak labels for pieces of a Landsat scene, by rules that hold for what is seen in them.
//!
//! Only the visible bands are there, so colours decide what they can: open water is bluer than red and smooth, closed
//! forest is dark and green over a whole neighbourhood. City and farmland cannot be told by a pixel's colour; their ground
//! was outlined by eye, as boxes. All else stays unlabelled.
//!
//! How dark woods and how blue water are is the stretch's doing as much as theirs: the pieces are labelled under one stretch, and a
//! block of one of them, which no training is told of, is shown under several for validation.

use std::path::Path;

use segearth::error::Result;
use segearth::geom::Window;
use segearth::raster::{self, SceneReader};
use segearth::scene::{SceneInfo, StretchMethod, StretchPlan};
use segearth::train::pyramid::{Pyramid, Raster};

use super::data::{Picture, Split, Truth};
use super::words::{CITY, FIELDS, FOREST, Label, UNLABELLED, WATER};

/// Ground of one kind in a piece: `[left, top, right, bottom]` in its pixels.
type Outline = (Label, [usize; 4]);

/// The pieces by file name, with what was outlined in each: paths 224/077 and 224/078, without the sample scene's ground.
const OUTLINES: [(&str, &[Outline]); 2] = [
    (
        "p224r077_bgr_without_sample.tif",
        &[
            (FIELDS, [100, 40, 1060, 1130]),
            (FIELDS, [1060, 380, 1370, 800]),
            (FIELDS, [1500, 0, 1990, 520]),
            (CITY, [1230, 814, 1262, 855]),
            (CITY, [1367, 1420, 1397, 1450]),
            (CITY, [1354, 1379, 1396, 1412]),
        ],
    ),
    (
        "p224r078_bgr_without_sample.tif",
        &[
            (FIELDS, [0, 80, 600, 620]),
            (FIELDS, [0, 1000, 400, 1180]),
            (FIELDS, [1470, 900, 1920, 1560]),
            (CITY, [489, 1440, 619, 1700]),
            (CITY, [1982, 941, 2040, 1025]),
            (CITY, [1944, 992, 2003, 1025]),
            (CITY, [1456, 1267, 1499, 1353]),
        ],
    ),
];

/// The block for validation, in pixels of the second piece: water, forest and fields.
const HELD_OUT: (usize, Window) = (1, Window { col: 1460, row: 420, width: 580, height: 700 });
/// The stretches under which it is shown, as percentiles and gamma: a job's default, brighter, those of scenes in which little is very
/// bright, and of one with so much woodland that most of it is cut off as black.
const STRETCHES: [(f64, f64, f64); 5] =
    [(2.0, 98.0, 1.0), (2.0, 98.0, 0.7), (1.0, 99.9, 0.7), (0.1, 99.9, 0.7), (10.0, 98.0, 0.7)];

/// Side of the neighbourhood that must agree on water or forest, less one, halved.
const REACH: usize = 2;

/// The known pieces in a folder, with a label for each pixel: stretched as they are labelled, without labels where the block for
/// validation is, and that block under several stretches.
pub fn pieces(folder: &Path) -> Result<Split> {
    raster::init();
    let mut split = Split::default();
    for (number, (name, outlines)) in OUTLINES.into_iter().enumerate() {
        let info = raster::inspect(folder.join(name))?;
        let (width, height) = (info.size.width, info.size.height);
        let whole = Window { col: 0, row: 0, width, height };
        let (raster, valid) = read(&info, whole, (1.0, 99.0, 1.0))?;
        let mut labels = label(&raster, &valid, outlines);
        if number == HELD_OUT.0 {
            let block = HELD_OUT.1;
            let mut known = Vec::with_capacity(block.width * block.height);
            for row in block.row..block.row + block.height {
                let labels = &mut labels[row * width + block.col..][..block.width];
                known.extend_from_slice(labels);
                labels.fill(UNLABELLED);
            }
            for stretch in STRETCHES {
                split.validation.push(picture(read(&info, block, stretch)?.0, known.clone()));
            }
        }
        split.train.push(picture(raster, labels));
    }
    Ok(split)
}

fn picture(raster: Raster, labels: Vec<u8>) -> Picture {
    Picture { pyramid: Pyramid::new(raster), truth: Truth::Pixels(labels), gsd: 30.0 }
}

/// A window of a piece as red, green and blue, with which of its pixels hold data; the percentiles are the whole piece's.
fn read(info: &SceneInfo, window: Window, (low, high, gamma): (f64, f64, f64)) -> Result<(Raster, Vec<bool>)> {
    let plan = StretchPlan { method: StretchMethod::Percentile { low, high }, joint: false, gamma };
    let tile = SceneReader::open(info, [3, 2, 1], &plan)?.read(window)?;
    let area = window.width * window.height;
    let rgb = (0..area).flat_map(|at| [0, 1, 2].map(|channel| tile.rgb[channel * area + at].round() as u8)).collect();
    let valid = tile.valid.unwrap_or_else(|| vec![true; area]);
    Ok((Raster { width: window.width, height: window.height, rgb }, valid))
}

fn label(raster: &Raster, valid: &[bool], outlines: &[Outline]) -> Vec<u8> {
    let (width, height) = (raster.width, raster.height);
    let guess: Vec<Guess> = raster.rgb.chunks_exact(3).zip(valid).map(|(rgb, valid)| Guess::of(rgb, *valid)).collect();
    let mut labels = vec![UNLABELLED; width * height];
    for (label, [left, top, right, bottom]) in outlines {
        for row in *top..(*bottom).min(height) {
            for col in *left..(*right).min(width) {
                let at = row * width + col;
                // Dark pixels among fields may be woods, among houses parks: undecided.
                if guess[at] == Guess::Bright {
                    labels[at] = *label as u8;
                }
            }
        }
    }
    for row in REACH..height - REACH {
        for col in REACH..width - REACH {
            let around = |kind: Guess| {
                (row - REACH..=row + REACH).all(|row| {
                    guess[row * width + col - REACH..=row * width + col + REACH].iter().all(|it| *it == kind)
                })
            };
            let at = row * width + col;
            if guess[at] == Guess::Blue && around(Guess::Blue) {
                labels[at] = WATER as u8;
            } else if guess[at] == Guess::DarkGreen && around(Guess::DarkGreen) {
                // Between fields, only what is too dark to be a crop.
                let farmed = labels_of_fields(outlines, row, col);
                let brightest = raster.rgb[at * 3..at * 3 + 3].iter().max().copied().unwrap_or(0);
                labels[at] = if farmed && brightest > 46 { UNLABELLED } else { FOREST as u8 };
            }
        }
    }
    labels
}

fn labels_of_fields(outlines: &[Outline], row: usize, col: usize) -> bool {
    outlines.iter().any(|(label, [left, top, right, bottom])| {
        *label == FIELDS && (*left..*right).contains(&col) && (*top..*bottom).contains(&row)
    })
}

/// What a pixel's colour alone suggests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guess {
    Nodata,
    Blue,
    DarkGreen,
    Dim,
    Bright,
}

impl Guess {
    fn of(rgb: &[u8], valid: bool) -> Self {
        let [red, green, blue] = [0, 1, 2].map(|channel| i32::from(rgb[channel]));
        let brightest = red.max(green).max(blue);
        if !valid {
            Self::Nodata
        } else if blue >= red + 28 && blue + 4 >= green && red < 110 {
            Self::Blue
        } else if brightest < 66 && green + 2 >= red && green + 10 >= blue {
            Self::DarkGreen
        } else if brightest < 80 {
            Self::Dim
        } else {
            Self::Bright
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_speak_only_where_they_can() {
        assert_eq!(Guess::of(&[35, 92, 115], true), Guess::Blue);
        assert_eq!(Guess::of(&[12, 30, 22], true), Guess::DarkGreen);
        assert_eq!(Guess::of(&[60, 140, 70], true), Guess::Bright);
        assert_eq!(Guess::of(&[12, 30, 22], false), Guess::Nodata);
    }
}
