//! The arguments of `segearth vectorize`, and the product that they ask for.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::error::{Error, Result};
use crate::scene::{ProductOptions, Recipe};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RecipeName {
    /// Squared outlines, round tanks left round
    Buildings,
    /// Centre lines as a graph, with nodes and areas
    Roads,
    /// Smooth polygons; only new water where permanent water is given
    Water,
    /// All classes, with borders that neighbours share
    Landcover,
    /// Every region with the outline of its pixels
    Plain,
}

/// Turn a label raster into polygons, outlines or centre lines
#[derive(Clone, Debug, Args)]
pub struct VectorizeArgs {
    /// Label raster, as `segearth run` writes it
    pub labels: PathBuf,
    /// Score raster of the same scene: adds confidence to every polygon
    #[arg(long, value_name = "SCORES.tif")]
    pub scores: Option<PathBuf>,
    /// What to make of it
    #[arg(long, value_enum, default_value = "landcover")]
    pub recipe: RecipeName,
    /// Result: .gpkg, .fgb, .parquet, .geojson, .geojsonl, .ndjson or .shp
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Replace outputs that exist; of a GeoPackage that holds other layers, the layer alone
    #[arg(long)]
    pub overwrite: bool,
    /// Class to take, by name or value; may be given again. Default: what the recipe's name says
    #[arg(long = "class", value_name = "NAME|NUMBER", allow_negative_numbers = true)]
    pub classes: Vec<String>,
    /// Land cover, plain: keep a class called background
    #[arg(long)]
    pub keep_background: bool,
    /// Plain: pixels that share only a corner belong together
    #[arg(long)]
    pub diagonal: bool,
    /// CRS of the result, for example EPSG:3857; GeoJSON is always WGS 84
    #[arg(long, value_name = "CRS")]
    pub t_srs: Option<String>,
    /// A layer for each class (GeoPackage)
    #[arg(long)]
    pub layer_per_class: bool,
    /// Drop smaller polygons (m²; pixels without a CRS); in land cover they go to their largest neighbour
    #[arg(long, value_name = "M2")]
    pub min_area: Option<f64>,
    /// Fill holes up to this area (m²)
    #[arg(long, value_name = "M2")]
    pub max_hole: Option<f64>,
    /// Remove what is thinner than twice this radius (m)
    #[arg(long, value_name = "M")]
    pub opening: Option<f64>,
    /// Fill cracks up to twice this radius (m)
    #[arg(long, value_name = "M")]
    pub closing: Option<f64>,
    /// How far a border may move when it is simplified (m); 0 keeps every corner. Default: one pixel
    #[arg(long, value_name = "M")]
    pub tolerance: Option<f64>,
    /// Round the borders (default for water)
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub smooth: Option<bool>,
    /// Buildings: pixel outlines instead of squared ones
    #[arg(long)]
    pub plain_outlines: bool,
    /// Buildings: keep the pixel outline where the squared one agrees less (intersection over union, 0 to 1)
    #[arg(long, value_name = "IOU")]
    pub least_iou: Option<f64>,
    /// Roads: widest gap to bridge (m)
    #[arg(long, value_name = "M")]
    pub max_gap: Option<f64>,
    /// Roads: drop networks of less total length (m)
    #[arg(long, value_name = "M")]
    pub min_length: Option<f64>,
    /// Roads: cut dead ends shorter than this (m)
    #[arg(long, value_name = "M")]
    pub min_spur: Option<f64>,
    /// Roads: write the graph as GraphML too
    #[arg(long, value_name = "GRAPH.graphml")]
    pub graph: Option<PathBuf>,
    /// Water: polygons to leave out, such as permanent water
    #[arg(long, value_name = "FILE[:LAYER]")]
    pub subtract: Option<PathBuf>,
    /// Water: polygons by which to sum the water up, as a table
    #[arg(long, value_name = "FILE[:LAYER]")]
    pub zones: Option<PathBuf>,
    /// The zones' field that names them
    #[arg(long, value_name = "FIELD")]
    pub zone_field: Option<String>,
    /// Where the zones' table goes. Default: OUT_zones.csv
    #[arg(long, value_name = "TABLE.csv")]
    pub zone_table: Option<PathBuf>,
}

impl VectorizeArgs {
    pub fn recipe(&self) -> Recipe {
        match self.recipe {
            RecipeName::Buildings => Recipe::Buildings,
            RecipeName::Roads => Recipe::Roads,
            RecipeName::Water => Recipe::Water,
            RecipeName::Landcover => Recipe::Landcover,
            RecipeName::Plain => Recipe::Plain,
        }
    }

    /// # Errors
    /// An option that says nothing to the recipe, or is no such number.
    pub fn options(&self) -> Result<ProductOptions> {
        let options = ProductOptions {
            classes: self.classes.clone(),
            keep_background: self.keep_background,
            diagonal: self.diagonal,
            t_srs: self.t_srs.clone(),
            layer_per_class: self.layer_per_class,
            min_area: self.min_area,
            max_hole: self.max_hole,
            opening: self.opening,
            closing: self.closing,
            tolerance: self.tolerance,
            smooth: self.smooth,
            plain_outlines: self.plain_outlines,
            least_iou: self.least_iou,
            max_gap: self.max_gap,
            min_length: self.min_length,
            min_spur: self.min_spur,
            graph: self.graph.clone(),
            subtract: self.subtract.clone(),
            zones: self.zones.clone(),
            zone_field: self.zone_field.clone(),
            zone_table: self.zone_table.clone(),
        };
        match options.misfits(self.recipe()).into_iter().next() {
            Some(misfit) => {
                let flag = if misfit.key == "classes" { "class".to_owned() } else { misfit.key.replace('_', "-") };
                Err(Error::input(format!("--{flag}: {}", misfit.message)).with_hint(misfit.hint))
            }
            None => Ok(options),
        }
    }
}
