//! The words of `segearth change` on the command line.

use std::path::PathBuf;

use clap::Args;

/// Compute class transitions between two class maps: a matrix with areas, a map, polygons
///
/// Classes are matched by name. An earlier map on another grid or in another CRS is resampled to the later one by nearest
/// neighbour. Pixels without a label in one of them are excluded and counted.
#[derive(Args, Clone, Debug)]
pub struct ChangeArgs {
    /// Class map of the earlier date
    #[arg(value_name = "BEFORE.tif")]
    pub before: PathBuf,
    /// Class map of the later date, whose grid the results have
    #[arg(value_name = "AFTER.tif")]
    pub after: PathBuf,
    /// Write change.tif, change.csv, change.json and change.png to this folder
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Replace outputs that exist; in a GeoPackage with other layers, replace the layer alone
    #[arg(long)]
    pub overwrite: bool,
    /// Make polygons of this transition, `*` for any other class; may be repeated
    #[arg(long = "transition", value_name = "FROM:TO")]
    pub transitions: Vec<String>,
    /// Write polygons of the transitions (all changes, if none is named) to this file in DIR [default: change.gpkg, if one is named]
    #[arg(long, value_name = "NAME")]
    pub polygons: Option<PathBuf>,
    /// Read from this YAML file which values, '#RRGGBB' colours or names of both maps mean which class
    /// (`classes: {water: [80, sea]}`, `ignore: 0`)
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
}
