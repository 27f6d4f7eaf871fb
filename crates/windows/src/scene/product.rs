//! Options of vector products, shared by the command line, jobs and the vector module.

use std::path::PathBuf;

use super::ClassNames;
use crate::error::{Error, Result};

/// Extensions of vector files that can be written, the recommended one first.
pub const VECTOR_EXTENSIONS: &[&str] =
    &["gpkg", "fgb", "geojson", "json", "geojsonl", "geojsons", "ndjson", "shp", "parquet", "geoparquet"];

/// The kind of a vector product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recipe {
    /// Every region with the outline of its pixels.
    #[default]
    Plain,
    /// Squared outlines, one polygon a building.
    Buildings,
    /// Centre lines as a graph, with nodes and areas.
    Roads,
    /// Smooth polygons with islands; only new water where permanent water is given.
    Water,
    /// All classes as polygons that share their borders.
    Landcover,
}

use Recipe::{Buildings, Landcover, Plain, Roads, Water};

impl Recipe {
    pub fn name(self) -> &'static str {
        match self {
            Plain => "plain",
            Buildings => "buildings",
            Roads => "roads",
            Water => "water",
            Landcover => "landcover",
        }
    }

    /// Words in the names of the classes that the recipe is for; none: for all.
    fn words(self) -> &'static [&'static str] {
        match self {
            Plain | Landcover => &[],
            Buildings => &["building", "roof", "house"],
            Roads => &["road", "street", "highway"],
            Water => &["water", "flood", "river", "lake", "sea"],
        }
    }

    /// The values of the classes that the recipe works on. `names`: names of the values; `wanted`: names or values from
    /// the user; `owner`: the file or job, for messages.
    ///
    /// # Errors
    /// There is no such class, or none that the recipe recognises by its name.
    pub fn classes(self, names: &ClassNames, wanted: &[String], owner: &str) -> Result<Vec<i64>> {
        let listed = || match names.is_empty() {
            true => "it names none".to_string(),
            false => format!("it has {}", names.listed()),
        };
        let mut taken: Vec<i64> = Vec::new();
        for wanted in wanted {
            let mut values = names.values_of(wanted.trim());
            if values.is_empty() {
                let number = wanted.trim().parse().ok();
                values.extend(number.filter(|value| names.is_empty() || names.get(*value).is_some()));
            }
            if values.is_empty() {
                return Err(Error::input(format!("{owner} has no class {wanted}; {}", listed()))
                    .with_hint("Give a class by its name or its value."));
            }
            values.retain(|value| !taken.contains(value));
            taken.append(&mut values);
        }
        if !taken.is_empty() {
            return Ok(taken);
        }
        let words = self.words();
        if words.is_empty() {
            return Ok(names.iter().map(|(value, _)| value).collect());
        }
        let fits = |name: &str| {
            let name = name.to_lowercase();
            name.split(|c: char| !c.is_alphanumeric())
                .any(|part| words.iter().any(|word| part == *word || part == format!("{word}s")))
        };
        taken.extend(names.iter().filter(|(_, name)| fits(name)).map(|(value, _)| value));
        if taken.is_empty() {
            return Err(Error::input(format!("{owner} has no class called {}; {}", words.join(" or "), listed()))
                .with_hint(
                    "Name the classes with --class NAME or --class NUMBER, in a job with `classes` under `polygons`.",
                ));
        }
        Ok(taken)
    }
}

/// Whether a class is the background.
pub fn is_background(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("background")
}

/// Every length in metres, every area in m² (pixels without a CRS). `None`: the recipe's own value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProductOptions {
    /// Names or values of the classes; empty: those that the recipe recognises.
    pub classes: Vec<String>,
    /// Plain and land cover: also the background.
    pub keep_background: bool,
    /// Plain: pixels that share only a corner are connected.
    pub diagonal: bool,
    pub t_srs: Option<String>,
    pub layer_per_class: bool,
    /// Smaller polygons are dropped; in land cover they go to their largest neighbour. Plain and land cover by default: those of
    /// one pixel.
    pub min_area: Option<f64>,
    /// Holes up to this area are filled.
    pub max_hole: Option<f64>,
    /// Radius of an opening, which removes what is thinner than twice this.
    pub opening: Option<f64>,
    /// Radius of a closing, which fills gaps up to twice this.
    pub closing: Option<f64>,
    /// How far a border may move when it is simplified.
    pub tolerance: Option<f64>,
    /// Rounded borders.
    pub smooth: Option<bool>,
    /// Buildings: pixel outlines instead of squared ones.
    pub plain_outlines: bool,
    /// Buildings: least intersection over union of an outline with its pixels.
    pub least_iou: Option<f64>,
    /// Roads: widest gap to bridge.
    pub max_gap: Option<f64>,
    /// Roads: networks of less total length are dropped.
    pub min_length: Option<f64>,
    /// Roads: dead ends shorter than this are cut.
    pub min_spur: Option<f64>,
    /// Roads: path of the graph as GraphML.
    pub graph: Option<PathBuf>,
    /// Water: polygons to leave out, such as permanent water.
    pub subtract: Option<PathBuf>,
    /// Water: polygons of the zones.
    pub zones: Option<PathBuf>,
    /// The zones' field that names them; `None`: their first text field.
    pub zone_field: Option<String>,
    /// Path of the zones' table; `None`: NAME_zones.csv beside the result.
    pub zone_table: Option<PathBuf>,
    /// Further fields.
    pub fields: Vec<ExtraField>,
}

/// A field on request, the same for all features of a class: how it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraField {
    /// The name of the scene.
    Scene,
    /// The prompts of the class.
    Prompts,
}

impl ExtraField {
    pub fn name(self) -> &'static str {
        match self {
            Self::Scene => "scene",
            Self::Prompts => "prompts",
        }
    }
}

/// An option that does not fit, by its key in jobs; flags have hyphens for its underscores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOption {
    pub key: &'static str,
    pub message: String,
    pub hint: String,
}

const MASKS: &[Recipe] = &[Buildings, Roads, Water];

impl ProductOptions {
    /// Options whose number is out of range, or that the recipe does not support.
    pub fn invalid_options(&self, recipe: Recipe) -> Vec<InvalidOption> {
        let mut invalid_options = Vec::new();
        let numbers = [
            ("min_area", self.min_area),
            ("max_hole", self.max_hole),
            ("opening", self.opening),
            ("closing", self.closing),
            ("tolerance", self.tolerance),
            ("max_gap", self.max_gap),
            ("min_length", self.min_length),
            ("min_spur", self.min_spur),
            ("least_iou", self.least_iou),
        ];
        for (key, value) in numbers {
            let most = if key == "least_iou" { 1.0 } else { f64::MAX };
            if let Some(value) = value.filter(|value| !(0.0..=most).contains(value)) {
                let allowed = if key == "least_iou" { "it must be from 0 to 1" } else { "it must be 0 or more" };
                let message = format!("{} is {value}; {allowed}", key.replace('_', " "));
                invalid_options.push(InvalidOption {
                    key,
                    message,
                    hint: "Remove it to use the recipe's default.".into(),
                });
            }
        }
        for (key, given, recipes) in self.users() {
            if given && !recipes.contains(&recipe) {
                let names: Vec<&str> = recipes.iter().map(|recipe| recipe.name()).collect();
                invalid_options.push(InvalidOption {
                    key,
                    message: format!("{} is not supported by the recipe {}", key.replace('_', " "), recipe.name()),
                    hint: format!("It is for {}: leave it out, or choose that recipe.", names.join(", ")),
                });
            }
        }
        if self.zones.is_none() && recipe == Water {
            for (key, given) in [("zone_field", self.zone_field.is_some()), ("zone_table", self.zone_table.is_some())] {
                if given {
                    let message = format!("{} needs zones", key.replace('_', " "));
                    invalid_options.push(InvalidOption {
                        key,
                        message,
                        hint: "Give the polygons of the zones too.".into(),
                    });
                }
            }
        }
        invalid_options
    }

    /// The options, whether they are given, and which recipes support them.
    fn users(&self) -> [(&'static str, bool, &'static [Recipe]); 19] {
        [
            ("keep_background", self.keep_background, &[Plain, Landcover]),
            ("diagonal", self.diagonal, &[Plain]),
            ("layer_per_class", self.layer_per_class, &[Plain, Buildings, Water, Landcover]),
            ("min_area", self.min_area.is_some(), &[Plain, Buildings, Roads, Water, Landcover]),
            ("max_hole", self.max_hole.is_some(), MASKS),
            ("opening", self.opening.is_some(), MASKS),
            ("closing", self.closing.is_some(), MASKS),
            ("tolerance", self.tolerance.is_some(), &[Roads, Water, Landcover]),
            ("smooth", self.smooth.is_some(), &[Water, Landcover]),
            ("plain_outlines", self.plain_outlines, &[Buildings]),
            ("least_iou", self.least_iou.is_some(), &[Buildings]),
            ("max_gap", self.max_gap.is_some(), &[Roads]),
            ("min_length", self.min_length.is_some(), &[Roads]),
            ("min_spur", self.min_spur.is_some(), &[Roads]),
            ("graph", self.graph.is_some(), &[Roads]),
            ("subtract", self.subtract.is_some(), &[Water]),
            ("zones", self.zones.is_some(), &[Water]),
            ("zone_field", self.zone_field.is_some(), &[Water]),
            ("zone_table", self.zone_table.is_some(), &[Water]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> ClassNames {
        ClassNames::of_indices(names)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn recipe_finds_classes_by_name() {
        let all = names(&["background", "Houses (roof)", "road", "sea water", "seaside"]);
        let found = |recipe: Recipe, wanted: &[&str]| recipe.classes(&all, &words(wanted), "a.tif");
        assert_eq!(found(Buildings, &[]).unwrap(), [1]);
        assert_eq!(found(Water, &[]).unwrap(), [3]);
        assert_eq!(found(Plain, &[]).unwrap(), [0, 1, 2, 3, 4]);
        assert_eq!(found(Buildings, &["ROAD", "4"]).unwrap(), [2, 4]);
        assert!(found(Roads, &["5"]).is_err(), "there are five classes, from 0");
        let error = Roads.classes(&names(&["grass", "sand"]), &[], "a.tif").unwrap_err();
        assert_eq!(error.to_string(), "a.tif has no class called road or street or highway; it has grass, sand");
        assert!(error.hint().unwrap().contains("--class NAME"), "{error}");
        // A mask is taken for nothing by itself.
        let error = Roads.classes(&names(&["background", "sand"]), &[], "a.tif").unwrap_err();
        assert!(error.to_string().ends_with("; it has background, sand"), "{error}");
        let error = Roads.classes(&names(&[]), &[], "a.tif").unwrap_err();
        assert!(error.to_string().ends_with("; it names none"), "{error}");
        assert_eq!(Roads.classes(&names(&[]), &words(&["1", "-7", "1"]), "a.tif").unwrap(), [1, -7]);
        let mut sparse = ClassNames::default();
        for (value, name) in [(10, "Tree cover"), (80, "Water"), (90, "water")] {
            sparse.insert(value, name);
        }
        assert_eq!(Water.classes(&sparse, &[], "a.tif").unwrap(), [80, 90]);
        assert_eq!(Water.classes(&sparse, &words(&["tree cover", "90"]), "a.tif").unwrap(), [10, 90]);
        assert!(Water.classes(&sparse, &words(&["1"]), "a.tif").unwrap_err().to_string().contains("10 Tree cover"));
    }

    #[test]
    fn invalid_options_are_listed() {
        let options = ProductOptions {
            min_area: Some(-1.0),
            least_iou: Some(1.5),
            max_gap: Some(3.0),
            zone_field: Some("name".into()),
            ..ProductOptions::default()
        };
        let keys = |recipe| options.invalid_options(recipe).iter().map(|option| option.key).collect::<Vec<_>>();
        assert_eq!(keys(Roads), ["min_area", "least_iou", "least_iou", "zone_field"]);
        assert_eq!(keys(Water), ["min_area", "least_iou", "least_iou", "max_gap", "zone_field"]);
        let invalid_options = options.invalid_options(Buildings);
        assert_eq!(invalid_options[0].message, "min area is -1; it must be 0 or more");
        assert_eq!(invalid_options[2].message, "max gap is not supported by the recipe buildings");
        assert_eq!(invalid_options[2].hint, "It is for roads: leave it out, or choose that recipe.");
        assert_eq!(ProductOptions { min_area: Some(f64::NAN), ..Default::default() }.invalid_options(Roads).len(), 1);
    }
}
