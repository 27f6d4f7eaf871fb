//! The common list of classes of two maps, and the class of each value of either map.

use std::collections::HashMap;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::evaluate::{ClassMap, Code};
use crate::raster::{ABSENT, CodedRaster, Coding};
use crate::scene::{ClassInfo, SceneInfo, same_name};

/// Limit of the classes of both maps together: every transition gets a value and a name in the result.
pub const MAX_CLASSES: usize = 64;

/// The label of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    Class(usize),
    /// Ignored by the class map.
    Ignored,
    Absent,
}

/// The classes of both maps, and the codes that mean them.
pub struct Legend {
    /// The classes of the first map in their order, then those that only the second map has.
    pub classes: Vec<ClassInfo>,
    pub before: Meanings,
    pub after: Meanings,
}

/// The labels of the codes of one map.
#[derive(Default)]
pub struct Meanings(HashMap<Code, Label>);

impl Meanings {
    /// The label of a code; `None` where it has none.
    pub fn of(&self, code: &Code) -> Option<Label> {
        self.0.get(code).copied()
    }
}

impl Legend {
    /// Joins the classes. Returns the rasters in the mode in which they are read: values or colours.
    ///
    /// # Errors
    /// A map does not name its classes and no class map does; more than `MAX_CLASSES` classes; an unsuitable class map.
    pub fn resolve(
        before: CodedRaster,
        after: CodedRaster,
        map: Option<&ClassMap>,
    ) -> Result<(Self, CodedRaster, CodedRaster)> {
        let Some(map) = map else {
            let legend = Self::by_names(&before, &after)?;
            return Ok((legend, before, after));
        };
        if !map.prediction.is_empty() {
            return Err(Error::input(
                "the class map has a section 'prediction', which `change` does not use: both maps are read by 'classes'",
            )
            .with_hint("List the codes of both maps in 'classes': {water: [80, '#0000ff', lake]}."));
        }
        let mut classes: Vec<ClassInfo> =
            map.classes.iter().map(|(name, _)| ClassInfo { name: name.clone(), colour: [0; 3] }).collect();
        check_number(classes.len())?;
        let mut colours: Vec<Option<[u8; 3]>> = map.classes.iter().map(|(_, codes)| written_colour(codes)).collect();
        let (before, from) = mapped(before, map, &mut colours)?;
        let (after, to) = mapped(after, map, &mut colours)?;
        set_colours(&mut classes, &colours);
        Ok((Self { classes, before: from, after: to }, before, after))
    }

    fn by_names(before: &CodedRaster, after: &CodedRaster) -> Result<Self> {
        let mut legend = Self { classes: Vec::new(), before: Meanings::default(), after: Meanings::default() };
        let mut colours: Vec<Option<[u8; 3]>> = Vec::new();
        for (raster, meanings) in [(before, &mut legend.before), (after, &mut legend.after)] {
            if raster.names().is_empty() {
                return Err(Error::input(format!("{} does not name its classes", raster.info().path.display()))
                    .with_hint(
                        "Assign values or colours to classes with --map FILE: `classes: {water: 1, land: 2}`.",
                    ));
            }
            for (value, name) in raster.names().iter() {
                let class = legend.classes.iter().position(|class| same_name(&class.name, name)).unwrap_or_else(|| {
                    legend.classes.push(ClassInfo { name: name.to_owned(), colour: [0; 3] });
                    colours.push(None);
                    legend.classes.len() - 1
                });
                // The colours of the later map take precedence.
                colours[class] = raster.colour(value).or(colours[class]);
                meanings.0.insert(Code::Value(value), Label::Class(class));
            }
        }
        check_number(legend.classes.len())?;
        set_colours(&mut legend.classes, &colours);
        Ok(legend)
    }

    /// Notes about classes that only one of the maps can have.
    pub fn notes(&self, before: &SceneInfo, after: &SceneInfo) -> Vec<String> {
        let has = |meanings: &Meanings, class: usize| meanings.0.values().any(|label| *label == Label::Class(class));
        let only_in = |one: &Meanings, other: &Meanings| -> Vec<&str> {
            let classes = self.classes.iter().enumerate();
            classes.filter(|(i, _)| has(one, *i) && !has(other, *i)).map(|(_, class)| class.name.as_str()).collect()
        };
        let sides = [(before, &self.before, &self.after), (after, &self.after, &self.before)];
        let notes = sides.into_iter().map(|(info, one, other)| (info, only_in(one, other)));
        notes
            .filter(|(_, names)| !names.is_empty())
            .map(|(info, names)| {
                format!(
                    "only {} has the class {}: its transitions may not be real changes.",
                    info.path.display(),
                    names.join(", ")
                )
            })
            .collect()
    }
}

/// The labels of a map by a class map. A file is read by its class names where the class map has any of them, else by colours
/// where the class map has colours, else by values.
fn mapped(raster: CodedRaster, map: &ClassMap, colours: &mut [Option<[u8; 3]>]) -> Result<(CodedRaster, Meanings)> {
    let names = raster.names();
    let mut by_name = Meanings::default();
    for (class, (name, codes)) in map.classes.iter().enumerate() {
        let texts = codes.iter().filter_map(|code| if let Code::Text(text) = code { Some(text) } else { None });
        for value in texts.chain([name]).flat_map(|name| names.values_of(name)) {
            by_name.0.insert(Code::Value(value), Label::Class(class));
            colours[class] = colours[class].or_else(|| raster.colour(value));
        }
    }
    let named = !by_name.0.is_empty();
    let has_colours = map.classes.iter().flat_map(|(_, codes)| codes).any(|code| matches!(code, Code::Colour(_)));
    let raster = if has_colours && !named { raster.as_colours() } else { raster };
    let mut meanings = by_name;
    for (class, (_, codes)) in map.classes.iter().enumerate().filter(|_| !named) {
        meanings.0.extend(codes.iter().map(|code| (code.clone(), Label::Class(class))));
    }
    for code in &map.ignore {
        match code {
            Code::Text(text) => {
                let values = raster.names().values_of(text).into_iter();
                meanings.0.extend(values.map(|value| (Code::Value(value), Label::Ignored)));
            }
            code => {
                meanings.0.entry(code.clone()).or_insert(Label::Ignored);
            }
        }
    }
    if !meanings.0.values().any(|label| matches!(label, Label::Class(_))) {
        return Err(Error::input(format!(
            "the class map assigns no name, colour or value of {} to a class",
            raster.info().path.display()
        )));
    }
    Ok((raster, meanings))
}

fn written_colour(codes: &[Code]) -> Option<[u8; 3]> {
    codes.iter().find_map(|code| if let Code::Colour(colour) = code { Some(*colour) } else { None })
}

fn check_number(classes: usize) -> Result<()> {
    if classes <= MAX_CLASSES {
        return Ok(());
    }
    Err(Error::input(format!(
        "the two maps have {classes} classes together, the limit is {MAX_CLASSES} ({} transitions)",
        MAX_CLASSES * MAX_CLASSES
    ))
    .with_hint("Merge classes with --map, and list in its 'ignore' what is not compared."))
}

/// Sets the colours of the classes; those without one are distributed evenly over the colour wheel.
fn set_colours(classes: &mut [ClassInfo], colours: &[Option<[u8; 3]>]) {
    for (index, (class, colour)) in classes.iter_mut().zip(colours).enumerate() {
        // The golden angle keeps hues distinct for any number of classes.
        class.colour = colour.unwrap_or_else(|| hue(index as f64 * 137.508));
    }
}

fn hue(degrees: f64) -> [u8; 3] {
    [0.0, 240.0, 120.0].map(|shift| {
        let part = ((degrees + shift) % 360.0 / 60.0 - 3.0).abs() - 1.0;
        (60.0 + 160.0 * part.clamp(0.0, 1.0)) as u8
    })
}

/// Translates the codes of one map to labels; each distinct code is looked up once.
pub struct Translator<'a> {
    meanings: &'a Meanings,
    coding: Coding,
    path: PathBuf,
    known: HashMap<i64, Label>,
    /// The last translation: neighbouring pixels mostly have the same code.
    last: (i64, Label),
}

impl<'a> Translator<'a> {
    pub fn new(meanings: &'a Meanings, raster: &CodedRaster) -> Self {
        let absent = (ABSENT, Label::Absent);
        let path = raster.info().path.clone();
        Self { meanings, coding: raster.coding(), path, known: [absent].into(), last: absent }
    }

    /// The label of a code. `position` returns its column and row in the result, for the error about an unassigned code.
    pub fn label(&mut self, number: i64, position: impl Fn() -> (usize, usize)) -> Result<Label> {
        if number == self.last.0 {
            return Ok(self.last.1);
        }
        let label = match self.known.get(&number) {
            Some(label) => *label,
            None => {
                let code = match self.coding {
                    Coding::Values => Code::Value(number),
                    Coding::Colours => Code::from_rgb(number as u32),
                };
                let label = self.meanings.0.get(&code).copied().ok_or_else(|| {
                    let (col, row) = position();
                    Error::input(format!(
                        "{} has the {code} at column {col}, row {row} of the result, which is not assigned to a class",
                        self.path.display()
                    ))
                    .with_hint("Assign it to a class or to 'ignore' in the class map (--map), or declare it as nodata.")
                })?;
                self.known.insert(number, label);
                label
            }
        };
        self.last = (number, label);
        Ok(label)
    }
}
