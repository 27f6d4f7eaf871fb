//! The land-cover recipe: a whole label map as polygons with shared, simplified borders.

use std::path::Path;

use super::coverage::Coverage;
use super::format::Format;
use super::output::{Layers, Names, PolygonOutput, Summary};
use super::output_space::OutputSpace;
use super::scores::ScoreSource;
use super::shape::{Corner, LabelRegion};
use super::source::LabelSource;
use super::trace::{Connectedness, Tracer};
use crate::error::Result;
use crate::scene::ExtraField;

/// Options of the land-cover recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct LandcoverOptions {
    /// Largest distance of an original corner from the simplified border, in metres. `None`: one pixel; 0: no simplification.
    pub tolerance: Option<f64>,
    /// Rounds the remaining corners.
    pub smooth: bool,
    pub target_crs: Option<String>,
    pub layer_per_class: bool,
    /// Fields that say how the labels were made.
    pub fields: Vec<ExtraField>,
}

/// Writes a label map as a coverage: neighbours share one border, also after simplification.
///
/// # Errors
/// As `polygonize`.
pub fn landcover(
    source: &LabelSource,
    scores: Option<&ScoreSource>,
    skip: &[i64],
    out: &Path,
    options: &LandcoverOptions,
) -> Result<Summary> {
    let space = OutputSpace::new(&source.placement, options.target_crs.as_deref(), Format::of(out)?)?;
    let layers = if options.layer_per_class { Layers::PerClass { skip } } else { Layers::One { skip } };
    let names = Names::new(source, &options.fields);
    let mut output = PolygonOutput::create(source, &space, names, out, layers, false, scores.is_some(), &[])?;
    let skipped = source.skipped(skip);
    let mut tracer = Tracer::new(source.size.width, Connectedness::Four, &skipped);
    let mut coverage = Coverage::new(source.size.width, source.size.height);
    let width = source.size.width;
    let mut finished: Vec<LabelRegion> = Vec::new();
    source.for_each_strip(scores, |first, labels, scores| {
        source.check(labels, first, &skipped)?;
        for (row, labels) in labels.chunks_exact(width).enumerate() {
            coverage.row(labels, &skipped);
            tracer
                .row(labels, scores.map(|scores| &scores[row * width..][..width]), &mut |region| finished.push(region));
            finished.drain(..).for_each(|region| coverage.region(region));
        }
        Ok(())
    })?;
    coverage.end();
    tracer.finish(&mut |region| finished.push(region));
    finished.drain(..).for_each(|region| coverage.region(region));
    let pixel = source.placement.pixel_size();
    let tolerance = options.tolerance.unwrap_or((pixel.width * pixel.height).sqrt());
    let at = |corner: Corner| options.tolerance.map_or(pixel, |_| source.placement.pixel_size_at(corner));
    for region in coverage.finish(at, tolerance, options.smooth).regions() {
        let polygons = region.polygons.iter().map(|polygon| space.polygon(polygon)).collect();
        output.polygons(region.label, polygons, region.confidence, &[])?;
    }
    output.finish(source)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::coverage::SmoothRegion;
    use super::super::shape::{PixelSize, open, rings};
    use super::super::testing::{Scene, blobs, read_back};
    use super::*;
    use geo::{Line, LineString, Validation as _};
    use proptest::prelude::*;

    fn simplified(labels: &[u16], width: usize, tolerance: f64, smooth: bool) -> Vec<SmoothRegion> {
        let skipped = |label: u16| label == 255;
        let mut tracer = Tracer::new(width, Connectedness::Four, skipped);
        let mut coverage = Coverage::new(width, labels.len() / width);
        let mut finished = Vec::new();
        for row in labels.chunks_exact(width) {
            coverage.row(row, skipped);
            tracer.row(row, None, &mut |region| finished.push(region));
            finished.drain(..).for_each(|region| coverage.region(region));
        }
        coverage.end();
        tracer.finish(&mut |region| finished.push(region));
        finished.drain(..).for_each(|region| coverage.region(region));
        coverage.finish(|_| PixelSize { width: 1.0, height: 1.0 }, tolerance, smooth).regions().collect()
    }

    fn twice_area(ring: &LineString) -> f64 {
        // Rows count downwards, so a ring with its inside on the left has a negative area in (col, row).
        -ring.lines().map(|line| line.determinant()).sum::<f64>()
    }

    /// Asserts that there is no gap and no overlap: no edge occurs twice in one direction, all polygons are valid, and
    /// their areas add up to the whole.
    fn assert_coverage(regions: &[SmoothRegion], valid_pixels: usize, exact: bool) {
        let mut edges: HashMap<[u64; 4], i32> = HashMap::new();
        let mut sum = 0.0;
        for region in regions {
            for ring in region.polygons.iter().flat_map(rings) {
                sum += twice_area(ring) / 2.0;
                for Line { start, end } in ring.lines() {
                    *edges.entry([start.x, start.y, end.x, end.y].map(f64::to_bits)).or_default() += 1;
                }
            }
            assert!(region.polygons.is_valid(), "{:?}", region.polygons);
        }
        assert!(edges.values().all(|&count| count == 1), "an edge occurs twice in one direction");
        let error = (sum - valid_pixels as f64).abs() / valid_pixels as f64;
        assert!(error < if exact { 1e-12 } else { 0.02 }, "{sum} for {valid_pixels} pixels");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn simplified_map_is_a_coverage(
            width in 2usize..40, height in 2usize..40, kinds in 2u16..6, scale in 1usize..7, seed in any::<u64>(),
            tolerance in 0.3f64..6.0, smooth in any::<bool>(),
        ) {
            let labels = blobs(width, height, kinds, scale, seed);
            let exact = simplified(&labels, width, 0.0, false);
            assert_coverage(&exact, width * height, true);
            let regions = simplified(&labels, width, tolerance, smooth);
            prop_assert_eq!(regions.len(), exact.len());
            // The frame's corners stay, so the whole area does.
            assert_coverage(&regions, width * height, !smooth);
        }
    }

    #[test]
    fn simplification_removes_most_corners() {
        let labels = blobs(300, 300, 5, 12, 7);
        let count = |regions: &[SmoothRegion]| {
            regions.iter().flat_map(|r| r.polygons.iter().flat_map(rings)).map(|ring| open(ring).len()).sum::<usize>()
        };
        let before = simplified(&labels, 300, 0.0, false);
        let after = simplified(&labels, 300, 1.0, false);
        assert!(count(&after) * 3 < count(&before), "{} of {} corners are left", count(&after), count(&before));
        assert_coverage(&after, 300 * 300, true);
    }

    #[test]
    fn nodata_is_left_out_and_file_matches_summary() {
        let mut labels = blobs(60, 50, 4, 6, 3);
        labels[..600].fill(255);
        let scene = Scene::utm(&labels, 60);
        let out = scene.path("cover.gpkg");
        let source = LabelSource::open(&scene.labels, &[]).unwrap();
        let options = LandcoverOptions {
            tolerance: None,
            smooth: false,
            target_crs: None,
            layer_per_class: false,
            fields: Vec::new(),
        };
        let summary = landcover(&source, None, &[], &out, &options).unwrap();
        let found = read_back(&out);
        assert_eq!(found.len() as u64, summary.polygons);
        assert!(found.iter().all(|feature| feature.valid));
        let sum: f64 = found.iter().map(|feature| feature.real("area_m2")).sum();
        assert!((sum / (2400.0 * 4.0) - 1.0).abs() < 1e-3, "{sum}");
    }
}
