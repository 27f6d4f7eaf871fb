//! Compares the tracer with a flood fill on random small maps.

use super::*;
use crate::vector::output_space::positions;
use crate::vector::shape::ring_area;
use geo::{Area as _, LineString, MultiPolygon, Polygon, Validation as _};
use proptest::prelude::*;

fn trace(labels: &[u16], width: usize, connectedness: Connectedness, skip: u16) -> Vec<LabelRegion> {
    let mut tracer = Tracer::new(width, connectedness, |label| label == skip);
    let mut found = Vec::new();
    let mut emit = |region| found.push(region);
    labels.chunks_exact(width).for_each(|row| tracer.row(row, None, &mut emit));
    tracer.finish(&mut emit);
    found
}

/// The label and number of pixels of every component, by flood fill.
fn flood(labels: &[u16], width: usize, connectedness: Connectedness, skip: u16) -> Vec<(u16, u64)> {
    let height = labels.len() / width;
    let mut seen = vec![false; labels.len()];
    let mut found = Vec::new();
    for start in 0..labels.len() {
        if seen[start] || labels[start] == skip {
            continue;
        }
        let mut stack = vec![start];
        seen[start] = true;
        let mut count = 0;
        while let Some(at) = stack.pop() {
            count += 1;
            let (col, row) = ((at % width) as i64, (at / width) as i64);
            for (dc, dr) in [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1)] {
                if connectedness == Connectedness::Four && dc != 0 && dr != 0 {
                    continue;
                }
                let (c, r) = (col + dc, row + dr);
                if c >= 0 && r >= 0 && c < width as i64 && r < height as i64 {
                    let next = r as usize * width + c as usize;
                    if !seen[next] && labels[next] == labels[start] {
                        seen[next] = true;
                        stack.push(next);
                    }
                }
            }
        }
        found.push((labels[start], count));
    }
    found.sort_unstable();
    found
}

/// Rasterises the regions by counting crossings along every row.
fn paint(regions: &[LabelRegion], width: usize, height: usize, background: u16) -> Vec<u16> {
    let mut labels = vec![background; width * height];
    for region in regions {
        let mut flips = vec![false; (width + 1) * height];
        for ring in region.parts.iter().flat_map(LatticePolygon::rings) {
            for (index, &from) in ring.iter().enumerate() {
                let to = ring[(index + 1) % ring.len()];
                assert!((from.col == to.col) != (from.row == to.row), "edges run along rows or columns");
                if from.col == to.col {
                    for row in from.row.min(to.row)..from.row.max(to.row) {
                        flips[row as usize * (width + 1) + from.col as usize] ^= true;
                    }
                }
            }
        }
        for row in 0..height {
            let mut inside = false;
            for col in 0..width {
                inside ^= flips[row * (width + 1) + col];
                if inside {
                    assert_eq!(labels[row * width + col], background, "no pixel is in two regions");
                    labels[row * width + col] = region.label;
                }
            }
        }
    }
    labels
}

fn assert_valid(region: &LabelRegion) {
    let ring = |ring: &Vec<Corner>| positions(ring).collect::<LineString>();
    let polygon = |part: &LatticePolygon| Polygon::new(ring(&part.outer), part.holes.iter().map(ring).collect());
    let polygons: MultiPolygon = region.parts.iter().map(polygon).collect();
    assert!(polygons.is_valid(), "{region:?}");
    assert!((polygons.unsigned_area() - region.pixels as f64).abs() < 1e-9, "{region:?}");
    for part in &region.parts {
        assert!(ring_area(&part.outer) > 0);
        assert!(part.holes.iter().all(|hole| ring_area(hole) < 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn regions_match_flood_fill_and_reproduce_the_raster(
        width in 1usize..14, height in 1usize..14, kinds in 2u16..5, seed in any::<u64>(), eight in any::<bool>(),
    ) {
        let mut state = seed | 1;
        let labels: Vec<u16> = (0..width * height).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u16 % kinds
        }).collect();
        let connectedness = if eight { Connectedness::Eight } else { Connectedness::Four };
        let regions = trace(&labels, width, connectedness, 0);
        let mut counts: Vec<_> = regions.iter().map(|region| (region.label, region.pixels)).collect();
        counts.sort_unstable();
        prop_assert_eq!(counts, flood(&labels, width, connectedness, 0));
        regions.iter().for_each(assert_valid);
        prop_assert_eq!(paint(&regions, width, height, 0), labels);
    }
}

#[test]
fn self_touching_ring_becomes_outer_ring_and_hole() {
    #[rustfmt::skip]
    let labels = [
        1, 1, 1, 0,
        1, 0, 1, 0,
        1, 1, 0, 0,
        0, 0, 0, 0,
    ];
    let regions = trace(&labels, 4, Connectedness::Four, 0);
    assert_eq!(regions.len(), 1);
    let hole = [Corner::new(2, 2), Corner::new(1, 2), Corner::new(1, 1), Corner::new(2, 1)];
    assert_eq!(regions[0].parts[0].holes, [hole]);
    assert_valid(&regions[0]);
}

#[test]
fn memory_is_bounded_by_open_regions() {
    let mut tracer = Tracer::new(64, Connectedness::Four, |label| label == 0);
    let mut count = 0;
    for row in 0..10_000usize {
        let labels: Vec<u16> = (0..64).map(|col| u16::from(row % 3 != 0 && col % 2 == 0)).collect();
        tracer.row(&labels, None, &mut |_| count += 1);
    }
    assert!(tracer.edges.len() <= 4 * 64 && tracer.components.len() <= 4 * 64 && tracer.seeds.len() <= 4 * 64);
    tracer.finish(&mut |_| count += 1);
    assert_eq!(count, 32 * 3_333);
}

#[test]
fn region_confidence_is_mean_and_minimum_score() {
    let mut tracer = Tracer::new(3, Connectedness::Four, |label| label == 0);
    let mut found = Vec::new();
    tracer.row(&[1, 1, 2], Some(&[0.5, 1.0, f32::NAN]), &mut |region| found.push(region));
    tracer.row(&[0, 1, 0], Some(&[0.0, 0.75, 0.0]), &mut |region| found.push(region));
    tracer.finish(&mut |region| found.push(region));
    let of = |label| found.iter().find(|region| region.label == label).unwrap().confidence;
    assert_eq!(of(1), Some(Confidence { mean: 0.75, minimum: 0.5 }));
    assert_eq!(of(2), None);
}
