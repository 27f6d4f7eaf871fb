//! The words of `segearth reproduce` on the command line.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::options::RunOptions;
use crate::pipeline::Override;

/// Reproduce a figure of the paper: segment one of its data sets by its protocol, count, and compare
///
/// The folder is the data set as its authors publish it, unpacked; nothing in it is changed. Images are resized to a long side of 448
/// pixels, large ones are cut into tiles first, and truth is counted as the paper does. Results: `row.json`, labels and the job below
/// DIR/DATASET, and a table of all data sets of DIR, `results.md` and `results.csv`.
#[derive(Args, Debug)]
pub struct ReproduceArgs {
    /// Data set: openearthmap, loveda, isaid, potsdam, vaihingen, uavid, udd5, vdd, whu_aerial, whu_sat_ii, inria, xbd, chn6-cug,
    /// deepglobe_road, massachusetts_road, spacenet_road, wbs-si or deepglobe
    #[arg(value_name = "DATASET")]
    pub data_set: String,
    /// Folder of the data set as it is published, unpacked
    #[arg(long, value_name = "FOLDER", required_unless_present = "print_job")]
    pub data: Option<PathBuf>,
    /// Use this model: the folder of a bundle, or a model's name
    #[arg(long, short, value_name = "NAME|DIR", default_value = "openai/ViT-B-16")]
    pub model: String,
    /// Take only images with one of these texts in their name; `*` stands for any text
    #[arg(long, value_name = "TEXT", num_args = 1.., value_delimiter = ',')]
    pub only: Vec<String>,
    /// Use more words for each class, as ConInfer and ProC-SAM3 publish them, instead of the paper's
    #[arg(long)]
    pub pool: bool,
    /// Write results below this folder
    #[arg(long, short, value_name = "DIR", default_value = "paper")]
    pub output: PathBuf,
    /// Compute on this device: auto, cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Override a key of the job with a value in YAML; may be repeated
    #[arg(long, value_name = "KEY.PATH=VALUE", action = ArgAction::Append)]
    pub set: Vec<String>,
    /// Print the job of the data set and do nothing else
    #[arg(long)]
    pub print_job: bool,
    #[command(flatten)]
    pub options: RunOptions,
}

impl ReproduceArgs {
    /// The flags as values of the job's keys; outputs go to the folder `labels`.
    pub fn overrides(&self, labels: &str) -> Vec<Override> {
        let device = self.device.iter().map(|device| Override::text("--device", "device", device));
        let set = self.set.iter().map(|set| Override::set(set));
        std::iter::once(Override::text("--output", "outputs.folder", labels)).chain(device).chain(set).collect()
    }

    /// Whether an image of this name is among those of --only.
    pub fn takes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| contains(name, text))
    }
}

/// Whether the parts of a text between its `*` are in a name, in this order.
fn contains(name: &str, text: &str) -> bool {
    let mut rest = name;
    text.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = rest.get(at + part.len()..).unwrap_or_default();
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_contain_parts_in_order() {
        assert!(contains("Urban_2522", "2522") && contains("Urban_2522", "Urb*25") && contains("a", "*"));
        assert!(!contains("Urban_2522", "25*Urb") && !contains("Urban_2522", "2523"));
    }
}
