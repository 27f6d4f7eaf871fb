//! Bulk loading of the spatial index of a GeoPackage.
//!
//! SQLite stores an R-tree in three ordinary tables: nodes as blobs, the parent of each node, the leaf of each row. They are
//! written directly from sorted boxes (sort-tile-recursive packing), in a fraction of the time of a million insertions.
//! GDAL creates the empty index with its triggers, which are dropped while features are written.
//!
//! This is our own code because GDAL loads the index in bulk only from version 3.8 on. With that as the oldest supported
//! version, `SPATIAL_INDEX=YES` replaces this module.

use std::fmt::Write as _;

use gdal::Dataset;
use gdal::vector::LayerAccess;
use gdal::vector::sql::Dialect;

use crate::error::{Context, Error, Result};

/// The bounding box of a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    pub id: i64,
    /// West, east, south, north, rounded outwards.
    pub bounds: [f32; 4],
}

impl Item {
    pub fn new(id: i64, [west, east, south, north]: [f64; 4]) -> Self {
        Self { id, bounds: [round_down(west), round_up(east), round_down(south), round_up(north)] }
    }
}

fn round_down(value: f64) -> f32 {
    let rounded = value as f32;
    if f64::from(rounded) > value { rounded.next_down() } else { rounded }
}

fn round_up(value: f64) -> f32 {
    let rounded = value as f32;
    if f64::from(rounded) < value { rounded.next_up() } else { rounded }
}

/// Cells per node, as SQLite chooses them for two dimensions.
const CELLS: usize = 51;
const CELL_BYTES: usize = 24;
const NODE_BYTES: usize = 4 + CELLS * CELL_BYTES;
/// Rows per statement.
const ROWS: usize = 2000;

/// The index of one layer while its features are being written.
pub struct SpatialIndex {
    table: String,
    /// The triggers that maintain the index, to restore at the end.
    triggers: Vec<String>,
    items: Vec<Item>,
}

impl SpatialIndex {
    /// Creates the empty index of a layer with the geometry column `geom`.
    pub fn create(dataset: &Dataset, layer: &str) -> Result<Self> {
        let quoted = layer.replace('\'', "''");
        run(dataset, &format!("SELECT CreateSpatialIndex('{quoted}', 'geom')"))?;
        let table = format!("rtree_{layer}_geom");
        let like = table.replace('\'', "''");
        let query = format!(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, {}) = '{like}_'",
            table.chars().count() + 1
        );
        let mut names = Vec::new();
        let mut triggers = Vec::new();
        if let Some(mut found) = dataset
            .execute_sql(&query, None, Dialect::DEFAULT)
            .internal(|| "cannot read the triggers of the spatial index".into())?
        {
            for feature in found.features() {
                let text = |field| feature.field_as_string(field).ok().flatten().unwrap_or_default();
                names.push(text(0));
                triggers.push(text(1));
            }
        }
        for name in names {
            run(dataset, &format!("DROP TRIGGER \"{}\"", name.replace('"', "\"\"")))?;
        }
        Ok(Self { table, triggers, items: Vec::new() })
    }

    pub fn extend(&mut self, items: impl IntoIterator<Item = Item>) {
        self.items.extend(items);
    }

    /// Writes the index and restores the triggers.
    pub fn finish(self, dataset: &Dataset) -> Result<()> {
        let Self { table, triggers, items } = self;
        if !items.is_empty() {
            write(dataset, &table.replace('"', "\"\""), items)?;
        }
        triggers.iter().try_for_each(|trigger| run(dataset, trigger))
    }
}

fn run(dataset: &Dataset, sql: &str) -> Result<()> {
    dataset
        .execute_sql(sql, None, Dialect::DEFAULT)
        .map(drop)
        .map_err(|error| Error::input("cannot write the GeoPackage's spatial index").with_source(error))
}

/// Sorts items so that consecutive `CELLS` of them form a compact node.
fn pack(items: &mut [Item]) {
    let middle = |item: &Item, axis: usize| item.bounds[axis] + item.bounds[axis + 1];
    let nodes = items.len().div_ceil(CELLS);
    let slices = (nodes as f64).sqrt().ceil() as usize;
    let slice = slices.max(1) * CELLS;
    items.sort_unstable_by(|a, b| middle(a, 0).total_cmp(&middle(b, 0)));
    for slice in items.chunks_mut(slice) {
        slice.sort_unstable_by(|a, b| middle(a, 2).total_cmp(&middle(b, 2)));
    }
}

fn union(items: &[Item]) -> [f32; 4] {
    items.iter().fold([f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY, f32::NEG_INFINITY], |u, item| {
        let b = item.bounds;
        [u[0].min(b[0]), u[1].max(b[1]), u[2].min(b[2]), u[3].max(b[3])]
    })
}

fn write(dataset: &Dataset, table: &str, mut items: Vec<Item>) -> Result<()> {
    run(dataset, "BEGIN")?;
    run(dataset, &format!("DELETE FROM \"{table}_node\""))?;
    let mut nodes = Statement::new(format!("INSERT INTO \"{table}_node\" VALUES "), 64);
    let mut parents = Statement::new(format!("INSERT INTO \"{table}_parent\" VALUES "), ROWS);
    let mut leaves: Vec<(i64, u32)> = Vec::with_capacity(items.len());
    // Node 1 is the root; the other nodes are numbered from the leaves up.
    let mut number = 1;
    let mut depth = 0;
    while items.len() > CELLS {
        pack(&mut items);
        let mut above = Vec::with_capacity(items.len().div_ceil(CELLS));
        for cells in items.chunks(CELLS) {
            number += 1;
            nodes.row(dataset, |sql| node(sql, number, 0, cells))?;
            for cell in cells {
                if depth == 0 {
                    leaves.push((cell.id, number as u32));
                } else {
                    parents.row(dataset, |sql| {
                        let _ = write!(sql, "({},{number})", cell.id);
                    })?;
                }
            }
            above.push(Item { id: number, bounds: union(cells) });
        }
        items = above;
        depth += 1;
    }
    nodes.row(dataset, |sql| node(sql, 1, depth, &items))?;
    for item in &items {
        if depth == 0 {
            leaves.push((item.id, 1));
        } else {
            parents.row(dataset, |sql| {
                let _ = write!(sql, "({},1)", item.id);
            })?;
        }
    }
    nodes.flush(dataset)?;
    parents.flush(dataset)?;
    // In key order every row is appended at the end of the table.
    leaves.sort_unstable();
    let mut rows = Statement::new(format!("INSERT INTO \"{table}_rowid\" (rowid, nodeno) VALUES "), ROWS);
    for (id, leaf) in leaves {
        rows.row(dataset, |sql| {
            let _ = write!(sql, "({id},{leaf})");
        })?;
    }
    rows.flush(dataset)?;
    run(dataset, "COMMIT")
}

/// The row of a node: its number and its blob; numbers are big-endian.
fn node(sql: &mut String, number: i64, depth: u16, cells: &[Item]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut blob = Vec::with_capacity(NODE_BYTES);
    blob.extend(depth.to_be_bytes());
    blob.extend((cells.len() as u16).to_be_bytes());
    for cell in cells {
        blob.extend(cell.id.to_be_bytes());
        cell.bounds.iter().for_each(|side| blob.extend(side.to_be_bytes()));
    }
    blob.resize(NODE_BYTES, 0);
    let _ = write!(sql, "({number},x'");
    for byte in blob {
        sql.push(char::from(HEX[usize::from(byte >> 4)]));
        sql.push(char::from(HEX[usize::from(byte & 15)]));
    }
    sql.push_str("')");
}

/// An INSERT statement with many rows.
struct Statement {
    head: String,
    sql: String,
    rows: usize,
    max_rows: usize,
}

impl Statement {
    fn new(head: String, max_rows: usize) -> Self {
        Self { sql: head.clone(), head, rows: 0, max_rows }
    }

    fn row(&mut self, dataset: &Dataset, add: impl FnOnce(&mut String)) -> Result<()> {
        if self.rows > 0 {
            self.sql.push(',');
        }
        add(&mut self.sql);
        self.rows += 1;
        if self.rows == self.max_rows { self.flush(dataset) } else { Ok(()) }
    }

    fn flush(&mut self, dataset: &Dataset) -> Result<()> {
        if self.rows > 0 {
            run(dataset, &self.sql)?;
            self.sql.clone_from(&self.head);
            self.rows = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::feature::{Feature, Field, FieldKind, GeometryKind, LayerSpec, Value};
    use super::super::wkb::polygon_wkb;
    use super::super::write::VectorWriter;
    use super::*;
    use geo::Polygon;

    #[test]
    fn index_passes_rtreecheck_and_serves_queries() {
        for count in [0usize, 1, 51, 52, 3000] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("it's.gpkg");
            let fields = vec![Field::new("n", "n", FieldKind::Integer)];
            let layer = LayerSpec::new("O'Hara \"x\"", GeometryKind::Polygon, fields);
            let mut writer = VectorWriter::create(&path, None, &[layer]).unwrap();
            let features = (0..count)
                .map(|index| {
                    let (x, y) = ((index * 37 % 101) as f64, (index * 61 % 97) as f64 + 0.1);
                    let ring = [(0.0, 0.0), (0.5, 0.0), (0.5, 0.7)].map(|(dx, dy)| (x + dx, y + dy)).to_vec();
                    let values = vec![Value::Integer(index as i64)];
                    Feature { layer: 0, wkb: polygon_wkb(&Polygon::new(ring.into(), vec![])), values }
                })
                .collect();
            writer.write(features).unwrap();
            writer.finish().unwrap();
            let dataset = Dataset::open(&path).unwrap();
            let check = "SELECT rtreecheck('rtree_O''Hara \"x\"_geom')";
            let mut result = dataset.execute_sql(check, None, Dialect::DEFAULT).unwrap().unwrap();
            let verdict = result.features().next().unwrap().field_as_string(0).unwrap();
            assert_eq!(verdict.as_deref(), Some("ok"), "{count} features");
            drop(result);
            let mut layer = dataset.layer(0).unwrap();
            layer.set_spatial_filter_rect(10.2, 10.2, 40.2, 50.2);
            let found = layer.features().count();
            let expected = (0..count)
                .filter(|index| {
                    let (x, y) = ((index * 37 % 101) as f64, (index * 61 % 97) as f64 + 0.1);
                    x <= 40.2 && x + 0.5 >= 10.2 && y <= 50.2 && y + 0.7 >= 10.2
                })
                .count();
            assert!(found.abs_diff(expected) <= count / 50, "{found} of {expected}");
            if count > 100 {
                assert!(found > 100);
            }
        }
    }
}
