//! The arguments of `segearth vectorize`, and the product that they ask for.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::error::{Error, Result};
use crate::scene::{ExtraField, ProductOptions, Recipe};

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
    /// Every region as the outline of its pixels
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FieldName {
    /// Name of the scene, as `segearth run` stores it in the label raster
    Scene,
    /// Prompts of the class
    Prompts,
}

impl FieldName {
    fn kind(self) -> ExtraField {
        match self {
            Self::Scene => ExtraField::Scene,
            Self::Prompts => ExtraField::Prompts,
        }
    }
}

/// Make polygons, building outlines or road centre lines from a label raster
#[derive(Clone, Debug, Args)]
pub struct VectorizeArgs {
    /// Label raster, as `segearth run` writes it
    pub labels: PathBuf,
    /// Add the confidence of every polygon from this score raster of the same scene
    #[arg(long, value_name = "SCORES.tif")]
    pub scores: Option<PathBuf>,
    /// Make this product
    #[arg(long, value_enum, default_value = "landcover")]
    pub recipe: RecipeName,
    /// Write the result to this file: .gpkg, .fgb, .parquet, .geojson, .geojsonl, .ndjson or .shp
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Replace outputs that exist; in a GeoPackage with other layers, replace the layer alone
    #[arg(long)]
    pub overwrite: bool,
    /// Take this class, by name or value; may be repeated [default: as the recipe's name says]
    #[arg(long = "class", value_name = "NAME|NUMBER", allow_negative_numbers = true)]
    pub classes: Vec<String>,
    /// Keep the class background (land cover, plain)
    #[arg(long)]
    pub keep_background: bool,
    /// Connect pixels that share only a corner (plain)
    #[arg(long)]
    pub diagonal: bool,
    /// Reproject the result to this CRS, for example EPSG:3857; GeoJSON is always WGS 84
    #[arg(long, value_name = "CRS")]
    pub t_srs: Option<String>,
    /// Write a layer for each class (GeoPackage)
    #[arg(long)]
    pub layer_per_class: bool,
    /// Remove smaller polygons (m²; pixels without a CRS); in land cover, merge them into their largest neighbour
    #[arg(long, value_name = "M2")]
    pub min_area: Option<f64>,
    /// Fill holes up to this area (m²)
    #[arg(long, value_name = "M2")]
    pub max_hole: Option<f64>,
    /// Set the opening radius (m): parts thinner than twice that are removed
    #[arg(long, value_name = "M")]
    pub opening: Option<f64>,
    /// Set the closing radius (m): gaps narrower than twice that are filled
    #[arg(long, value_name = "M")]
    pub closing: Option<f64>,
    /// Simplify borders with this tolerance (m); 0 keeps every corner [default: one pixel]
    #[arg(long, value_name = "M")]
    pub tolerance: Option<f64>,
    /// Smooth the borders (default for water)
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub smooth: Option<bool>,
    /// Keep pixel outlines instead of squared ones (buildings)
    #[arg(long)]
    pub plain_outlines: bool,
    /// Keep the pixel outline where the squared one overlaps it by less (IoU, 0 to 1; buildings)
    #[arg(long, value_name = "IOU")]
    pub least_iou: Option<f64>,
    /// Bridge gaps up to this width (m; roads)
    #[arg(long, value_name = "M")]
    pub max_gap: Option<f64>,
    /// Remove networks of less total length (m; roads)
    #[arg(long, value_name = "M")]
    pub min_length: Option<f64>,
    /// Remove dead ends shorter than this (m; roads)
    #[arg(long, value_name = "M")]
    pub min_spur: Option<f64>,
    /// Write the graph to this GraphML file (roads)
    #[arg(long, value_name = "GRAPH.graphml")]
    pub graph: Option<PathBuf>,
    /// Subtract these polygons, such as permanent water (water)
    #[arg(long, value_name = "FILE[:LAYER]")]
    pub subtract: Option<PathBuf>,
    /// Sum up the water in each of these polygons, as a table (water)
    #[arg(long, value_name = "FILE[:LAYER]")]
    pub zones: Option<PathBuf>,
    /// Name zones by this field
    #[arg(long, value_name = "FIELD")]
    pub zone_field: Option<String>,
    /// Add a field that says how a polygon was found; may be repeated
    #[arg(long = "field", value_enum, value_name = "FIELD")]
    pub fields: Vec<FieldName>,
    /// Write the table of zones to this file [default: OUT_zones.csv]
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
    /// An option that the recipe does not support, or a number out of range.
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
            fields: self.fields.iter().map(|field| field.kind()).collect(),
        };
        match options.invalid_options(self.recipe()).into_iter().next() {
            Some(misfit) => {
                let flag = if misfit.key == "classes" { "class".to_owned() } else { misfit.key.replace('_', "-") };
                Err(Error::input(format!("--{flag}: {}", misfit.message)).with_hint(misfit.hint))
            }
            None => Ok(options),
        }
    }
}
