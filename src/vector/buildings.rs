//! Building outlines from regions of a mask: squared where that fits the pixels, circles for round tanks.

use std::ffi::CStr;
use std::sync::Arc;

use geo::{Coord, LineString, Polygon};

use super::geometry::geometry_of;
use super::output_space::positions;
use super::shape::{Confidence, Corner, LabelRegion, LatticePolygon};
use super::square::{self, Outline, Prices, edge_middles};
use crate::geom::ground::plane_area;

/// How outlines are squared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SquareOptions {
    /// Square the outlines; false: keep the pixel outlines.
    pub square: bool,
    /// Minimum IoU with the pixel outline, 0..=1; below it the pixel outline is kept.
    pub least_iou: f64,
    /// Penalties per wall, in square pixels.
    pub prices: Prices,
}

impl Default for SquareOptions {
    fn default() -> Self {
        Self { square: true, least_iou: 0.75, prices: Prices { wall: 3.0, slanted: 9.0 } }
    }
}

/// The kind of an outline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Squared,
    Round,
    /// The pixel outline.
    Plain,
}

impl Shape {
    pub fn label(self) -> Arc<CStr> {
        Arc::from(match self {
            Self::Squared => c"squared",
            Self::Round => c"round",
            Self::Plain => c"plain",
        })
    }
}

/// A building with its outline in pixels, the inside of rings on the left with row 0 on top.
#[derive(Clone, Debug)]
pub struct Building {
    pub label: u16,
    pub outline: Polygon,
    pub shape: Shape,
    /// Direction of the main axis in pixels, in radians, from 0 to a quarter turn.
    pub axis: f64,
    /// Intersection over union with the pixel outline.
    pub iou: f64,
    pub confidence: Option<Confidence>,
    pub plain: LatticePolygon,
}

/// Number of points of a round outline: the sagitta is below 0.1 pixel up to a radius of 20 pixels.
const ROUND_POINTS: usize = 32;

/// The outline of a region with one part; `None` for a region without parts.
pub fn outline(region: LabelRegion, options: &SquareOptions) -> Option<Building> {
    let plain = region.parts.into_iter().next()?;
    let mut building = Building {
        label: region.label,
        outline: plain_outline(&plain),
        shape: Shape::Plain,
        axis: 0.0,
        iou: 1.0,
        confidence: region.confidence,
        plain,
    };
    if options.square {
        square(&mut building, options);
    }
    Some(building)
}

fn square(building: &mut Building, options: &SquareOptions) {
    let Some((outer, axis)) = square::fit(&edge_middles(&building.plain.outer), options.prices, None) else { return };
    building.axis = axis;
    let shape = if matches!(outer, Outline::Round { .. }) { Shape::Round } else { Shape::Squared };
    let fit_hole = |hole: &Vec<Corner>| match square::fit(&edge_middles(hole), options.prices, Some(axis)) {
        Some((hole, _)) => ring_of(hole, false),
        None => positions(hole).collect(),
    };
    let outline = Polygon::new(ring_of(outer, true), building.plain.holes.iter().map(fit_hole).collect());
    let Ok(fitted) = geometry_of(&outline) else { return };
    if !fitted.is_valid() {
        return;
    }
    let Ok(plain) = geometry_of(&building.outline) else { return };
    let Some(common) = fitted.intersection(&plain).map(|common| common.area()) else { return };
    let iou = common / (fitted.area() + plain.area() - common);
    if iou >= options.least_iou {
        building.outline = outline;
        building.shape = shape;
        building.iou = iou;
    }
}

/// A pixel outline as a polygon in pixels.
pub fn plain_outline(plain: &LatticePolygon) -> Polygon {
    let ring = |ring: &Vec<Corner>| positions(ring).collect();
    Polygon::new(ring(&plain.outer), plain.holes.iter().map(ring).collect())
}

/// The ring of a fitted outline, oriented as an outer ring or as a hole.
pub fn ring_of(outline: Outline, outer: bool) -> LineString {
    let mut ring = match outline {
        Outline::Squared { ring, .. } => ring,
        Outline::Round { centre, radius, .. } => {
            // The polygon has the area of the circle.
            let step = std::f64::consts::TAU / ROUND_POINTS as f64;
            let radius = radius * (step / step.sin()).sqrt();
            (0..ROUND_POINTS)
                .map(|index| (index as f64 * step).sin_cos())
                .map(|(sin, cos)| centre + Coord { x: cos, y: sin } * radius)
                .collect()
        }
    };
    if (plane_area(&ring) < 0.0) != outer {
        ring.reverse();
    }
    ring.extend(ring.first().copied());
    ring.into()
}

#[cfg(test)]
pub mod tests {
    use super::super::bits::BitGrid;
    use super::super::mask::{Sizes, clean, regions};
    use super::super::neighbours::separate;
    use super::super::shape::{open, rings};
    use super::super::trace::Connectedness;
    use super::*;
    use gdal::vector::Geometry;

    type Point = (f64, f64);

    pub struct Random(pub u64);

    impl Random {
        pub fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }

        pub fn between(&mut self, low: f64, high: f64) -> f64 {
            low + self.next() * (high - low)
        }
    }

    /// A ground-truth outline: rings around (0, 0), the outer one first.
    pub type Truth = Vec<Vec<Point>>;

    pub fn polygon(truth: &[Vec<Point>]) -> Polygon {
        Polygon::new(truth[0].clone().into(), truth[1..].iter().map(|ring| ring.clone().into()).collect())
    }

    fn rectangle(width: f64, height: f64) -> Vec<Point> {
        let (x, y) = (width / 2.0, height / 2.0);
        vec![(-x, -y), (x, -y), (x, y), (-x, y)]
    }

    fn truth(kind: usize, random: &mut Random) -> Truth {
        let (w, h) = (random.between(5.0, 30.0), random.between(5.0, 30.0));
        let (big_w, big_h) = (random.between(14.0, 30.0), random.between(14.0, 30.0));
        match kind {
            0 => vec![rectangle(w, h)],
            1 => {
                // L: arms of at least 5 pixels.
                let (a, b) = (random.between(5.0, big_w - 5.0), random.between(5.0, big_h - 5.0));
                vec![vec![(0.0, 0.0), (big_w, 0.0), (big_w, b), (a, b), (a, big_h), (0.0, big_h)]]
            }
            2 => {
                let (wide, deep) = (big_w + 6.0, random.between(5.0, big_h - 5.0));
                let (left, right) = (random.between(5.0, 8.0), wide - random.between(5.0, 8.0));
                vec![vec![
                    (0.0, 0.0),
                    (wide, 0.0),
                    (wide, big_h),
                    (right, big_h),
                    (right, big_h - deep),
                    (left, big_h - deep),
                    (left, big_h),
                    (0.0, big_h),
                ]]
            }
            3 => vec![rectangle(big_w + 6.0, big_h + 6.0), rectangle(big_w - 6.0, big_h - 6.0)],
            _ => {
                // A row of houses, each set back or forward.
                let step = random.between(3.0, 5.0);
                let (house, depth) = (random.between(6.0, 9.0), random.between(9.0, 14.0));
                vec![vec![
                    (0.0, 0.0),
                    (house, 0.0),
                    (house, step),
                    (2.0 * house, step),
                    (2.0 * house, 0.0),
                    (3.0 * house, 0.0),
                    (3.0 * house, depth),
                    (2.0 * house, depth),
                    (2.0 * house, depth + step),
                    (house, depth + step),
                    (house, depth),
                    (0.0, depth),
                ]]
            }
        }
    }

    pub fn inside(truth: &Truth, (x, y): Point) -> bool {
        let mut odd = false;
        for ring in truth {
            for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
                odd ^= (a.1 > y) != (b.1 > y) && x < (b.0 - a.0) * (y - a.1) / (b.1 - a.1) + a.0;
            }
        }
        odd
    }

    fn paint_noisy(mask: &mut BitGrid, truth: &Truth, random: &mut Random, noise: f64) {
        let (height, width) = (mask.height(), mask.width());
        let mut exact = BitGrid::new(width, height);
        for row in 0..height {
            for col in 0..width {
                exact.set(col, row, inside(truth, (col as f64 + 0.5, row as f64 + 0.5)));
            }
        }
        for row in 0..height as i64 {
            for col in 0..width as i64 {
                let own = exact.at(col, row);
                let border =
                    [(1, 0), (-1, 0), (0, 1), (0, -1)].iter().any(|(dc, dr)| exact.at(col + dc, row + dr) != own);
                let flipped = border && random.next() < noise;
                mask.set(col as usize, row as usize, own != flipped);
            }
        }
    }

    pub fn turned(truth: Truth, angle: f64, to: Point) -> Truth {
        let (sin, cos) = angle.sin_cos();
        truth
            .into_iter()
            .map(|ring| ring.into_iter().map(|(x, y)| (to.0 + x * cos - y * sin, to.1 + x * sin + y * cos)).collect())
            .collect()
    }

    fn iou(a: &Geometry, b: &Geometry) -> f64 {
        let common = a.intersection(b).map_or(0.0, |common| common.area());
        common / (a.area() + b.area() - common)
    }

    /// The largest deviation of a corner from a right angle, in degrees.
    fn worst_corner(ring: &[Coord]) -> f64 {
        let count = ring.len();
        (0..count)
            .map(|index| {
                let (a, b, c) = (ring[(index + count - 1) % count], ring[index], ring[(index + 1) % count]);
                let angle = (c.y - b.y).atan2(c.x - b.x) - (a.y - b.y).atan2(a.x - b.x);
                (angle.to_degrees().rem_euclid(180.0) - 90.0).abs()
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn squared_outlines_match_ground_truth_under_noise() {
        let mut random = Random(20);
        let (mut sum, mut plain_sum, mut count) = (0.0, 0.0, 0);
        let (mut vertices, mut true_vertices) = (0, 0);
        let mut by_kind = [(0.0, 0); 5];
        for round in 0..250 {
            let kind = round % 5;
            let truth = turned(truth(kind, &mut random), random.between(0.0, 3.2), (50.3, 49.6));
            let mut mask = BitGrid::new(100, 100);
            paint_noisy(&mut mask, &truth, &mut random, 0.1);
            clean(&mut mask, Sizes { smallest_part: 12, largest_hole: 6 });
            let mut found = Vec::new();
            regions(&mask, Connectedness::Four, |region| found.push(region));
            found.sort_by_key(|region| region.pixels);
            let Some(region) = found.pop() else { continue };
            let building = outline(region, &SquareOptions::default()).unwrap();
            let (fitted, exact) = (geometry_of(&building.outline).unwrap(), geometry_of(&polygon(&truth)).unwrap());
            assert!(fitted.is_valid());
            let plain = geometry_of(&plain_outline(&building.plain)).unwrap();
            let reached = iou(&fitted, &exact);
            sum += reached;
            plain_sum += iou(&plain, &exact);
            by_kind[kind].0 += reached;
            by_kind[kind].1 += 1;
            count += 1;
            vertices += rings(&building.outline).map(|ring| open(ring).len()).sum::<usize>();
            true_vertices += truth.iter().map(Vec::len).sum::<usize>();
            for ring in rings(&building.outline).map(open) {
                assert!(worst_corner(ring) < 3.0, "{:?} {ring:?}", building.shape);
            }
        }
        let mean = sum / f64::from(count);
        eprintln!(
            "mean IoU {mean:.4} (plain {:.4}), vertices {:.3} of the truth's, by kind {:?}",
            plain_sum / f64::from(count),
            vertices as f64 / true_vertices as f64,
            by_kind.map(|(sum, count)| sum / f64::from(count))
        );
        assert!(mean >= 0.95, "{mean}");
        assert!(vertices as f64 <= 1.3 * true_vertices as f64, "{vertices} for {true_vertices}");
    }

    #[test]
    fn close_neighbours_do_not_overlap() {
        let mut random = Random(11);
        let mut mask = BitGrid::new(400, 400);
        let mut labels = vec![0u16; 400 * 400];
        for row in 0..12usize {
            for col in 0..12usize {
                // One to three pixels between them, every block turned a little; labels 1 and 2 may touch.
                let truth = turned(
                    vec![rectangle(random.between(18.0, 31.0), random.between(18.0, 31.0))],
                    random.between(-0.3, 0.3),
                    (20.0 + 32.0 * col as f64, 20.0 + 32.0 * row as f64),
                );
                let label = 1 + ((row + col) % 2) as u16;
                // No block reaches further from its centre.
                let around = |at: usize| (20 + 32 * at).saturating_sub(28)..(20 + 32 * at + 28).min(400);
                for y in around(row) {
                    for x in around(col) {
                        if inside(&truth, (x as f64 + 0.5, y as f64 + 0.5)) && random.next() > 0.02 {
                            labels[y * 400 + x] = label;
                        }
                    }
                }
            }
        }
        let mut all = Vec::new();
        for label in [1u16, 2] {
            for (index, &found) in labels.iter().enumerate() {
                mask.set(index % 400, index / 400, found == label);
            }
            clean(&mut mask, Sizes { smallest_part: 12, largest_hole: 0 });
            regions(&mask, Connectedness::Four, |region| all.extend(outline(region, &SquareOptions::default())));
        }
        separate(&mut all);
        let shapes: Vec<_> = all.iter().map(|building| geometry_of(&building.outline).unwrap()).collect();
        let mut sum = 0.0;
        let mut whole = gdal::vector::Geometry::from_wkt("POLYGON EMPTY").unwrap();
        for (index, one) in shapes.iter().enumerate() {
            assert!(one.is_valid());
            sum += one.area();
            whole = whole.union(one).unwrap();
            for other in &shapes[..index] {
                if one.intersects(other) && !one.touches(other) {
                    let common = one.intersection(other).map_or(0.0, |common| common.area());
                    assert!(common < 1e-6, "{common} px² in common");
                }
            }
        }
        assert!((sum - whole.area()).abs() < 1e-6 * sum);
        let squared = all.iter().filter(|building| building.shape == Shape::Squared).count();
        assert!(squared * 2 > all.len(), "{squared} of {} are squared", all.len());
        eprintln!("{squared} of {} squared", all.len());
    }

    #[test]
    fn round_tank_gets_circle() {
        let mut random = Random(3);
        for radius in [6.0, 9.0, 14.0, 25.0] {
            let circle: Truth = vec![
                (0..200)
                    .map(|i| (f64::from(i) / 200.0 * std::f64::consts::TAU).sin_cos())
                    .map(|(s, c)| (40.2 + radius * c, 39.7 + radius * s))
                    .collect(),
            ];
            let mut mask = BitGrid::new(80, 80);
            paint_noisy(&mut mask, &circle, &mut random, 0.1);
            clean(&mut mask, Sizes { smallest_part: 12, largest_hole: 6 });
            let mut found = Vec::new();
            regions(&mask, Connectedness::Four, |region| found.push(region));
            let building = outline(found.remove(0), &SquareOptions::default()).unwrap();
            assert_eq!(building.shape, Shape::Round, "radius {radius}");
            assert!(iou(&geometry_of(&building.outline).unwrap(), &geometry_of(&polygon(&circle)).unwrap()) > 0.93);
        }
    }
}
