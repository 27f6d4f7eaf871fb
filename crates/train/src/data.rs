//! The pictures to learn from, decoded once and kept in memory, and which of them are held out.
//!
//! UC Merced: every fifth picture of each folder (in the order of names) is held out. Dubai: whole tiles are held out, the
//! two smallest, so that most pixels stay for training.

use std::path::{Path, PathBuf};

use segearth::error::{Context, Error, Result};
use segearth::train::pyramid::{Pyramid, Raster};
use tch::{Kind, Tensor, vision};

use super::words::{self, BUILDING, LAND, ROAD, UNLABELLED, VEGETATION, WATER};

/// Dubai tiles that are never trained on.
pub const HELD_OUT_TILES: [&str; 2] = ["tile2", "tile3"];
/// One of this many UC Merced pictures is never trained on.
pub const HELD_OUT_EVERY: usize = 5;

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
}

impl Picture {
    pub fn full(&self) -> &Raster {
        self.pyramid.full()
    }
}

#[derive(Clone, Debug, Default)]
pub struct Split {
    pub train: Vec<Picture>,
    pub held_out: Vec<Picture>,
}

/// Reads JPEG, PNG, BMP or TGA.
pub fn read_raster(path: &Path) -> Result<Raster> {
    let image = vision::image::load(path).input(|| format!("cannot read the picture {}", path.display()))?;
    let (_, height, width) = image.size3()?;
    let hwc = image.f_permute([1, 2, 0])?.f_contiguous()?.f_flatten(0, 2)?.f_to_kind(Kind::Uint8)?;
    Ok(Raster { width: width as usize, height: height as usize, rgb: Vec::<u8>::try_from(hwc)? })
}

/// The folder-per-class UC Merced set.
pub fn uc_merced(root: &Path) -> Result<Split> {
    let mut split = Split::default();
    for folder in sorted(root)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let label = words::label_named(&name)
            .filter(|label| *label < words::PICTURE_LABELS)
            .ok_or_else(|| Error::input(format!("the folder {} is none of UC Merced's classes", folder.display())))?;
        for (number, path) in sorted(&folder)?.into_iter().enumerate() {
            let pyramid = Pyramid::new(read_raster(&path)?);
            let picture = Picture { pyramid, truth: Truth::Picture(label as u8) };
            let part =
                if number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1 { &mut split.held_out } else { &mut split.train };
            part.push(picture);
        }
    }
    Ok(split)
}

/// The Dubai set: tiles of pictures with masks of the same name.
pub fn dubai(root: &Path) -> Result<Split> {
    let mut split = Split::default();
    for folder in sorted(root)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for path in sorted(&folder)?.into_iter().filter(|path| path.extension().is_some_and(|it| it == "jpg")) {
            let (raster, mask) = (read_raster(&path)?, read_raster(&path.with_extension("png"))?);
            if (raster.width, raster.height) != (mask.width, mask.height) {
                return Err(Error::input(format!("the mask of {} has another size", path.display())));
            }
            let truth = Truth::Pixels(mask.rgb.chunks_exact(3).map(dubai_label).collect());
            let picture = Picture { pyramid: Pyramid::new(raster), truth };
            let part = if HELD_OUT_TILES.contains(&name.as_str()) { &mut split.held_out } else { &mut split.train };
            part.push(picture);
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
