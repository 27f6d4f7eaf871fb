//! What a user has said so far, and what a restart begins with: classes, examples, how the scene is seen.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::error::{Context as _, Error, Result};
use crate::scene::same_name;

/// More classes than this are taken for a mistake; labels of one byte end at 254.
pub const MOST_CLASSES: usize = 100;
const MOST_WORDS: usize = 32;
const MOST_LETTERS: usize = 200;
const MOST_EXAMPLES: usize = 5000;
const MOST_CORNERS: usize = 1000;

/// A session as its file has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Grows with every change that decides labels.
    pub revision: u64,
    pub classes: Vec<ClassEntry>,
    /// The id of the class that takes pixels below the threshold.
    #[serde(default)]
    pub background: Option<u64>,
    /// 0 to 1.
    #[serde(default)]
    pub threshold: f64,
    #[serde(default)]
    pub examples: Vec<SessionExample>,
    /// Three bands, as a job names them.
    #[serde(default)]
    pub bands: Option<Vec<String>>,
    /// As a job names it.
    #[serde(default)]
    pub stretch: Option<String>,
    /// The user's own background map: an address with {z}, {x} and {y}.
    #[serde(default)]
    pub xyz: Option<String>,
    /// The learnt classes that it began with.
    #[serde(default)]
    pub learnt: Option<LearntStart>,
}

/// Learnt classes of a job, and all classes as they were before anything was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LearntStart {
    pub file: PathBuf,
    pub classes: Vec<ClassEntry>,
    #[serde(default)]
    pub background: Option<u64>,
    /// The ids of the classes that are in the file; the others have words.
    pub ids: Vec<u64>,
    /// Those of them that were learnt from examples alone.
    #[serde(default)]
    pub wordless: Vec<u64>,
}

/// A class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassEntry {
    /// The same however the class is renamed.
    pub id: u64,
    pub name: String,
    /// Prompts; none: the name.
    #[serde(default)]
    pub words: Vec<String>,
    /// `#3b82f6`; `None`: one that suits the name.
    #[serde(default)]
    pub colour: Option<String>,
    #[serde(default)]
    pub threshold: Option<f64>,
}

/// An example of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionExample {
    pub id: u64,
    /// The index of its scene.
    pub scene: usize,
    /// The id of its class.
    pub class: u64,
    pub shape: Shape,
}

/// Where an example is: columns and rows of the scene, counted from its upper left corner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    Point([f64; 2]),
    /// Corners, the first one not repeated.
    Polygon(Vec<[f64; 2]>),
}

impl Session {
    /// Reads the session of a state folder; `None`: there is none yet.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.input(|| format!("cannot read {}", path.display()))?,
        };
        let damaged = || format!("{} is not a session of this version", path.display());
        let session: Self = serde_json::from_slice(&text)
            .input(damaged)
            .map_err(|error| error.with_hint("Move the file away to begin anew."))?;
        session.check().input(damaged)?;
        Ok(Some(session))
    }

    /// Writes the session; readers never see half of it.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).internal(|| "a session cannot be written as JSON".into())?;
        atomic::write_file(path, &text)
    }

    /// Refuses what no session can be.
    ///
    /// # Errors
    /// The first fault, as a sentence.
    pub fn check(&self) -> Result<()> {
        if self.classes.len() > MOST_CLASSES {
            return Err(Error::input(format!("there are {} classes; {MOST_CLASSES} are allowed", self.classes.len())));
        }
        let mut ids = HashSet::new();
        for (index, class) in self.classes.iter().enumerate() {
            class.check()?;
            if !ids.insert(class.id) {
                return Err(Error::input(format!("two classes have the id {}", class.id)));
            }
            if self.classes.iter().take(index).any(|other| same_name(&other.name, &class.name)) {
                return Err(Error::input(format!("two classes have the name {:?}", class.name))
                    .with_hint("Give one of them another name, or join their words."));
            }
        }
        share("the threshold", self.threshold)?;
        if let Some(background) = self.background.filter(|background| !ids.contains(background)) {
            return Err(Error::input(format!("the background is the class {background}, which does not exist")));
        }
        if self.examples.len() > MOST_EXAMPLES {
            return Err(Error::input(format!("there are more than {MOST_EXAMPLES} examples")));
        }
        self.examples.iter().try_for_each(|example| example.check(&ids))?;
        if let Some(bands) =
            self.bands.as_ref().filter(|bands| bands.len() != 3 || bands.iter().any(|band| is_long(band)))
        {
            return Err(Error::input(format!("there are {} bands; three are needed", bands.len())));
        }
        if self.stretch.as_ref().is_some_and(|stretch| is_long(stretch)) {
            return Err(Error::input("the stretch is too long"));
        }
        self.xyz.as_deref().map_or(Ok(()), check_xyz)
    }

    /// The place of a class in the list.
    pub fn index_of(&self, id: u64) -> Option<usize> {
        self.classes.iter().position(|class| class.id == id)
    }

    /// The learnt classes that it began with, where neither classes nor examples have changed since: they are used as they are.
    pub fn unchanged_start(&self) -> Option<&LearntStart> {
        let start = self.learnt.as_ref()?;
        let same = self.examples.is_empty() && self.classes == start.classes && self.background == start.background;
        same.then_some(start)
    }

    /// Whether there is something to learn from: examples of two classes at least, or those of the learnt classes that it began with.
    pub fn can_learn(&self) -> bool {
        if let Some(start) = &self.learnt
            && start.ids.iter().any(|id| self.index_of(*id).is_some())
        {
            return self.unchanged_start().is_none();
        }
        self.examples.iter().any(|example| self.examples.first().is_some_and(|first| first.class != example.class))
    }

    /// An id that no example has.
    pub fn next_example(&self) -> u64 {
        self.examples.iter().map(|example| example.id).max().map_or(1, |last| last.saturating_add(1))
    }
}

impl ClassEntry {
    fn check(&self) -> Result<()> {
        let plain = |text: &str| {
            let text = text.trim();
            !text.is_empty() && !is_long(text) && !text.chars().any(char::is_control)
        };
        if !plain(&self.name) {
            return Err(Error::input(format!(
                "the name of a class is {:?}; 1 to {MOST_LETTERS} letters are allowed",
                self.name
            )));
        }
        if self.words.len() > MOST_WORDS || !self.words.iter().all(|word| plain(word)) {
            return Err(Error::input(format!(
                "the words of the class {:?} are too many, too long or empty",
                self.name
            ))
            .with_hint(format!("Give at most {MOST_WORDS} words, with commas between them.")));
        }
        let is_colour = |colour: &String| {
            colour
                .strip_prefix('#')
                .is_some_and(|digits| digits.len() == 6 && digits.chars().all(|c| c.is_ascii_hexdigit()))
        };
        if let Some(colour) = self.colour.as_ref().filter(|colour| !is_colour(colour)) {
            return Err(Error::input(format!("the colour of the class {:?} is {colour:?}", self.name))
                .with_hint("Write it as #3b82f6."));
        }
        self.threshold
            .map_or(Ok(()), |threshold| share(&format!("the threshold of the class {:?}", self.name), threshold))
    }
}

impl SessionExample {
    fn check(&self, classes: &HashSet<u64>) -> Result<()> {
        if !classes.contains(&self.class) {
            return Err(Error::input(format!("an example is of the class {}, which does not exist", self.class)));
        }
        let places = match &self.shape {
            Shape::Point(place) => std::slice::from_ref(place),
            Shape::Polygon(corners) if (3..=MOST_CORNERS).contains(&corners.len()) => corners,
            Shape::Polygon(corners) => {
                return Err(Error::input(format!(
                    "a polygon has {} corners; 3 to {MOST_CORNERS} are allowed",
                    corners.len()
                )));
            }
        };
        match places.iter().flatten().all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(Error::input("an example lies outside of the map")),
        }
    }
}

fn is_long(text: &str) -> bool {
    text.chars().count() > MOST_LETTERS
}

fn share(what: &str, value: f64) -> Result<()> {
    match (0.0..=1.0).contains(&value) {
        true => Ok(()),
        false => Err(Error::input(format!("{what} is {value}; it must be from 0 to 1"))),
    }
}

fn check_xyz(address: &str) -> Result<()> {
    let host = address.strip_prefix("https://").or(address.strip_prefix("http://"));
    let host = host.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
    let keys = ["{z}", "{x}", "{y}"].iter().all(|key| address.contains(key));
    let printable = address.chars().all(|c| c.is_ascii_graphic() && !"\"'<>\\;,".contains(c));
    match keys && printable && address.len() <= 1000 && !host.is_empty() && host.chars().all(plain) {
        true => Ok(()),
        false => Err(Error::input(format!("the address of the background map is {address:?}"))
            .with_hint("Write it as https://tiles.example/{z}/{x}/{y}.png.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(id: u64, name: &str) -> ClassEntry {
        ClassEntry { id, name: name.to_owned(), words: Vec::new(), colour: None, threshold: None }
    }

    #[test]
    fn what_no_session_can_be_is_refused() {
        let good =
            Session { classes: vec![class(1, "water"), class(2, "road")], background: Some(2), ..Session::default() };
        good.check().unwrap();
        let wrong = |change: fn(&mut Session)| {
            let mut session = good.clone();
            change(&mut session);
            session.check().unwrap_err().to_string()
        };
        insta::assert_snapshot!(wrong(|it| it.classes[1].name = "Water".into()), @r#"two classes have the name "Water""#);
        insta::assert_snapshot!(wrong(|it| it.classes[1].id = 1), @"two classes have the id 1");
        insta::assert_snapshot!(wrong(|it| it.background = Some(9)), @"the background is the class 9, which does not exist");
        insta::assert_snapshot!(wrong(|it| it.threshold = f64::NAN), @"the threshold is NaN; it must be from 0 to 1");
        insta::assert_snapshot!(wrong(|it| it.classes[0].colour = Some("red;}".into())), @r#"the colour of the class "water" is "red;}""#);
        insta::assert_snapshot!(wrong(|it| it.xyz = Some("https://a'b/{z}/{x}/{y}".into())), @r#"the address of the background map is "https://a'b/{z}/{x}/{y}""#);
        let polygon = |corners: usize| SessionExample {
            id: 1,
            scene: 0,
            class: 1,
            shape: Shape::Polygon(vec![[0.0; 2]; corners]),
        };
        assert!(Session { examples: vec![polygon(2)], ..good.clone() }.check().is_err());
        assert!(Session { examples: vec![polygon(3)], ..good.clone() }.check().is_ok());
    }

    #[test]
    fn learnt_classes_are_kept_until_something_changes() {
        let classes = vec![class(1, "water"), class(2, "sand")];
        let start = LearntStart {
            file: "c.safetensors".into(),
            classes: classes.clone(),
            background: None,
            ids: vec![1, 2],
            wordless: Vec::new(),
        };
        let session = Session { classes: classes.clone(), learnt: Some(start.clone()), ..Session::default() };
        assert_eq!((session.unchanged_start(), session.can_learn()), (Some(&start), false));
        let example = SessionExample { id: 1, scene: 0, class: 1, shape: Shape::Point([1.0, 1.0]) };
        let taught = Session { examples: vec![example], ..session.clone() };
        assert!(taught.unchanged_start().is_none() && taught.can_learn(), "one example is enough");
        let fewer = Session { classes: classes[..1].to_vec(), ..session.clone() };
        assert!(fewer.unchanged_start().is_none() && fewer.can_learn());
        let others = Session { classes: vec![class(3, "tree")], ..session };
        assert!(others.unchanged_start().is_none() && !others.can_learn(), "nothing is left of the file");
    }

    #[test]
    fn session_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session.json");
        assert_eq!(Session::read(&path).unwrap(), None);
        let example = SessionExample { id: 3, scene: 0, class: 1, shape: Shape::Point([1.5, 2.5]) };
        let session =
            Session { revision: 7, classes: vec![class(1, "wäter")], examples: vec![example], ..Session::default() };
        session.write(&path).unwrap();
        assert_eq!(Session::read(&path).unwrap(), Some(session));
        fs::write(&path, "{\"revision\": 1}").unwrap();
        assert!(Session::read(&path).is_err());
    }
}
