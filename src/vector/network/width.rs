//! How wide a road is, and how far it goes beyond its skeleton.

use super::super::bits::BitGrid;
use super::super::square::Point;
use super::Network;
use super::lines::{back_from_end, cut_end, distance, heading, length};

impl Network {
    /// Lets dead ends run straight on to the end of their road: thinning stops about half a width before it, and often
    /// turns into one of the end's corners on the way.
    pub fn reach_ends(&mut self, mask: &BitGrid) {
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
                let half = radius(mask, back_from_end(&edge.line, (total / 2.0).min(10.0)));
                cut_end(&mut edge.line, (half + 1.0).min(total / 3.0));
                if let Some((dx, dy)) = heading(&edge.line, true, 8.0 + 2.0 * half) {
                    let at = edge.line[edge.line.len() - 1];
                    let most = 4.0 * half + 4.0;
                    let mut reached = 0.0;
                    while reached < most && inside(mask, (at.0 + dx * (reached + 0.5), at.1 + dy * (reached + 0.5))) {
                        reached += 0.5;
                    }
                    edge.line.push((at.0 + dx * reached, at.1 + dy * reached));
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

    /// Measures every edge's width across the road, away from its junctions.
    pub fn measure_widths(&mut self, mask: &BitGrid) {
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
                let (dx, dy) = ((pair[1].0 - pair[0].0) / piece, (pair[1].1 - pair[0].1) / piece);
                let mut along = 1.0f64.min(piece / 2.0);
                while along < piece {
                    let here = run + along;
                    if here >= margin && here <= total - margin {
                        let at = (pair[0].0 + dx * along, pair[0].1 + dy * along);
                        if inside(mask, at) {
                            widths.push(reach(mask, at, (-dy, dx)) + reach(mask, at, (dy, -dx)));
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

fn inside(mask: &BitGrid, at: Point) -> bool {
    mask.at(at.0.floor() as i64, at.1.floor() as i64)
}

/// How far the mask goes from a point in a direction; at most 200 pixels.
fn reach(mask: &BitGrid, from: Point, towards: Point) -> f64 {
    let mut run = 0.0;
    while run < 200.0 && inside(mask, (from.0 + towards.0 * (run + 0.25), from.1 + towards.1 * (run + 0.25))) {
        run += 0.25;
    }
    run
}

/// Distance to the nearest pixel outside the mask, less half a pixel; the frame is no border. At most 100 pixels.
pub fn radius(mask: &BitGrid, at: Point) -> f64 {
    let (col, row) = (at.0.floor() as i64, at.1.floor() as i64);
    let mut best = 100i64 * 100;
    let known = |col: i64, row: i64| {
        (0..mask.width() as i64).contains(&col) && (0..mask.height() as i64).contains(&row) && !mask.at(col, row)
    };
    for dy in 0..100 {
        if dy * dy >= best {
            break;
        }
        for dx in 0..100 {
            let square = dx * dx + dy * dy;
            if square >= best {
                break;
            }
            if [(dx, dy), (-dx, dy), (dx, -dy), (-dx, -dy)].iter().any(|(x, y)| known(col + x, row + y)) {
                best = square;
            }
        }
    }
    ((best as f64).sqrt() - 0.5).max(0.5)
}
