//! Styles in a GeoPackage: the table `layer_styles`, which QGIS writes and reads. A style that a user has stored there stays, and
//! stays the default.

use gdal::vector::LayerAccess as _;
use gdal::vector::sql::Dialect;
use gdal::{Dataset, errors::Result};

use super::feature::LayerSpec;

/// The name of the table.
pub const TABLE: &str = "layer_styles";
/// Who a style belongs to, by its column `owner`.
const OWNER: &str = "segearth";
/// The name by which QGIS lists the style.
const STYLE: &str = "segearth classes";

/// Stores the styles of layers as their defaults.
pub fn write(dataset: &Dataset, layers: &[LayerSpec]) -> Result<()> {
    let styled: Vec<(&LayerSpec, String)> =
        layers.iter().filter_map(|layer| Some((layer, layer.qml(false)?))).collect();
    if styled.is_empty() {
        return Ok(());
    }
    if !exists(dataset)? {
        create(dataset)?;
    } else if !has_columns(dataset)? {
        // A table of another program's: its layers keep their looks, ours have none.
        return Ok(());
    }
    for (layer, style) in styled {
        let name = quoted(&layer.name);
        run(dataset, &format!("DELETE FROM {TABLE} WHERE f_table_name = {name} AND owner = '{OWNER}'"))?;
        run(
            dataset,
            &format!(
                "INSERT INTO {TABLE} (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML, styleSLD, \
                 useAsDefault, description, owner, ui) SELECT '', '', {name}, 'geom', '{STYLE}', {}, '', NOT EXISTS (SELECT 1 FROM \
                 {TABLE} WHERE f_table_name = {name} AND useAsDefault), {}, '{OWNER}', ''",
                quoted(&style),
                quoted(&layer.description)
            ),
        )?;
    }
    Ok(())
}

/// Whether an existing table has the columns that QGIS gives it.
fn has_columns(dataset: &Dataset) -> Result<bool> {
    const NEEDED: [&str; 7] =
        ["f_table_schema", "f_table_name", "f_geometry_column", "styleName", "styleQML", "useAsDefault", "owner"];
    let query = format!("SELECT name FROM pragma_table_info('{TABLE}')");
    let Some(mut found) = dataset.execute_sql(query, None, Dialect::DEFAULT)? else { return Ok(false) };
    let names: Vec<String> = found.features().filter_map(|row| row.field_as_string(0).ok().flatten()).collect();
    Ok(NEEDED.iter().all(|needed| names.iter().any(|name| name.eq_ignore_ascii_case(needed))))
}

/// Takes the styles of a layer aside before it is deleted, which deletes them too; [`restore`] brings them back.
pub fn put_aside(dataset: &Dataset, layer: &str) -> Result<()> {
    if !exists(dataset)? || !has_columns(dataset)? {
        return Ok(());
    }
    let (name, aside) = (quoted(layer), quoted(&aside(layer)));
    run(dataset, &format!("UPDATE {TABLE} SET f_table_name = {aside} WHERE f_table_name = {name} COLLATE NOCASE"))
}

/// See [`put_aside`].
pub fn restore(dataset: &Dataset, layer: &str) -> Result<()> {
    if !exists(dataset)? || !has_columns(dataset)? {
        return Ok(());
    }
    let (name, aside) = (quoted(layer), quoted(&aside(layer)));
    run(dataset, &format!("UPDATE {TABLE} SET f_table_name = {name} WHERE f_table_name = {aside}"))
}

fn aside(layer: &str) -> String {
    format!("{layer} (replaced)")
}

fn exists(dataset: &Dataset) -> Result<bool> {
    let query = format!("SELECT name FROM sqlite_master WHERE name = '{TABLE}'");
    Ok(dataset.execute_sql(query, None, Dialect::DEFAULT)?.is_some_and(|mut found| found.features().next().is_some()))
}

/// Creates the table as QGIS does, and registers it, so that it is not taken for a stranger's.
fn create(dataset: &Dataset) -> Result<()> {
    const NOW: &str = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";
    run(
        dataset,
        &format!(
            "CREATE TABLE {TABLE} (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256), \
             f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, \
             description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME DEFAULT ({NOW}))"
        ),
    )?;
    run(
        dataset,
        &format!(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change, srs_id) VALUES ('{TABLE}', \
             'attributes', '{TABLE}', '', {NOW}, 0)"
        ),
    )
}

/// A text literal of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\0', " ").replace('\'', "''"))
}

fn run(dataset: &Dataset, sql: &str) -> Result<()> {
    dataset.execute_sql(sql, None, Dialect::DEFAULT).map(drop)
}
