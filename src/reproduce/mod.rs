//! The data sets of the SegEarth-OV paper and how their figures come about: which images of a published folder count, how they are
//! cut, what their truth means, and the job that segments them.
//!
//! ```text
//!  folder as published ─► samples (image, truth) ─► tiles ─► job ─► labels ─► counts of the set ─► row beside the paper's figure
//! ```

mod catalogue;
mod layout;
mod names;
mod table;
mod tiles;

use std::fmt::Write as _;
use std::path::Path;

pub use catalogue::{DATA_SETS, Published};
pub use layout::{Found, Sample};
pub use table::{Row, csv, markdown, rows};

use crate::error::{Error, Result};
use crate::evaluate::protocol::TruthRule;
use crate::geom::{Size, Window};
use catalogue::Truth;
use layout::{Layout, Names};
use tiles::Tiling;

/// A data set of the paper with its protocol.
#[derive(Clone, Copy, Debug)]
pub struct DataSet {
    /// As on the command line.
    pub name: &'static str,
    /// As people know it.
    pub title: &'static str,
    /// Words of each class, separated by commas, in the order of truth.
    pub classes: &'static [&'static str],
    /// The class of pixels below the threshold.
    pub background: &'static str,
    /// 0..=1
    pub threshold: f64,
    /// The paper's −λ.
    pub debias: f64,
    truth: Truth,
    layouts: &'static [Layout],
    names: Names,
    tiling: Option<Tiling>,
    /// Number of tiles, or of images that are not cut, where the authors give it.
    pub tiles: Option<usize>,
    pub published: Option<Published>,
    /// More words for each class, as other papers use them. Empty: none are known.
    pub pool: &'static [&'static str],
}

/// What a job of a data set may have other than the paper's.
#[derive(Clone, Copy, Debug)]
pub struct JobOptions<'a> {
    pub model: &'a str,
    /// Use the pool of words instead of the paper's.
    pub pool: bool,
}

impl DataSet {
    /// The data set of this name, in any case.
    ///
    /// # Errors
    /// There is none; the message lists all.
    pub fn named(name: &str) -> Result<&'static Self> {
        let plain = |name: &str| name.to_lowercase().replace(['-', ' '], "_");
        DATA_SETS.iter().find(|set| plain(set.name) == plain(name)).ok_or_else(|| {
            let names: Vec<&str> = DATA_SETS.iter().map(|set| set.name).collect();
            Error::input(format!("{name:?} is not a data set of the paper"))
                .with_hint(format!("The data sets are {}.", names.join(", ")))
        })
    }

    /// Whether the figure is the IoU of the second of two classes, not a mean.
    pub fn is_single_class(&self) -> bool {
        self.classes.len() == 2
    }

    /// The names of the classes: the first word of each.
    pub fn class_names(&self) -> Vec<String> {
        self.classes.iter().map(|words| words.split(',').next().unwrap_or(words).to_owned()).collect()
    }

    /// How stored truth becomes classes.
    pub fn rule(&self) -> TruthRule {
        self.truth.rule()
    }

    /// The images that count and their truth.
    ///
    /// # Errors
    /// The folder is not the data set as published; the message says what was looked for and what was found.
    pub fn find(&self, folder: &Path) -> Result<Found> {
        layout::find(self.title, folder, self.layouts, self.names, || {
            let others = DATA_SETS.iter().filter(|set| layout::holds(folder, set.layouts, set.names));
            match others.map(|set| set.name).collect::<Vec<_>>().as_slice() {
                [] => None,
                [name] => Some(format!("It holds {name}: `segearth reproduce {name}`.")),
                names => Some(format!("By its names it holds one of {}.", names.join(", "))),
            }
        })
    }

    /// The tiles of an image; the whole of it where the protocol does not cut.
    pub fn tiles_of(&self, image: Size) -> Vec<Window> {
        self.tiling.map_or_else(|| vec![image.window()], |tiling| tiling.of(image))
    }

    /// The words of the classes.
    ///
    /// # Errors
    /// A pool is asked for and none is known.
    fn words(&self, pool: bool) -> Result<&'static [&'static str]> {
        match (pool, self.pool.is_empty()) {
            (false, _) => Ok(self.classes),
            (true, false) => Ok(self.pool),
            (true, true) => Err(Error::input(format!("no pool of words is known for {}", self.title))
                .with_hint("Leave --pool out: the paper's words are used.")),
        }
    }

    /// The job in YAML; `scene` is its pattern of images.
    ///
    /// # Errors
    /// A pool is asked for and none is known.
    pub fn job(&self, scene: &str, options: JobOptions<'_>) -> Result<String> {
        let mut text = format!(
            "# yaml-language-server: $schema=job.schema.json\n#\n# {}: words, thresholds and image size of the SegEarth-OV paper.\n\n\
             model: {}\nscene: {}\n\n# Bytes as OpenCV decodes them: grey is replicated, transparency is dropped.\nmask: none\n\
             stretch: none\n\n# The longer side; logits are brought back to the image's own size.\nresolution: {{long_side: 448}}\n\n\
             classes:\n",
            self.title,
            quoted(options.model),
            quoted(scene),
        );
        for words in self.words(options.pool)? {
            let _ = writeln!(text, "  - {}", quoted(words));
        }
        let background = match options.pool {
            // A pool may begin with another word for the same class.
            true => self.background_of(self.words(true)?),
            false => self.background.to_owned(),
        };
        let _ = write!(
            text,
            "\nbackground: {}\nmethod: {{debias: {}, logit_scale: 50, threshold: {}, templates: imagenet80}}\n\
             tiling: {{window: 224, stride: 112, blend: average}}\noutputs: {{overviews: none}}\n",
            quoted(&background),
            self.debias,
            self.threshold
        );
        Ok(text)
    }

    /// The name, in other words, of the class that is the background in the paper's.
    fn background_of(&self, words: &[&str]) -> String {
        let index = self.class_names().iter().position(|name| name == self.background).unwrap_or(0);
        words.get(index).and_then(|words| words.split(',').next()).unwrap_or(self.background).to_owned()
    }
}

/// A text of YAML that is a text whatever it looks like.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_sets_are_whole() {
        assert_eq!(DATA_SETS.len(), 18);
        for set in DATA_SETS {
            let names = set.class_names();
            assert!(names.iter().any(|name| name == set.background), "{}: {names:?}", set.name);
            assert!(!set.layouts.is_empty() && (set.pool.is_empty() || set.pool.len() == names.len()), "{}", set.name);
            for layout in set.layouts {
                let stars = |pattern: &str| pattern.matches('*').count();
                assert_eq!(stars(layout.images), stars(layout.truth), "{}", set.name);
            }
            assert_eq!(DataSet::named(&set.name.to_uppercase()).map(|found| found.name).unwrap(), set.name);
        }
        assert!(DataSet::named("imagenet").unwrap_err().hint().unwrap().contains("openearthmap, loveda"));
    }

    #[test]
    fn lists_have_the_published_lengths() {
        let counts = [names::POTSDAM.len(), names::VAIHINGEN.len(), names::INRIA.len(), names::WATER_BODIES.len()];
        assert_eq!(counts, [14, 17, 27, 499]);
    }
}
