//! Bridges gaps in a road network where direction and distance match.

use std::collections::HashMap;

use geo::Coord;

use super::network::{Edge, Network, distance, heading, nearest};

/// Cosine of the largest turn at either end of a bridge: 35 degrees.
const MIN_COSINE: f64 = 0.82;
/// Widest gap between a dead end and the side of another road, as a share of the widest gap between dead ends.
const SIDE_SHARE: f64 = 0.6;

/// A dead end: its node, its edge and the direction in which it points.
struct End {
    node: usize,
    edge: usize,
    at: Coord,
    heading: Coord,
}

/// Adds bridges of up to `widest` pixels: first between dead ends, the best pairs first, then from dead ends to the roads at
/// which they point.
pub fn bridge(network: &mut Network, widest: f64) {
    if widest <= 0.0 {
        return;
    }
    let mut used = bridge_ends(network, widest);
    bridge_sides(network, widest * SIDE_SHARE, &mut used);
    network.dissolve();
}

fn ends(network: &Network, over: f64) -> Vec<End> {
    let incidence = network.incidence();
    let mut ends = Vec::new();
    for (index, edge) in network.edges.iter().enumerate() {
        let Some(edge) = edge else { continue };
        for (node, last) in [(edge.from, false), (edge.to, true)] {
            if incidence[node].len() == 1
                && let Some(heading) = heading(&edge.line, last, over)
            {
                ends.push(End { node, edge: index, at: network.nodes[node].at, heading });
            }
        }
    }
    ends
}

fn dot(a: Coord, b: Coord) -> f64 {
    a.x * b.x + a.y * b.y
}

fn cross(a: Coord, b: Coord) -> f64 {
    a.x * b.y - a.y * b.x
}

fn cell(at: Coord, size: f64) -> (i64, i64) {
    ((at.x / size).floor() as i64, (at.y / size).floor() as i64)
}

fn around((col, row): (i64, i64)) -> impl Iterator<Item = (i64, i64)> {
    (-1..=1).flat_map(move |dr| (-1..=1).map(move |dc| (col + dc, row + dr)))
}

fn bridge_ends(network: &mut Network, widest: f64) -> Vec<bool> {
    let ends = ends(network, 14.0);
    let mut cells: HashMap<(i64, i64), Vec<usize>> = HashMap::new();
    for (index, end) in ends.iter().enumerate() {
        cells.entry(cell(end.at, widest)).or_default().push(index);
    }
    let mut pairs = Vec::new();
    for (one, a) in ends.iter().enumerate() {
        for &other in around(cell(a.at, widest)).filter_map(|cell| cells.get(&cell)).flatten() {
            let b = &ends[other];
            let gap = distance(a.at, b.at);
            if other <= one || a.node == b.node || gap > widest {
                continue;
            }
            if a.edge == b.edge && network.edges[a.edge].as_ref().is_some_and(|edge| ring_too_small(edge, gap)) {
                continue;
            }
            // For ends that nearly touch, a sideways offset is not significant.
            let towards = (b.at - a.at) / gap.max(1e-9);
            let turn_a = dot(a.heading, towards);
            let turn_b = -dot(b.heading, towards);
            let opposed = -dot(a.heading, b.heading);
            let sides = if gap < 6.0 { 0.3 } else { MIN_COSINE };
            if turn_a > sides && turn_b > sides && opposed > MIN_COSINE - 0.2 {
                pairs.push((gap * (3.0 - turn_a - turn_b), one, other));
            }
        }
    }
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut used = vec![false; network.nodes.len()];
    for (_, one, other) in pairs {
        let (a, b) = (&ends[one], &ends[other]);
        if !used[a.node] && !used[b.node] {
            used[a.node] = true;
            used[b.node] = true;
            network.add(a.node, b.node, vec![a.at, b.at], distance(a.at, b.at));
        }
    }
    used
}

fn ring_too_small(edge: &Edge, gap: f64) -> bool {
    super::network::length(&edge.line) < 4.0 * gap
}

fn bridge_sides(network: &mut Network, widest: f64, used: &mut [bool]) {
    let ends = ends(network, 14.0);
    let size = widest.max(16.0);
    let mut cells: HashMap<(i64, i64), Vec<(usize, usize)>> = HashMap::new();
    for (index, edge) in network.edges.iter().enumerate() {
        let Some(edge) = edge else { continue };
        for (piece, pair) in edge.line.windows(2).enumerate() {
            // Long segments cross several cells.
            let steps = (distance(pair[0], pair[1]) / size).ceil().max(1.0) as usize;
            for step in 0..=steps {
                let t = step as f64 / steps as f64;
                let at = pair[0] + (pair[1] - pair[0]) * t;
                let list = cells.entry(cell(at, size)).or_default();
                if list.last() != Some(&(index, piece)) {
                    list.push((index, piece));
                }
            }
        }
    }
    let mut candidates: Vec<(f64, usize, usize, Coord)> = Vec::new();
    for (number, end) in ends.iter().enumerate() {
        if used.get(end.node).copied().unwrap_or(false) {
            continue;
        }
        let mut best: Option<(f64, usize, Coord)> = None;
        for &(index, piece) in around(cell(end.at, size)).filter_map(|cell| cells.get(&cell)).flatten() {
            if index == end.edge {
                continue;
            }
            let Some(edge) = &network.edges[index] else { continue };
            let (a, b) = (edge.line[piece], edge.line[piece + 1]);
            let Some(target) = ahead(end, a, b).or_else(|| {
                let point = nearest(end.at, a, b);
                let gap = distance(end.at, point);
                let turn = dot(end.heading, point - end.at) / gap.max(1e-9);
                (turn > MIN_COSINE).then_some(point)
            }) else {
                continue;
            };
            let gap = distance(end.at, target);
            if gap <= widest && best.as_ref().is_none_or(|(least, ..)| gap < *least) {
                best = Some((gap, index, target));
            }
        }
        if let Some((gap, index, target)) = best {
            candidates.push((gap, number, index, target));
        }
    }
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, number, index, target) in candidates {
        let end = &ends[number];
        let taken = |used: &[bool], node: usize| used.get(node).copied().unwrap_or(false);
        if taken(used, end.node) {
            continue;
        }
        if let Some(node) = network.split(index, target)
            && node != end.node
            && !taken(used, node)
        {
            // For two dead ends that point at each other one bridge is enough.
            used[end.node] = true;
            if let Some(used_node) = used.get_mut(node) {
                *used_node = true;
            }
            let line = vec![end.at, network.nodes[node].at];
            let gap = super::network::length(&line);
            network.add(end.node, node, line, gap);
        }
    }
}

/// The point where the straight continuation of an end meets a segment.
fn ahead(end: &End, a: Coord, b: Coord) -> Option<Coord> {
    let (segment, offset) = (b - a, a - end.at);
    let determinant = cross(end.heading, segment);
    if determinant.abs() < 1e-9 {
        return None;
    }
    let run = cross(offset, segment) / determinant;
    let t = cross(offset, end.heading) / determinant;
    (run >= 0.0 && (0.0..=1.0).contains(&t)).then_some(a + segment * t)
}

impl Network {
    /// Splits an edge at a point and returns the new node, or an end node of the edge that is close enough. `None` where the
    /// edge was split before: its parts have other indices.
    fn split(&mut self, index: usize, at: Coord) -> Option<usize> {
        let edge = self.edges[index].take()?;
        for (node, end) in [(edge.from, edge.line[0]), (edge.to, edge.line[edge.line.len() - 1])] {
            if distance(end, at) < 2.0 {
                self.edges[index] = Some(edge);
                return Some(node);
            }
        }
        let off = |piece: &usize| super::network::off(at, edge.line[*piece], edge.line[*piece + 1]);
        let piece = (0..edge.line.len() - 1).min_by(|a, b| off(a).total_cmp(&off(b)))?;
        if off(&piece) > 1.0 {
            // An earlier split removed this part of the edge.
            self.edges[index] = Some(edge);
            return None;
        }
        let node = self.nodes.len();
        let radius = self.nodes[edge.from].radius.min(self.nodes[edge.to].radius);
        self.nodes.push(super::network::Node { at, radius });
        let mut head = edge.line[..=piece].to_vec();
        head.push(at);
        let mut tail = vec![at];
        tail.extend(&edge.line[piece + 1..]);
        self.edges[index] = Some(Edge { from: edge.from, to: node, line: head, width: edge.width, gap: edge.gap });
        self.edges.push(Some(Edge { from: node, to: edge.to, line: tail, width: edge.width, gap: 0.0 }));
        Some(node)
    }
}
