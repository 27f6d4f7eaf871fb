//! The words of `segearth evaluate` on the command line.

use std::path::PathBuf;

use clap::Args;

use crate::error::Result;
use crate::evaluate::{ClassMap, Code, Request, VectorOptions};

/// Measure class maps against a reference: confusion matrix, IoU, precision, recall, F1, mIoU
///
/// Counts run over all pairs before anything is divided. References on another grid or in another CRS are laid on the
/// prediction with nearest neighbour; polygons are burnt in. Pixels that either side does not cover are left out.
#[derive(Args, Clone, Debug)]
pub struct EvaluateArgs {
    /// Class map to measure, or a folder of them (paired with references by their path below it, without extension)
    #[arg(long, value_name = "LABELS.tif|DIR")]
    pub prediction: PathBuf,
    /// Label image, polygons, or a folder of them
    #[arg(long, value_name = "TRUTH|DIR")]
    pub reference: PathBuf,
    /// YAML file that says which values or colours of the reference mean which class (`classes: {water: '#E2A929'}`)
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// Values, '#RRGGBB' colours or class names of the reference to leave out
    #[arg(long, value_name = "N", num_args = 1.., value_delimiter = ',', allow_negative_numbers = true)]
    pub ignore: Vec<Code>,
    /// Layer of a vector reference [default: its only one]
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// Field of a vector reference that holds the class [default: class]
    #[arg(long, value_name = "NAME")]
    pub field: Option<String>,
    /// Class of all polygons of a vector reference, in place of a field
    #[arg(long, value_name = "CLASS", conflicts_with = "field")]
    pub all_are: Option<String>,
    /// Class of the pixels that no polygon of a vector reference holds [default: they are left out]
    #[arg(long, value_name = "CLASS")]
    pub outside: Option<String>,
    /// Replace FILE of --json if it exists
    #[arg(long)]
    pub overwrite: bool,
    /// Write everything as JSON as well
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

impl EvaluateArgs {
    /// The request with its map read; the map's faults are errors.
    pub fn request(&self) -> Result<Request> {
        Ok(Request {
            prediction: self.prediction.clone(),
            reference: self.reference.clone(),
            map: self.map.as_deref().map(ClassMap::read).transpose()?,
            ignore: self.ignore.clone(),
            vector: VectorOptions {
                layer: self.layer.clone(),
                field: self.field.clone(),
                all_are: self.all_are.clone(),
                outside: self.outside.clone(),
            },
        })
    }
}
