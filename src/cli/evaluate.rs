//! The words of `segearth evaluate` on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::error::Result;
use crate::evaluate::{ClassMap, Code, Request, VectorOptions};

/// Evaluate class maps against a reference: confusion matrix, IoU, precision, recall, F1, mIoU
///
/// Pixels of all pairs are counted before ratios are taken. References on another grid or in another CRS are resampled to the
/// prediction by nearest neighbour; polygons are rasterized. Pixels that either side does not cover are excluded.
#[derive(Args, Clone, Debug)]
pub struct EvaluateArgs {
    /// Class map to evaluate, or a folder of them (matched with references by the path below it, without extension)
    #[arg(long, value_name = "LABELS.tif|DIR")]
    pub prediction: PathBuf,
    /// Label image, polygons, or a folder of them
    #[arg(long, value_name = "TRUTH|DIR")]
    pub reference: PathBuf,
    /// Read from this YAML file which values or colours of the reference mean which class (`classes: {water: '#E2A929'}`)
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// Count by another protocol: paper, as the tables of the paper (percent; truth of 255 is left out and never resized)
    #[arg(long, value_name = "paper", hide_possible_values = true, conflicts_with_all = ["ignore", "layer", "field", "all_are", "outside"])]
    pub protocol: Option<Protocol>,
    /// With --protocol: leave out truth of 0 and reduce other values by one
    #[arg(long, requires = "protocol")]
    pub reduce_zero_label: bool,
    /// With --protocol: turn truth from N on into 1 and smaller values into 0
    #[arg(long, value_name = "N", requires = "protocol", conflicts_with = "reduce_zero_label")]
    pub truth_threshold: Option<i64>,
    /// With --protocol: take score rasters as the prediction, and print the thresholds of classes with the largest mIoU, with what they
    /// are worth on scenes that they were not fitted to
    #[arg(long, requires = "protocol", conflicts_with = "json")]
    pub fit_thresholds: bool,
    /// With --fit-thresholds: the class of pixels below their threshold
    #[arg(long, value_name = "CLASS", default_value = "background", requires = "fit_thresholds")]
    pub background: String,
    /// Exclude these values, '#RRGGBB' colours or class names of the reference
    #[arg(long, value_name = "N", num_args = 1.., value_delimiter = ',', allow_negative_numbers = true)]
    pub ignore: Vec<Code>,
    /// Read this layer of a vector reference [default: its only one]
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// Read the class from this field of a vector reference [default: class]
    #[arg(long, value_name = "NAME")]
    pub field: Option<String>,
    /// Give all polygons of a vector reference this class, instead of a field's
    #[arg(long, value_name = "CLASS", conflicts_with = "field")]
    pub all_are: Option<String>,
    /// Give pixels outside the polygons of a vector reference this class [default: they are excluded]
    #[arg(long, value_name = "CLASS")]
    pub outside: Option<String>,
    /// Replace the file of --json if it exists
    #[arg(long)]
    pub overwrite: bool,
    /// Write all figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Another way to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    Paper,
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
