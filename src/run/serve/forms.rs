//! What requests say and responses look like, as JSON.

use serde::{Deserialize, Serialize};
use serde_yaml::{Mapping, Value};

use crate::error::{Error, Result};
use crate::serve::ClassEntry;

/// `PUT /api/classes`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassesForm {
    /// The revision that the client has changed; `None`: whatever it is.
    #[serde(default)]
    pub revision: Option<u64>,
    pub classes: Vec<ClassEntry>,
    #[serde(default)]
    pub background: Option<u64>,
    #[serde(default)]
    pub threshold: f64,
}

/// `POST /api/scenes/N/view`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewForm {
    pub client: String,
    /// Left, bottom, right, top on the map.
    pub bounds: [f64; 4],
}

/// `POST /api/examples`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleForm {
    pub scene: usize,
    pub class: u64,
    /// On the map.
    #[serde(default)]
    pub point: Option<[f64; 2]>,
    #[serde(default)]
    pub polygon: Option<Vec<[f64; 2]>>,
}

/// `PUT /api/look`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookForm {
    /// Three bands, or none: as the scene says.
    #[serde(default)]
    pub bands: Option<Vec<String>>,
    #[serde(default)]
    pub stretch: Option<String>,
}

/// `PUT /api/background`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackgroundForm {
    #[serde(default)]
    pub xyz: Option<String>,
}

/// Which outputs a run or a saved job makes. Labels are always made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputsChoice {
    pub scores: bool,
    pub confidence: bool,
    pub margin: bool,
    pub preview: bool,
    pub report: bool,
    /// `plain`, `buildings`, `roads`, `water` or `landcover`.
    pub polygons: Option<String>,
}

/// `POST /api/runs`, `POST /api/jobs`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobForm {
    /// The name of a saved job.
    pub name: Option<String>,
    /// Replace a saved job of this name.
    pub replace: bool,
    /// `None`: those of the job that was opened, else labels alone.
    pub outputs: Option<OutputsChoice>,
}

pub const RECIPES: [&str; 5] = ["plain", "buildings", "roads", "water", "landcover"];

impl OutputsChoice {
    /// The outputs as keys of a job.
    ///
    /// # Errors
    /// The recipe is none.
    pub fn keys(&self) -> Result<Mapping> {
        let named = [
            ("scores", self.scores),
            ("confidence", self.confidence),
            ("margin", self.margin),
            ("preview", self.preview),
            ("report", self.report),
        ];
        let wanted = named.into_iter().filter(|(_, wanted)| *wanted);
        let mut keys: Mapping = wanted.map(|(key, _)| (key.into(), Value::Bool(true))).collect();
        match self.polygons.as_deref() {
            None | Some("") => {}
            Some(recipe) if RECIPES.contains(&recipe) => {
                let recipe = Mapping::from_iter([("recipe".into(), Value::String(recipe.to_owned()))]);
                keys.insert("polygons".into(), Value::Mapping(recipe));
            }
            Some(other) => {
                return Err(Error::input(format!("{other:?} is not a recipe"))
                    .with_hint(format!("Recipes are {}.", RECIPES.join(", "))));
            }
        }
        Ok(keys)
    }
}

/// A class in numbers.
#[derive(Clone, Debug, Serialize)]
pub struct ClassNumbers {
    pub name: String,
    pub colour: String,
    pub pixels: u64,
    /// Of the pixels that have a label, 0..=1.
    pub share: f64,
    /// Square metres; `None`: no CRS says how large pixels are.
    pub area: Option<f64>,
}

/// `#3b82f6`
pub fn hex([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A share as it was written, without the digits that float32 adds.
pub fn decimal(share: f32) -> f64 {
    share.to_string().parse().unwrap_or_else(|_| f64::from(share))
}
