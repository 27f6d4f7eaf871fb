//! One layer of a vector file, read feature by feature.

use std::path::Path;

use gdal::spatial_ref::{AxisMappingStrategy, SpatialRef};
use gdal::vector::{Feature, LayerAccess};
use gdal::{Dataset, DatasetOptions, GdalOpenFlags};

use super::open::names_file;
use super::{messages, remote};
use crate::error::{Context, Error, Result};

/// Which layer of which file.
pub(super) struct LayerSource<'a> {
    pub path: &'a Path,
    /// `None`: the file's only layer.
    pub layer: Option<&'a str>,
    /// The field whose index is handed on with each feature.
    pub field: Option<&'a str>,
    /// What the features are, for messages: `polygons`.
    pub what: &'a str,
    /// How to name a layer, and a field, where this one is missing.
    pub layer_hint: &'a str,
    pub field_hint: &'a str,
}

/// Reads the features of a layer in the file's order. `begin` is given the layer's CRS, with x before y; `each` what `begin`
/// returned, a feature, and the index of the field. An error of `each` gets the feature's number.
///
/// # Errors
/// [`Kind::Input`](crate::error::Kind::Input): the file or a feature cannot be read, the layer or field is missing or has
/// to be named; errors of `begin` and `each`.
pub(super) fn read<S>(
    source: &LayerSource<'_>,
    begin: impl FnOnce(Option<SpatialRef>) -> Result<S>,
    mut each: impl FnMut(&mut S, &Feature<'_>, Option<usize>) -> Result<()>,
) -> Result<S> {
    super::init();
    let LayerSource { path, layer, field, what, layer_hint, field_hint } = *source;
    let shown = path.display();
    let open = || {
        let open_flags = GdalOpenFlags::GDAL_OF_VECTOR | GdalOpenFlags::GDAL_OF_READONLY;
        let options = DatasetOptions { open_flags, ..DatasetOptions::default() };
        messages::attempt(|| Dataset::open_ex(path, options))
    };
    let dataset = remote::with_retries(&[path], open).map_err(|cause| {
        if names_file(path) && !path.exists() {
            return Error::input(format!("there is no file {shown}"))
                .with_hint(format!("Check the path of the {what}."));
        }
        Error::input(format!("cannot open {shown}"))
            .with_hint(
                "Give a vector file that GDAL reads: GeoPackage, GeoJSON, FlatGeobuf or Shapefile; \
                 few builds of GDAL read GeoParquet.",
            )
            .with_source(cause)
    })?;
    // QGIS keeps the styles of layers in a table of a GeoPackage.
    let all: Vec<String> = dataset.layers().map(|layer| layer.name()).filter(|name| name != "layer_styles").collect();
    let names = || all.join(", ");
    let mut layer = match (layer, all.len()) {
        (Some(name), _) => messages::attempt(|| dataset.layer_by_name(name))
            .input(|| format!("{shown} has no layer {name:?}; its layers are: {}", names()))?,
        (None, 1) => {
            let only = all.first().map_or("", String::as_str);
            messages::attempt(|| dataset.layer_by_name(only)).input(|| format!("cannot read {shown}"))?
        }
        (None, 0) => return Err(Error::input(format!("{shown} has no layers"))),
        (None, count) => {
            return Err(Error::input(format!("{shown} has {count} layers: {}", names())).with_hint(layer_hint));
        }
    };
    let fields: Vec<String> = layer.defn().fields().map(|field| field.name()).collect();
    let index = |wanted: &str| {
        fields.iter().position(|name| name.eq_ignore_ascii_case(wanted)).ok_or_else(|| {
            let known = if fields.is_empty() { "none".to_owned() } else { fields.join(", ") };
            Error::input(format!("the {what} of {shown} have no field {wanted:?}; their fields are: {known}"))
                .with_hint(field_hint)
        })
    };
    // An empty GeoJSON has no fields.
    let empty = fields.is_empty() && layer.feature_count() == 0;
    let field = field.filter(|_| !empty).map(index).transpose()?;
    let mut state = begin(layer.spatial_ref().map(|mut crs| {
        crs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
        crs
    }))?;
    let (collected, complete) = messages::attempt_features(|| {
        layer.features().try_for_each(|feature| -> Result<()> {
            let number = || feature.fid().map_or_else(|| "a feature".to_owned(), |id| format!("feature {id}"));
            each(&mut state, &feature, field).input(|| format!("cannot use {} of {shown}", number()))
        })
    });
    // A feature that cannot be read looks like the end of the file.
    complete.input(|| format!("cannot read all features of {shown}"))?;
    collected?;
    Ok(state)
}
