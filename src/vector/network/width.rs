//! Road widths, and the extension of dead ends beyond the skeleton.

use geo::Coord;

use super::super::bits::BitGrid;
use super::Network;
use super::lines::{back_from_end, cut_end, distance, heading, length};

/// The aspect of pixels on the ground: column and row steps, in units of the side of a square of the pixel's area. Lengths in
/// this frame do not depend on the direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    pub col: f64,
    pub row: f64,
}

impl Frame {
    pub const SQUARE: Self = Self { col: 1.0, row: 1.0 };

    /// The frame of pixels of this width and height in metres.
    pub fn of(width: f64, height: f64) -> Self {
        let aspect = (width / height).sqrt();
        // The small distortion of a projection is ignored, so that points stay at pixel centres.
        let square = (aspect - 1.0).abs() < 0.005 || !aspect.is_normal();
        if square { Self::SQUARE } else { Self { col: aspect, row: 1.0 / aspect } }
    }

    /// The centre of a pixel, in this frame.
    pub(super) fn middle(self, col: i64, row: i64) -> Coord {
        Coord { x: (col as f64 + 0.5) * self.col, y: (row as f64 + 0.5) * self.row }
    }

    /// The pixel that contains a point of this frame.
    pub(super) fn pixel(self, at: Coord) -> (i64, i64) {
        ((at.x / self.col).floor() as i64, (at.y / self.row).floor() as i64)
    }

    /// A point of this frame as a position in pixels.
    pub fn position(self, at: Coord) -> Coord {
        Coord { x: at.x / self.col, y: at.y / self.row }
    }
}

impl Network {
    /// Extends dead ends straight to the end of the road. Thinning stops about half a width before it, and often bends towards
    /// a corner.
    pub fn reach_ends(&mut self, mask: &BitGrid, frame: Frame) {
        let incidence = self.incidence();
        for index in 0..self.edges.len() {
            for last in [false, true] {
                let Some(edge) = &mut self.edges[index] else { continue };
                let node = if last { edge.to } else { edge.from };
                if incidence[node].len() != 1 {
                    continue;
                }
                if !last {
                    edge.line.reverse();
                }
                let total = length(&edge.line);
                let half = radius(mask, frame, back_from_end(&edge.line, (total / 2.0).min(10.0)));
                cut_end(&mut edge.line, (half + 1.0).min(total / 3.0));
                if let Some(ahead) = heading(&edge.line, true, 8.0 + 2.0 * half) {
                    let at = edge.line[edge.line.len() - 1];
                    let most = 4.0 * half + 4.0;
                    let mut reached = 0.0;
                    while reached < most && inside(mask, frame, at + ahead * (reached + 0.5)) {
                        reached += 0.5;
                    }
                    edge.line.push(at + ahead * reached);
                }
                edge.line.dedup();
                self.nodes[node].at = edge.line[edge.line.len() - 1];
                self.nodes[node].radius = half;
                if !last {
                    edge.line.reverse();
                }
            }
        }
    }

    /// Measures the width of every edge across the road, away from junctions; the median of samples.
    pub fn measure_widths(&mut self, mask: &BitGrid, frame: Frame) {
        for edge in self.edges.iter_mut().flatten() {
            let total = length(&edge.line);
            let margin = (self.nodes[edge.from].radius.max(self.nodes[edge.to].radius) * 1.5).min(total * 0.4);
            let mut widths = Vec::new();
            let mut run = 0.0;
            for pair in edge.line.windows(2) {
                let piece = distance(pair[0], pair[1]);
                if piece == 0.0 {
                    continue;
                }
                let direction = (pair[1] - pair[0]) / piece;
                let left = Coord { x: -direction.y, y: direction.x };
                let mut along = 1.0f64.min(piece / 2.0);
                while along < piece {
                    let here = run + along;
                    if here >= margin && here <= total - margin {
                        let at = pair[0] + direction * along;
                        if inside(mask, frame, at) {
                            widths.push(reach(mask, frame, at, left) + reach(mask, frame, at, -left));
                        }
                    }
                    along += 2.0;
                }
                run += piece;
            }
            widths.sort_by(f64::total_cmp);
            edge.width = match widths.len() {
                0 => 2.0 * self.nodes[edge.from].radius.min(self.nodes[edge.to].radius),
                count => widths[count / 2],
            };
        }
    }
}

fn inside(mask: &BitGrid, frame: Frame, at: Coord) -> bool {
    let (col, row) = frame.pixel(at);
    mask.at(col, row)
}

/// Distance from a point to the border of the mask in a direction; at most 200 pixels.
fn reach(mask: &BitGrid, frame: Frame, from: Coord, towards: Coord) -> f64 {
    let mut run = 0.0;
    while run < 200.0 && inside(mask, frame, from + towards * (run + 0.25)) {
        run += 0.25;
    }
    run
}

/// Distance to the nearest pixel outside the mask, minus half a pixel; at most 100 pixels. The frame does not count as a
/// border.
pub fn radius(mask: &BitGrid, frame: Frame, at: Coord) -> f64 {
    let (col, row) = frame.pixel(at);
    let mut best = 100.0 * 100.0;
    let known = |col: i64, row: i64| {
        (0..mask.width() as i64).contains(&col) && (0..mask.height() as i64).contains(&row) && !mask.at(col, row)
    };
    let square_of = |steps: i64, side: f64| (steps as f64 * side) * (steps as f64 * side);
    for dy in 0.. {
        let down = square_of(dy, frame.row);
        if down >= best {
            break;
        }
        for dx in 0.. {
            let square = square_of(dx, frame.col) + down;
            if square >= best {
                break;
            }
            if [(dx, dy), (-dx, dy), (dx, -dy), (-dx, -dy)].iter().any(|(x, y)| known(col + x, row + y)) {
                best = square;
            }
        }
    }
    (best.sqrt() - 0.5).max(0.5)
}
