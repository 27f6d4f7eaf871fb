//! Compares one prediction with one reference, block by block.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use super::Request;
use super::classes::{Classes, Lookup, Meaning, assign_hint};
use super::code::Code;
use super::confusion::ConfusionMatrix;
use super::pairs::Pair;
use crate::error::{Context, Error, Result};
use crate::geom::Window;
use crate::raster::{
    ABSENT, AlignedRaster, BurntVector, CodedRaster, Coding, FieldCode, VectorSource, blocks, is_vector,
};
use crate::scene::{ClassNames, SceneInfo};

/// Burnt values for ignored pixels and for pixels without a polygon; classes have their index.
const BURNT_IGNORED: i32 = -2;
const BURNT_NOTHING: i32 = -1;

/// Numbers of pixels of the prediction, by whether and why they are not in the confusion matrix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PixelCounts {
    /// In the confusion matrix.
    pub counted: u64,
    /// Of an ignored code or class.
    pub ignored: u64,
    /// Outside the reference, or without a label there.
    pub without_reference: u64,
    /// Labelled in the reference, but not in the prediction.
    pub without_prediction: u64,
}

impl PixelCounts {
    pub fn add(&mut self, other: &Self) {
        self.counted += other.counted;
        self.ignored += other.ignored;
        self.without_reference += other.without_reference;
        self.without_prediction += other.without_prediction;
    }
}

/// The result of one pair.
pub(super) struct Compared {
    pub names: Vec<String>,
    pub confusion: ConfusionMatrix,
    pub counts: PixelCounts,
    pub warped: bool,
    pub notes: Vec<String>,
}

/// The label of a pixel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Class(usize),
    Ignored,
    Absent,
}

pub(super) fn compare(pair: &Pair, request: &Request) -> Result<Compared> {
    let map = request.map.as_ref();
    let wants_colours = |codes: &[(String, Vec<Code>)]| {
        codes.iter().flat_map(|(_, codes)| codes).any(|code| matches!(code, Code::Colour(_)))
    };
    let mut prediction = CodedRaster::open(&pair.prediction)?;
    if map.is_some_and(|map| wants_colours(&map.prediction)) {
        prediction = prediction.as_colours();
    }
    let names = prediction.names();
    let mut notes = prediction.notes().to_vec();
    let (reference, classes) = if is_vector(&pair.reference) {
        let classes = Classes::resolve(names, &ClassNames::default(), map, &request.ignore)?;
        (Reference::burn(&pair.reference, request, prediction.info(), &classes)?, classes)
    } else {
        let mut raster = CodedRaster::open(&pair.reference)?;
        if map.is_some_and(|map| wants_colours(&map.classes)) {
            raster = raster.as_colours();
        }
        if raster.coding() == Coding::Colours && map.is_none() {
            return Err(Error::input(format!(
                "{} has colours, and no class map assigns them to classes",
                pair.reference.display()
            ))
            .with_hint(
                "Write a class map with a line for each class, such as building: '#3C1098', and pass it with --map.",
            ));
        }
        notes.extend_from_slice(raster.notes());
        let resolved = Classes::resolve(names, raster.names(), map, &request.ignore);
        let classes = resolved
            .input(|| format!("{} and {} cannot be compared", pair.prediction.display(), pair.reference.display()))?;
        (Reference::Raster(Box::new(AlignedRaster::new(raster, prediction.info())?)), classes)
    };

    let mut confusion = ConfusionMatrix::new(classes.names.len());
    let mut counts = PixelCounts::default();
    let mut predicted = Translator::new(Side::Prediction, &classes.prediction, prediction.coding(), &pair.prediction);
    let mut truth = match &reference {
        Reference::Raster(raster) => {
            Translator::new(Side::Reference, &classes.reference, raster.raster().coding(), &pair.reference)
        }
        Reference::Polygons(_) => Translator::burnt(&pair.reference),
    };
    for window in blocks(prediction.info().size) {
        let (found, expected) = (prediction.read(window)?, reference.read(window)?);
        for (index, (found, expected)) in found.into_iter().zip(expected).enumerate() {
            let position = || (window.col + index % window.width, window.row + index / window.width);
            match (truth.label(expected, position)?, predicted.label(found, position)?) {
                (Label::Absent, _) => counts.without_reference += 1,
                (Label::Ignored, _) | (_, Label::Ignored) => counts.ignored += 1,
                (_, Label::Absent) => counts.without_prediction += 1,
                (Label::Class(expected), Label::Class(found)) => {
                    counts.counted += 1;
                    confusion.add(expected, found, 1);
                }
            }
        }
    }
    if counts.without_reference == prediction.info().size.pixels() as u64 {
        return Err(Error::input(format!(
            "{} has no labelled pixel within {}",
            pair.reference.display(),
            pair.prediction.display()
        ))
        .with_hint("Check their extents with gdalinfo or ogrinfo: they do not overlap, or every pixel is nodata."));
    }
    let warped = matches!(&reference, Reference::Raster(raster) if raster.is_warped());
    Ok(Compared { names: classes.names, confusion, counts, warped, notes })
}

/// The reference on the grid of the prediction.
enum Reference {
    Raster(Box<AlignedRaster>),
    Polygons(BurntVector),
}

impl Reference {
    fn burn(path: &Path, request: &Request, onto: &SceneInfo, classes: &Classes) -> Result<Self> {
        let options = &request.vector;
        let burnt = |meaning| match meaning {
            Meaning::Class(class) => {
                i32::try_from(class).internal(|| format!("the index of class {class} cannot be burnt"))
            }
            Meaning::Ignored => Ok(BURNT_IGNORED),
        };
        let class = |name: &String| classes.index(name).and_then(|class| burnt(Meaning::Class(class)));
        let outside = options.outside.as_ref().map_or(Ok(BURNT_NOTHING), class)?;
        let all_are = options.all_are.as_ref().map(class).transpose()?;
        let source = VectorSource {
            layer: options.layer.clone(),
            field: options.field.clone(),
            without_field: all_are.is_some(),
        };
        let mut number = |field: Option<FieldCode>| {
            let code = match field {
                Some(FieldCode::Value(value)) => Code::Value(value),
                Some(FieldCode::Text(text)) => Code::Text(text),
                None => return all_are.ok_or_else(|| Error::internal("a polygon has neither field nor class")),
            };
            let meaning = classes.reference.meaning(&code).ok_or_else(|| {
                Error::input(format!("its class is {code}, which is none of: {}", classes.names.join(", ")))
                    .with_hint(assign_hint(&code))
            })?;
            burnt(meaning)
        };
        BurntVector::open(path, &source, onto, outside, &mut number).map(Self::Polygons)
    }

    fn read(&self, window: Window) -> Result<Vec<i64>> {
        match self {
            Self::Raster(raster) => raster.read(window),
            Self::Polygons(polygons) => Ok(polygons.read(window)?.into_iter().map(i64::from).collect()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Prediction,
    Reference,
}

/// Translates the codes of one file to labels; each distinct code is looked up once.
struct Translator<'a> {
    side: Side,
    lookup: Option<&'a Lookup>,
    coding: Coding,
    path: &'a Path,
    known: HashMap<i64, Label>,
    /// The last translation: neighbouring pixels mostly have the same code.
    last: (i64, Label),
}

impl<'a> Translator<'a> {
    fn new(side: Side, lookup: &'a Lookup, coding: Coding, path: &'a Path) -> Self {
        let known = [(ABSENT, Label::Absent)].into();
        Self { side, lookup: Some(lookup), coding, path, known, last: (ABSENT, Label::Absent) }
    }

    /// For burnt polygons, whose numbers are indices of classes.
    fn burnt(path: &'a Path) -> Self {
        let known = [(i64::from(BURNT_NOTHING), Label::Absent), (i64::from(BURNT_IGNORED), Label::Ignored)].into();
        Self { side: Side::Reference, lookup: None, coding: Coding::Values, path, known, last: (ABSENT, Label::Absent) }
    }

    fn label(&mut self, number: i64, position: impl Fn() -> (usize, usize)) -> Result<Label> {
        if number == self.last.0 {
            return Ok(self.last.1);
        }
        let label = match self.known.get(&number) {
            Some(label) => *label,
            None => {
                let label = self.look_up(number).map_err(|code| {
                    let (col, row) = position();
                    let hint = match (self.side, &code) {
                        (Side::Prediction, _) => {
                            "Assign it in the section 'prediction' of the class map (--map), or check that this is the predicted map."
                                .into()
                        }
                        (Side::Reference, code) => assign_hint(code),
                    };
                    Error::input(format!(
                        "{} has the {code} at column {col}, row {row} of the prediction, which is not assigned to a class",
                        self.path.display()
                    ))
                    .with_hint(hint)
                })?;
                self.known.insert(number, label);
                label
            }
        };
        self.last = (number, label);
        Ok(label)
    }

    fn look_up(&self, number: i64) -> Result<Label, Code> {
        let Some(lookup) = self.lookup else {
            return usize::try_from(number).map(Label::Class).map_err(|_| Code::Value(number));
        };
        let code = match self.coding {
            Coding::Values => Code::Value(number),
            Coding::Colours => Code::from_rgb(number as u32),
        };
        match lookup.meaning(&code) {
            Some(Meaning::Class(class)) => Ok(Label::Class(class)),
            Some(Meaning::Ignored) => Ok(Label::Ignored),
            None => Err(code),
        }
    }
}
