//! The words of `segearth change` on the command line.

use std::path::PathBuf;

use clap::Args;

/// Say what changed from one class map to another: a matrix with areas, a map of the transitions, polygons
///
/// Classes are joined by their names. A first map on another grid or in another CRS is laid on the second with nearest
/// neighbour. Pixels without a label in one of them are left out and counted.
#[derive(Args, Clone, Debug)]
pub struct ChangeArgs {
    /// Class map of the earlier date
    #[arg(value_name = "BEFORE.tif")]
    pub before: PathBuf,
    /// Class map of the later date: results lie on its pixels
    #[arg(value_name = "AFTER.tif")]
    pub after: PathBuf,
    /// Folder for change.tif, change.csv, change.json and change.png
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Replace outputs that exist; of a GeoPackage that holds other layers, the layer alone
    #[arg(long)]
    pub overwrite: bool,
    /// Transition to make polygons of, `*` for any other class; may be given again
    #[arg(long = "transition", value_name = "FROM:TO")]
    pub transitions: Vec<String>,
    /// Polygons of the transitions (all changes, if none is named), in DIR [default: change.gpkg, if one is named]
    #[arg(long, value_name = "NAME")]
    pub polygons: Option<PathBuf>,
    /// YAML file that says which values, '#RRGGBB' colours or names of both maps mean which class
    /// (`classes: {water: [80, sea]}`, `ignore: 0`)
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
}
