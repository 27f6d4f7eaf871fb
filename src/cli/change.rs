//! The words of `segearth change` on the command line.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::change::Tolerance;

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
    /// Write change.tif, change.csv, change.json, change.png and change.html to this folder
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
    /// Write changed.tif too: pieces of the foreground that the other date, grown by N pixels, hardly covers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub tolerance: Option<u16>,
    /// With --tolerance: a piece has changed where less than this share of it is covered (0 to 1)
    #[arg(long, value_name = "SHARE", default_value_t = 0.3, value_parser = share, requires = "tolerance")]
    pub coverage: f64,
    /// Leave out polygons and, with --tolerance, pieces smaller than this, in m² (pixels without a CRS) [default: polygons of one pixel]
    #[arg(long, value_name = "M2", value_parser = area)]
    pub min_area: Option<f64>,
    /// Write changed.tif too: pixels at which the scores of a class at both dates exceed Otsu's threshold of its energy; with --tolerance,
    /// only those of changed pieces
    #[arg(long)]
    pub energy: bool,
    /// With --energy: the score rasters of both dates [default: those beside the maps, X_scores.tif for X_labels.tif]
    #[arg(long, value_names = ["BEFORE", "AFTER"], num_args = 2, requires = "energy")]
    pub scores: Vec<PathBuf>,
    /// With --tolerance or --energy: the classes that are the foreground [default: all but the background, or but the first]
    #[arg(long, value_name = "CLASS", num_args = 1.., value_delimiter = ',')]
    pub foreground: Vec<String>,
    /// Read from this YAML file which values, '#RRGGBB' colours or names of both maps mean which class
    /// (`classes: {water: [80, sea]}`, `ignore: 0`)
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
}

impl ChangeArgs {
    /// How pieces are compared; `None`: they are not.
    pub fn pieces(&self) -> Option<Tolerance> {
        let radius = usize::from(self.tolerance?);
        let (coverage, min_area, foreground) = (self.coverage, self.min_area.unwrap_or(0.0), self.foreground.clone());
        Some(Tolerance { radius, coverage, min_area, foreground })
    }

    /// The score rasters of both dates; `None`: scores are not compared.
    pub fn score_rasters(&self) -> Option<[PathBuf; 2]> {
        let beside = |map: &Path| {
            let stem = map.file_stem().unwrap_or_default().to_string_lossy();
            let scene = stem.strip_suffix("_labels").unwrap_or(&stem);
            map.with_file_name(format!("{scene}_scores.tif"))
        };
        self.energy.then(|| match self.scores.as_slice() {
            [before, after] => [before.clone(), after.clone()],
            _ => [beside(&self.before), beside(&self.after)],
        })
    }
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "it must be from 0 to 1".to_owned())
}

fn area(text: &str) -> Result<f64, String> {
    let area = text.parse().ok().filter(|area: &f64| *area >= 0.0 && area.is_finite());
    area.ok_or_else(|| "it must be a number, at least 0".to_owned())
}
