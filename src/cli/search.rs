//! The words of `segearth search` on the command line.

use std::path::PathBuf;

use clap::Args;

/// Find places in embedded scenes that fit words, or that look like given places
///
/// Patches are ranked by the similarity of their features to the query; connected patches that score nearly as well as the best of
/// them become one footprint, with its rank, scores, area and scene.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("query").args(["words", "like"]).required(true))]
pub struct SearchArgs {
    /// Stores of embeddings, as `segearth embed` makes them, all of one model
    #[arg(value_name = "STORE", required = true)]
    pub stores: Vec<PathBuf>,
    /// Find places that fit these words; of several between commas, the mean counts
    #[arg(long, value_name = "WORDS")]
    pub words: Option<String>,
    /// Find places that look like those under these features (points, lines or polygons in any CRS), or like the one at X,Y in the
    /// scenes' CRS; may be repeated
    #[arg(long, value_name = "FILE[:LAYER]|X,Y", allow_hyphen_values = true)]
    pub like: Vec<String>,
    /// Subtract the similarity to these words; of several between commas, the mean counts
    #[arg(long, value_name = "WORDS")]
    pub not: Option<String>,
    /// Write at most this many places, the best first
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true)]
    pub top: i64,
    /// Extend a place to connected patches above this share of its best score, counted from the mean of its scene (0 to 1)
    #[arg(long, value_name = "SHARE", default_value_t = 0.7, allow_negative_numbers = true)]
    pub share: f64,
    /// Subtract this share of the window's [CLS] similarity (0 to 1) [default: for words the model's, else 0.3; for --like 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub debias: Option<f64>,
    /// Use this model for words: the folder of a bundle, or a model's name [default: the one that the stores name]
    #[arg(long, short, value_name = "NAME|DIR")]
    pub model: Option<String>,
    /// Write footprints to this file: .gpkg, .fgb, .parquet, .geojson, .geojsonl, .ndjson or .shp
    #[arg(long, short = 'o', value_name = "HITS")]
    pub output: PathBuf,
    /// Write pictures of the places to this file, one HTML page that works offline
    #[arg(long, value_name = "SHEET.html")]
    pub sheet: Option<PathBuf>,
    /// Replace outputs that exist; in a GeoPackage with other layers, replace the layer alone
    #[arg(long)]
    pub overwrite: bool,
}
