//! GeoParquet 1.1: rows in groups, a bounding box per row so that readers can skip groups, and the `geo` metadata.
//!
//! This is our own writer on the `parquet` crate because GDAL writes GeoParquet only if it was built with Arrow, which
//! the packages of Debian and Ubuntu are not, and writes version 1.1 with bounding boxes only from GDAL 3.9 on. When such
//! builds are common, `ogr` can write this format too.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use gdal::spatial_ref::SpatialRef;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use serde_json::{Value as Json, json};

use super::feature::{Feature, FieldKind, GeometryKind, LayerSpec, Value};
use super::{ffi, wkb};
use crate::error::{Context, Error, Result};

const GEOMETRY: &str = "geometry";
const BOX: &str = "bbox";
const SIDES: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

/// Limits of a row group, which is kept in memory: rows, and bytes of geometry.
const GROUP: usize = 65_536;
const GROUP_BYTES: usize = 32 << 20;

type Parquet<T> = std::result::Result<T, ParquetError>;

/// A file under construction.
pub struct GeoParquet {
    writer: SerializedFileWriter<File>,
    layer: LayerSpec,
    /// The CRS as PROJJSON; null without one.
    crs: Json,
    rows: Vec<Feature>,
    bytes: usize,
    bounds: Option<[f64; 4]>,
    /// The user's path, for messages.
    name: String,
}

impl GeoParquet {
    pub fn create(path: &Path, name: &str, crs_wkt: Option<&str>, layer: &LayerSpec) -> Result<Self> {
        let crs = match crs_wkt {
            Some(wkt) => projjson(wkt)?,
            None => Json::Null,
        };
        let schema = schema(layer).internal(|| format!("the fields of {name} do not make a Parquet schema"))?;
        let column = ColumnPath::from(GEOMETRY);
        let properties = WriterProperties::builder()
            .set_created_by(format!("segearth {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::SNAPPY)
            // Geometries do not repeat, and their byte order is meaningless.
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_statistics_enabled(column, EnabledStatistics::None)
            .build();
        let writer = File::create(path)
            .map_err(ParquetError::from)
            .and_then(|file| SerializedFileWriter::new(file, schema, Arc::new(properties)))
            .input(|| format!("cannot create {name}"))?;
        let (layer, name) = (layer.clone(), name.to_owned());
        Ok(Self { writer, layer, crs, rows: Vec::new(), bytes: 0, bounds: None, name })
    }

    pub fn write(&mut self, features: Vec<Feature>) -> Result<()> {
        for feature in features {
            self.bytes += feature.wkb.len();
            self.rows.push(feature);
            if self.rows.len() >= GROUP || self.bytes >= GROUP_BYTES {
                self.write_group()?;
            }
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<()> {
        if !self.rows.is_empty() {
            self.write_group()?;
        }
        let geo = self.metadata().to_string();
        self.writer.append_key_value_metadata(KeyValue::new("geo".to_owned(), geo));
        let name = self.name;
        self.writer.close().input(|| format!("cannot complete {name}"))?;
        Ok(())
    }

    /// Writes the buffered rows as one group.
    fn write_group(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut boxes = Vec::with_capacity(rows.len());
        for row in &rows {
            let bounds = wkb::bounds(&row.wkb)
                .ok_or_else(|| Error::internal(format!("a geometry for {} has no points", self.name)))?;
            let [west, south, east, north] = bounds;
            let whole = self.bounds.get_or_insert(bounds);
            *whole = [whole[0].min(west), whole[1].min(south), whole[2].max(east), whole[3].max(north)];
            boxes.push(bounds);
        }
        let (kinds, name) = (self.layer.fields.iter().map(|field| field.kind), &self.name);
        let written = self.writer.next_row_group().and_then(|mut group| {
            for (index, kind) in kinds.enumerate() {
                attribute(&mut group, kind, rows.iter().map(|row| row.values.get(index)))?;
            }
            let geometries: Vec<ByteArray> = rows.into_iter().map(|row| ByteArray::from(row.wkb)).collect();
            column::<ByteArrayType>(&mut group, &geometries, None)?;
            for side in 0..SIDES.len() {
                let side: Vec<f64> = boxes.iter().map(|bounds| bounds[side]).collect();
                column::<DoubleType>(&mut group, &side, None)?;
            }
            group.close()
        });
        written
            .map(drop)
            .input(|| format!("cannot write to {name}"))
            .map_err(|error| error.with_hint("Check the free disk space."))
    }

    fn metadata(&self) -> Json {
        let kind = match self.layer.geometry {
            GeometryKind::Point => "Point",
            GeometryKind::LineString => "LineString",
            GeometryKind::Polygon => "Polygon",
            GeometryKind::MultiPolygon => "MultiPolygon",
        };
        let covering: serde_json::Map<String, Json> =
            SIDES.iter().map(|side| ((*side).to_owned(), json!([BOX, side]))).collect();
        let mut column =
            json!({"encoding": "WKB", "geometry_types": [kind], "crs": self.crs, "covering": {"bbox": covering}});
        if let Some(bounds) = self.bounds {
            column["bbox"] = json!(bounds);
        }
        json!({"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}})
    }
}

fn projjson(wkt: &str) -> Result<Json> {
    let srs = SpatialRef::from_definition(wkt).input(|| "cannot parse the CRS".into())?;
    let text = ffi::projjson(&srs).map_err(|text| {
        Error::input("the CRS has no PROJJSON form, which GeoParquet requires")
            .with_source(text)
            .with_hint("Choose another CRS with --t-srs, or write a .gpkg or .fgb.")
    })?;
    serde_json::from_str(&text).internal(|| "PROJ returned invalid JSON".into())
}

/// The columns in the order in which a group writes them: attributes, geometry, bounding box.
fn schema(layer: &LayerSpec) -> Parquet<TypePtr> {
    let mut fields = Vec::new();
    for field in &layer.fields {
        let (physical, logical) = match field.kind {
            FieldKind::Integer => (Physical::INT64, None),
            FieldKind::Real => (Physical::DOUBLE, None),
            FieldKind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
        };
        let builder = Type::primitive_type_builder(field.name, physical).with_logical_type(logical);
        fields.push(Arc::new(builder.with_repetition(Repetition::OPTIONAL).build()?));
    }
    let required = |name, physical| {
        Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED).build().map(Arc::new)
    };
    fields.push(required(GEOMETRY, Physical::BYTE_ARRAY)?);
    let sides = SIDES.iter().map(|side| required(side, Physical::DOUBLE)).collect::<Parquet<_>>()?;
    let group = Type::group_type_builder(BOX).with_repetition(Repetition::REQUIRED).with_fields(sides);
    fields.push(Arc::new(group.build()?));
    Type::group_type_builder("schema").with_fields(fields).build().map(Arc::new)
}

/// Writes one attribute of all rows of a group.
fn attribute<'a>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    kind: FieldKind,
    values: impl Iterator<Item = Option<&'a Value>>,
) -> Parquet<()> {
    let values: Vec<Option<&Value>> = values.map(|value| value.filter(|value| **value != Value::Missing)).collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let present = values.into_iter().flatten();
    match kind {
        FieldKind::Integer => {
            let numbers: Vec<i64> =
                present.map(|value| if let Value::Integer(number) = value { *number } else { 0 }).collect();
            column::<Int64Type>(group, &numbers, Some(&levels))
        }
        FieldKind::Real => {
            let numbers: Vec<f64> =
                present.map(|value| if let Value::Real(number) = value { *number } else { f64::NAN }).collect();
            column::<DoubleType>(group, &numbers, Some(&levels))
        }
        FieldKind::Text => {
            let texts: Vec<ByteArray> = present
                .map(|value| match value {
                    Value::Text(text) => ByteArray::from(text.to_string_lossy().as_ref()),
                    _ => ByteArray::from(""),
                })
                .collect();
            column::<ByteArrayType>(group, &texts, Some(&levels))
        }
    }
}

/// Writes the next column of a group; `levels`: 1 for each row with a value, 0 without.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Parquet<()> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the group has more columns than its schema".into()));
    };
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::super::polygonize::{Options, polygonize};
    use super::super::testing::{Scene, UTM_CENTRE, read_back};
    use super::*;

    #[rustfmt::skip]
    const LABELS: [u16; 12] = [
        0, 1, 1, 255,
        0, 1, 2, 255,
        2, 1, 1, 1,
    ];

    /// The `geo` metadata of a file and its number of row groups.
    fn metadata(path: &Path) -> (Json, usize) {
        let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
        let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap();
        let geo = pairs.iter().find(|pair| pair.key == "geo").unwrap().value.as_deref().unwrap();
        (serde_json::from_str(geo).unwrap(), reader.num_row_groups())
    }

    #[test]
    fn metadata_has_crs_and_bounding_box() {
        let scene = Scene::utm(&LABELS, 4);
        let out = scene.path("a.parquet");
        polygonize(&scene.labels, None, &[], &[0], &out, &Options::default()).unwrap();
        let (geo, _) = metadata(&out);
        assert_eq!((&geo["version"], &geo["primary_column"]), (&json!("1.1.0"), &json!("geometry")));
        let column = &geo["columns"]["geometry"];
        assert_eq!((&column["encoding"], &column["geometry_types"]), (&json!("WKB"), &json!(["Polygon"])));
        assert_eq!(column["crs"]["id"], json!({"authority": "EPSG", "code": 32632}));
        // Pixels of 2 m from 500000, 5540000; the first column is left out but for its last row.
        assert_eq!(column["bbox"], json!([500_000.0, 5_539_994.0, 500_008.0, 5_540_000.0]));
        assert_eq!(column["covering"]["bbox"]["ymax"], json!(["bbox", "ymax"]));
        let options = Options { target_crs: Some("EPSG:3857".into()), ..Options::default() };
        polygonize(&scene.labels, None, &[], &[0], &out, &options).unwrap();
        assert_eq!(metadata(&out).0["columns"]["geometry"]["crs"]["id"]["code"], json!(3857));
        let nowhere = Scene::plain(&LABELS, 4);
        let out = nowhere.path("a.parquet");
        polygonize(&nowhere.labels, None, &[], &[0], &out, &Options::default()).unwrap();
        assert_eq!(metadata(&out).0["columns"]["geometry"]["crs"], Json::Null);
    }

    #[test]
    fn missing_scores_are_null() {
        let scene = Scene::utm(&LABELS, 4);
        let scores = scene.scores(&[[0.25; 12], [0.5; 12]].concat(), 2);
        let out = scene.path("a.parquet");
        polygonize(&scene.labels, Some(&scores), &[], &[0], &out, &Options::default()).unwrap();
        let mut found: Vec<_> =
            read_back(&out).iter().map(|row| (row.integer("class_id"), row.real("confidence"))).collect();
        found.sort_by_key(|row| row.0);
        // There is no band for class 2.
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], (1, 0.5));
        assert!(found[1..].iter().all(|row| row.0 == 2 && row.1.is_nan()), "{found:?}");
    }

    #[test]
    fn rows_fill_several_groups_and_empty_file_has_none() {
        // A chessboard of 400 × 400 pixels.
        let labels: Vec<u16> = (0..160_000u32).map(|at| 1 + ((at % 400 + at / 400) % 2) as u16).collect();
        let scene = Scene::utm(&labels, 400);
        let out = scene.path("a.parquet");
        polygonize(&scene.labels, None, &[], &[], &out, &Options::default()).unwrap();
        assert_eq!(metadata(&out).1, 160_000usize.div_ceil(GROUP));
        let found = read_back(&out);
        assert_eq!(found.len(), 160_000);
        let area = found.iter().map(|row| row.real("area_m2")).sum::<f64>();
        assert!((area / (640_000.0 * UTM_CENTRE) - 1.0).abs() < 1e-3, "{area}");
        polygonize(&scene.labels, None, &[], &[1, 2], &out, &Options::default()).unwrap();
        let (geo, groups) = metadata(&out);
        assert_eq!(groups, 0);
        assert_eq!(geo["columns"]["geometry"].get("bbox"), None);
    }
}
