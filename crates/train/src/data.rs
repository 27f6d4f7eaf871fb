//! The pictures to learn from, decoded once and kept in memory, and how they are split.
//!
//! Each set has three parts. Training; validation, by which recipes and weights are chosen; and test, which is computed once for
//! published figures. Wherever a set names its places, whole places are held out:
//!
//! | set | validation | test |
//! |---|---|---|
//! | UC Merced | pictures 4 and 14, 24, … of each folder | every fifth picture of each folder |
//! | Dubai | tile 1 | tiles 2 and 3 |
//! | drone buildings and roads | the north of Banepa | Catanduanes, and the second flight over Banepa |
//! | Monterey | the stretch of columns 9,000 to 12,200 | the stretch of rows 3,600 to 7,300 |
//! | coast | 8 October 2018 | 9 May 2020 |
//! | tree crowns | none | none |
//! | Landsat pieces | a block of the second, under several stretches | none |
//! | EuroSAT | pictures 4, 24, 44, … of each folder | every fifth picture of each folder |
//!
//! EuroSAT's files do not say where they are, so that its held-out pictures are no whole places. Roads are drawn in some of the drone
//! images of each part ([`super::roads`]).

use std::path::{Path, PathBuf};

use segearth::error::{Context, Error, Result};
use segearth::raster;
use segearth::train::pyramid::{Pyramid, Raster};
use tch::{Kind, Tensor, vision};

use super::roads::Roads;
use super::words::{
    self, BUILDING, DUNE, DUNE_SCRUB, EUROSAT, FIELDS, FOREDUNE, FOREST, LAND, MARSH, NO_BUILDING, NO_WATER, PAVEMENT,
    PICTURE_LABELS, ROAD, SAND, SPARSE_SCRUB, UNLABELLED, VEGETATION, WATER, YARDS,
};

/// Dubai tiles of the test.
pub const TEST_TILES: [&str; 2] = ["tile2", "tile3"];
/// Dubai's tile for validation.
const VALIDATION_TILE: &str = "tile1";
/// One of this many pictures of a folder is for the test.
const TEST_EVERY: usize = 5;

/// Mask colours of the Dubai set; all others are unlabelled.
const DUBAI_COLOURS: [([u8; 3], words::Label); 5] = [
    ([0x3C, 0x10, 0x98], BUILDING),
    ([0x84, 0x29, 0xF6], LAND),
    ([0x6E, 0xC1, 0xE4], ROAD),
    ([0xFE, 0xDD, 0x3A], VEGETATION),
    ([0xE2, 0xA9, 0x29], WATER),
];

/// CLIP's normalisation, in values of 0..=255.
pub const MEAN: [f32; 3] = [122.771, 116.746, 104.094];
pub const DEVIATION: [f32; 3] = [68.501, 66.632, 70.323];

/// The prompts of the Dubai set's classes.
pub const DUBAI_CLASSES: [(&str, &[&str], usize); 5] = [
    ("building", &["building", "house", "roof"], BUILDING),
    ("land", &["land", "bare soil", "desert"], LAND),
    ("road", &["road", "street"], ROAD),
    ("vegetation", &["vegetation"], VEGETATION),
    ("water", &["water"], WATER),
];

/// The prompts of UC Merced's classes, in the order of the labels.
pub const MERCED_CLASSES: [&str; 21] = [
    "agricultural",
    "airplane",
    "baseball diamond",
    "beach",
    "buildings",
    "chaparral",
    "dense residential",
    "forest",
    "freeway",
    "golf course",
    "harbor",
    "intersection",
    "medium residential",
    "mobile home park",
    "overpass",
    "parking lot",
    "river",
    "runway",
    "sparse residential",
    "storage tanks",
    "tennis court",
];

/// The prompts of EuroSAT's classes, in the order of the labels.
pub const EUROSAT_CLASSES: [&str; 10] = [
    "annual crop land",
    "forest",
    "herbaceous vegetation land",
    "highway",
    "industrial buildings",
    "pasture land",
    "permanent crop land",
    "residential area",
    "river",
    "sea or lake",
];

/// What is known of a picture.
#[derive(Clone, Debug)]
pub enum Truth {
    /// One label for the whole picture.
    Picture(u8),
    /// A label for each pixel, (row, column).
    Pixels(Vec<u8>),
}

#[derive(Clone, Debug)]
pub struct Picture {
    pub pyramid: Pyramid,
    pub truth: Truth,
    /// Metres in a pixel, about.
    pub gsd: f32,
}

impl Picture {
    pub fn full(&self) -> &Raster {
        self.pyramid.full()
    }
}

/// What a picture is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Train,
    Validation,
    Test,
}

#[derive(Clone, Debug, Default)]
pub struct Split {
    pub train: Vec<Picture>,
    pub validation: Vec<Picture>,
    pub test: Vec<Picture>,
}

impl Split {
    fn push(&mut self, part: Part, picture: Picture) {
        match part {
            Part::Train => self.train.push(picture),
            Part::Validation => self.validation.push(picture),
            Part::Test => self.test.push(picture),
        }
    }
}

/// All sets.
#[derive(Debug)]
pub struct Data {
    pub merced: Split,
    pub dubai: Split,
    pub buildings: Split,
    pub monterey: Split,
    pub coast: Split,
    pub crowns: Split,
    pub eurosat: Split,
    /// Empty until [`super::landsat::pieces`] has read them.
    pub landsat: Split,
}

impl Data {
    /// A folder with the sets' folders; a set that is not there is empty, but for UC Merced and Dubai.
    pub fn read(root: &Path) -> Result<Self> {
        raster::init();
        let there = |name: &str| Some(root.join(name)).filter(|folder| folder.is_dir());
        let masked = |name: &str, codes: &[(u8, usize)], gsd: f32, part: fn(&str) -> Part| match there(name) {
            Some(folder) => masks(&folder, codes, gsd, part, |_, _| Ok(())),
            None => Ok(Split::default()),
        };
        Ok(Self {
            merced: uc_merced(&root.join("ucmerced"))?,
            dubai: dubai(&root.join("dubai"))?,
            buildings: there("oam_buildings").map_or_else(|| Ok(Split::default()), |folder| drone_images(&folder))?,
            monterey: masked("usgs_monterey_ortho", &MONTEREY_CODES, 0.35, monterey_part)?,
            coast: masked("usgs_coast_water", &[(0, WATER), (2, NO_WATER)], 0.35, coast_part)?,
            crowns: masked("neon_tree_crowns", &[(1, FOREST)], 0.1, |_| Part::Train)?,
            eurosat: there("eurosat").map_or_else(|| Ok(Split::default()), |folder| eurosat(&folder))?,
            landsat: Split::default(),
        })
    }
}

/// Monterey's codes. Marsh and vegetated dunes are what they look like; iceplant is a plant.
const MONTEREY_CODES: [(u8, usize); 11] = [
    (1, WATER),
    (2, MARSH),
    (3, FIELDS),
    (4, SAND),
    (5, FOREDUNE),
    (6, DUNE_SCRUB),
    (7, SPARSE_SCRUB),
    (8, DUNE),
    (9, DUNE_SCRUB),
    (10, PAVEMENT),
    (11, YARDS),
];

/// Of drone images, whose names begin with the place.
pub fn buildings_part(name: &str) -> Part {
    match name {
        name if name.starts_with("catanduanes") || name.starts_with("banepa2") => Part::Test,
        name if name.starts_with("banepa_north") => Part::Validation,
        _ => Part::Train,
    }
}

/// Names are `ortho_ROW_COLUMN_…` in pixels of the whole mosaic.
fn monterey_part(name: &str) -> Part {
    let mut numbers = name.split('_').filter_map(|part| part.parse::<u32>().ok());
    let (row, col) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    match () {
        () if (3_600..7_300).contains(&row) => Part::Test,
        () if row > 14_000 && (9_000..12_200).contains(&col) => Part::Validation,
        () => Part::Train,
    }
}

fn coast_part(name: &str) -> Part {
    let day: String = name.chars().filter(char::is_ascii_digit).take(8).collect();
    match day.as_str() {
        "20200509" => Part::Test,
        "20181008" => Part::Validation,
        _ => Part::Train,
    }
}

/// Masks of buildings, and the roads that were drawn by hand.
fn drone_images(folder: &Path) -> Result<Split> {
    let roads = Roads::drawn()?;
    let draw = |name: &str, labels: &mut [u8]| roads.draw(name, labels);
    masks(folder, &[(0, NO_BUILDING), (1, BUILDING)], 0.14, buildings_part, draw)
}

/// A flat folder of pictures with palette masks of the same names; `codes`: from a mask's value to a label; `change` is given each
/// picture's name and labels.
fn masks(
    folder: &Path,
    codes: &[(u8, usize)],
    gsd: f32,
    part: fn(&str) -> Part,
    change: impl Fn(&str, &mut [u8]) -> Result<()>,
) -> Result<Split> {
    let mut split = Split::default();
    for path in sorted(folder)?.into_iter().filter(|path| path.extension().is_some_and(|it| it == "jpg")) {
        let raster = read_raster(&path)?;
        let mask = read_indices(&path.with_extension("png"))?;
        if mask.len() != raster.width * raster.height {
            return Err(Error::input(format!("the mask of {} has another size", path.display())));
        }
        let label = |code: &u8| codes.iter().find(|(known, _)| known == code).map_or(UNLABELLED, |(_, it)| *it as u8);
        let mut labels: Vec<u8> = mask.iter().map(label).collect();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        change(&name, &mut labels)?;
        let truth = Truth::Pixels(labels);
        split.push(part(&name), Picture { pyramid: Pyramid::new(raster), truth, gsd });
    }
    Ok(split)
}

/// The values of a palette image as they are in the file, (row, column).
fn read_indices(path: &Path) -> Result<Vec<u8>> {
    let (_, values) = raster::label_thumbnail(path, usize::MAX)?;
    Ok(values.into_iter().map(|value| value as u8).collect())
}

/// Reads JPEG, PNG, BMP or TGA.
pub fn read_raster(path: &Path) -> Result<Raster> {
    let image = vision::image::load(path).input(|| format!("cannot read the picture {}", path.display()))?;
    let (_, height, width) = image.size3()?;
    let hwc = image.f_permute([1, 2, 0])?.f_contiguous()?.f_flatten(0, 2)?.f_to_kind(Kind::Uint8)?;
    Ok(Raster { width: width as usize, height: height as usize, rgb: Vec::<u8>::try_from(hwc)? })
}

/// A folder of pictures for each label: `first` is the first label, `every` the distance between pictures for validation.
fn folders(root: &Path, labels: std::ops::Range<usize>, gsd: f32, every: usize) -> Result<Split> {
    let mut split = Split::default();
    for folder in sorted(root)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let label = words::label_named(&name)
            .filter(|label| labels.contains(label))
            .ok_or_else(|| Error::input(format!("the folder {} is none of the set's classes", folder.display())))?;
        for (number, path) in sorted(&folder)?.into_iter().enumerate() {
            let pyramid = Pyramid::new(read_raster(&path)?);
            let part = match () {
                () if number % TEST_EVERY == TEST_EVERY - 1 => Part::Test,
                () if number % every == TEST_EVERY - 2 => Part::Validation,
                () => Part::Train,
            };
            split.push(part, Picture { pyramid, truth: Truth::Picture(label as u8), gsd });
        }
    }
    Ok(split)
}

/// The folder-per-class UC Merced set.
fn uc_merced(root: &Path) -> Result<Split> {
    folders(root, 0..PICTURE_LABELS, 0.3, 10)
}

/// The folder-per-class EuroSAT set.
fn eurosat(root: &Path) -> Result<Split> {
    folders(root, EUROSAT..EUROSAT + words::EUROSAT_LABELS, 10.0, 20)
}

/// The Dubai set: tiles of pictures with masks of the same name.
fn dubai(root: &Path) -> Result<Split> {
    let mut split = Split::default();
    for folder in sorted(root)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let part = match name.as_str() {
            VALIDATION_TILE => Part::Validation,
            name if TEST_TILES.contains(&name) => Part::Test,
            _ => Part::Train,
        };
        for path in sorted(&folder)?.into_iter().filter(|path| path.extension().is_some_and(|it| it == "jpg")) {
            let (raster, mask) = (read_raster(&path)?, read_raster(&path.with_extension("png"))?);
            if (raster.width, raster.height) != (mask.width, mask.height) {
                return Err(Error::input(format!("the mask of {} has another size", path.display())));
            }
            let truth = Truth::Pixels(mask.rgb.chunks_exact(3).map(dubai_label).collect());
            split.push(part, Picture { pyramid: Pyramid::new(raster), truth, gsd: 0.5 });
        }
    }
    Ok(split)
}

fn dubai_label(colour: &[u8]) -> u8 {
    let known = DUBAI_COLOURS.iter().find(|(known, _)| known == colour);
    known.map_or(UNLABELLED, |(_, label)| *label as u8)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).input(|| format!("cannot list {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .input(|| format!("cannot list {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

/// All of a raster as a tensor, (1, 3, row, column), 0..=255, float32.
pub fn to_tensor(raster: &Raster) -> Result<Tensor> {
    let shape = [1, raster.height as i64, raster.width as i64, 3];
    Ok(Tensor::f_from_slice(&raster.rgb)?.f_reshape(shape)?.f_permute([0, 3, 1, 2])?.f_to_kind(Kind::Float)?)
}
