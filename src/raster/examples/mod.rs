//! Examples of classes on a scene: features of a vector file, or blocks of a label raster, as pixels of the grid that the
//! model sees.
//!
//! ```text
//!  features ─► shape (polygons, lines, points) ─► placement (CRS, grid) ─► pixels ─► conflicts ─┐
//!  label raster ─► blocks on the scene's grid ─► pixels ────────────────────────────────────────┴─► Examples
//! ```
//!
//! Every example gives a bounded number of pixels, evenly spread over it, so that a large polygon does not outvote small
//! ones; memory does not depend on the size of a polygon. Which pixels hold data is not known here.

mod conflicts;
mod features;
mod label_blocks;
mod placement;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use super::{burn, layer};
use crate::error::{Error, Result};
use crate::scene::SceneInfo;
pub use features::read_places;

/// More classes than this are taken for a mistake, such as a field that numbers the features.
const MAX_CLASSES: usize = 1024;
/// Limit of the pixels of all examples together: some 500 MB while they are compared.
const MAX_PIXELS: usize = 5_000_000;
/// The field for an example's class where none is named: the one that this program writes.
const CLASS_FIELD: &str = "class";

/// Where examples come from.
#[derive(Clone, Copy, Debug)]
pub struct ExampleSource<'a> {
    /// A vector file, or a label raster in any CRS and on any grid.
    pub path: &'a Path,
    /// A layer of a vector file; `None`: its only one.
    pub layer: Option<&'a str>,
    /// The field with the class, of a vector file; `None`: the field `class`.
    pub class_field: Option<&'a str>,
    /// The classes of a label raster's codes; `None`: the names in the file, else the values.
    pub codes: Option<&'a LabelCodes>,
    /// Radius in metres of the disc that a point stands for (in pixels where the scene has no CRS); 0: its pixel alone.
    pub radius: f64,
    /// Most pixels that are taken of one example, at least 1.
    pub most: usize,
}

/// The classes of a label raster's codes; `None` in place of a class: pixels of this code are no examples. A code that is in
/// none of the three is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelCodes {
    pub values: HashMap<i64, Option<String>>,
    /// By red, green, blue.
    pub colours: HashMap<[u8; 3], Option<String>>,
    /// By the name that the file gives a value, in lower case.
    pub names: HashMap<String, Option<String>>,
}

/// One example: a feature, or the pixels of one class in a block of a label raster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The feature's place in the file's order, the same on every scene; of a label raster, the place in the list.
    pub id: u64,
    /// Index into [`Examples::classes`].
    pub class: usize,
    /// For messages: `feature 12`, `block at column 128, row 64`.
    pub name: String,
    /// (column, row) in the scene's grid, at least one, each once over all examples.
    pub pixels: Vec<[usize; 2]>,
}

/// The examples on a scene.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Examples {
    /// All classes of the file, whether they have examples on this scene or not, in the order of their first feature (of a
    /// label raster: in the order of their first pixel). Names that differ only in case are one class, as first written.
    pub classes: Vec<String>,
    pub examples: Vec<Example>,
    pub skipped: Skipped,
}

/// What is left out of the examples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// The ids of features that have no pixel in the scene and its area of interest.
    pub outside: Vec<u64>,
    /// Those of them whose CRS has degrees, and whose coordinates are too large for degrees.
    pub no_degrees: u64,
    /// Features whose class is empty.
    pub without_class: u64,
    /// Features without a geometry.
    pub without_geometry: u64,
    /// Pixels that belong to examples of several classes: they are in none.
    pub conflicting_pixels: u64,
    /// The ids of features of which no pixel is left, because all conflict or are in another example of the same class.
    pub nothing_left: Vec<u64>,
    /// Pixels of several examples of one class: they are in the first alone.
    pub duplicate_pixels: u64,
}

/// The command that makes a file with a CRS of one that lacks it: the scene's, where that has a code.
pub fn assign_crs_command(path: &Path, scene: Option<&SceneInfo>) -> String {
    layer::to_geopackage(path, scene.and_then(placement::crs_code), None)
}

/// The examples of a file on a scene, whose size and georeference are those of the grid that the model sees.
///
/// A scene without a georeference takes coordinates without a CRS for (column, row) from the upper left corner, as the
/// program writes them for such a scene.
///
/// # Errors
/// [`Kind::Input`](crate::error::Kind::Input): the file, a feature or a pixel cannot be read; the layer or field is missing
/// or has to be named; the examples or the scene have no CRS and the other has; a geometry or code of an unknown kind; more
/// than 1024 classes or 5 million pixels.
pub fn read_examples(source: &ExampleSource<'_>, scene: &SceneInfo) -> Result<Examples> {
    let path = source.path;
    if source.layer.is_some() || burn::is_vector(path) || !super::open::is_raster(path) {
        return features::read(source, scene);
    }
    if let Some(field) = source.class_field {
        return Err(Error::input(format!("{} is a raster, which has no field {field:?}", path.display()))
            .with_hint("Give a vector file, or leave the field out: the classes of a label raster are its values."));
    }
    label_blocks::read(source, scene)
}

/// The classes by name, in the order in which they were met.
#[derive(Default)]
struct ClassList {
    names: Vec<String>,
    by_name: HashMap<String, usize>,
}

impl ClassList {
    /// The index of a class.
    ///
    /// # Errors
    /// There are more than [`MAX_CLASSES`].
    fn index(&mut self, name: &str) -> Result<usize> {
        let name = name.trim();
        let key = name.to_lowercase();
        if let Some(index) = self.by_name.get(&key) {
            return Ok(*index);
        }
        if self.names.len() == MAX_CLASSES {
            return Err(Error::input(format!("there are more than {MAX_CLASSES} different classes"))
                .with_hint("Check that the field or raster holds classes, and not numbers of features."));
        }
        self.by_name.insert(key, self.names.len());
        self.names.push(name.to_owned());
        Ok(self.names.len() - 1)
    }
}

/// Refuses more pixels than are compared in memory.
fn check_pixels(count: usize) -> Result<()> {
    match count <= MAX_PIXELS {
        true => Ok(()),
        false => Err(Error::input(format!("the examples have more than {MAX_PIXELS} pixels"))
            .with_hint("Give fewer examples: some hundred of each class are enough.")),
    }
}
