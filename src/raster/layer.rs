//! One layer of a vector file, read feature by feature.

use std::path::Path;

use gdal::spatial_ref::{AxisMappingStrategy, SpatialRef};
use gdal::vector::{Feature, LayerAccess, OGRwkbGeometryType};
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
    /// The CRS that a table's coordinates may be in, for messages: `EPSG:32621`.
    pub crs: Option<&'a str>,
}

/// What is known of a layer before its features.
pub(super) struct LayerFacts {
    /// With x before y.
    pub crs: Option<SpatialRef>,
    /// The columns of x and y that a text table's points are made of.
    pub columns: Option<[String; 2]>,
}

/// Columns of a CSV file that are taken for x and for y.
const COLUMNS: [&[&str]; 2] = [
    &["x", "lon", "long", "longitude", "easting", "east", "point_x", "coord_x"],
    &["y", "lat", "latitude", "northing", "north", "point_y", "coord_y"],
];

/// Reads the features of a layer in the file's order. `begin` is given what is known of the layer; `each` what `begin`
/// returned, a feature, and the index of the field. An error of `each` gets the feature's number.
///
/// # Errors
/// [`Kind::Input`](crate::error::Kind::Input): the file or a feature cannot be read, the layer or field is missing or has
/// to be named, the features have no geometry; errors of `begin` and `each`.
pub(super) fn read<S>(
    source: &LayerSource<'_>,
    begin: impl FnOnce(LayerFacts) -> Result<S>,
    mut each: impl FnMut(&mut S, &Feature<'_>, Option<usize>) -> Result<()>,
) -> Result<S> {
    super::init();
    let LayerSource { path, layer, field, what, layer_hint, field_hint, .. } = *source;
    let shown = path.display();
    let [x, y] = COLUMNS.map(|names| names.join(","));
    let columns = [format!("X_POSSIBLE_NAMES={x}"), format!("Y_POSSIBLE_NAMES={y}")];
    let columns = columns.each_ref().map(String::as_str);
    let open = || {
        let open_flags = GdalOpenFlags::GDAL_OF_VECTOR | GdalOpenFlags::GDAL_OF_READONLY;
        // Other formats have no such options.
        let open_options = is_csv(path).then_some(&columns[..]);
        let options = DatasetOptions { open_flags, open_options, ..DatasetOptions::default() };
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
    let rows = layer.feature_count();
    let without = layer.defn().geometry_type() == OGRwkbGeometryType::wkbNone;
    if without && rows > 0 {
        let error = Error::input(format!("{shown} has no geometry (fields {})", fields.join(", ")));
        return Err(error.with_hint(geometry_hint(source)));
    }
    let index = |wanted: &str| {
        fields.iter().position(|name| name.eq_ignore_ascii_case(wanted)).ok_or_else(|| {
            let known = if fields.is_empty() { "none".to_owned() } else { fields.join(", ") };
            Error::input(format!("the {what} of {shown} have no field {wanted:?}; their fields are: {known}"))
                .with_hint(field_hint)
        })
    };
    // An empty GeoJSON has no fields.
    let empty = fields.is_empty() && rows == 0;
    let field = field.filter(|_| !empty).map(index).transpose()?;
    let crs = layer.spatial_ref().map(|mut crs| {
        crs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
        crs
    });
    let columns = is_csv(path).then(|| coordinate_columns(&fields)).flatten();
    let mut state = begin(LayerFacts { crs, columns })?;
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

fn is_csv(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

/// The columns that GDAL makes points of, as it was told to.
fn coordinate_columns(fields: &[String]) -> Option<[String; 2]> {
    let find = |names: &[&str]| fields.iter().find(|field| names.iter().any(|name| field.eq_ignore_ascii_case(name)));
    let [x, y] = COLUMNS;
    Some([find(x)?.clone(), find(y)?.clone()])
}

/// The command that makes a layer with a CRS of a file; `columns` are those of x and y in a table.
pub(super) fn to_geopackage(path: &Path, crs: Option<&str>, columns: Option<[&str; 2]>) -> String {
    let crs = crs.unwrap_or("EPSG:…");
    let columns =
        columns.map_or_else(String::new, |[x, y]| format!("-oo X_POSSIBLE_NAMES={x} -oo Y_POSSIBLE_NAMES={y} "));
    format!("`ogr2ogr -a_srs {crs} {columns}OUT.gpkg {}`", path.display())
}

fn geometry_hint(source: &LayerSource<'_>) -> String {
    if is_csv(source.path) {
        let command = to_geopackage(source.path, source.crs, Some(["COLUMN", "COLUMN"]));
        return format!("Name its columns x and y, or lon and lat; or make points of others with {command}.");
    }
    format!("Give a layer whose {} are drawn: a table of fields says nothing of where they are.", source.what)
}
