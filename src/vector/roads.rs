//! Extracts the road network from a mask of roads.

use super::bits::BitGrid;
use super::bridge::bridge;
use super::network::{Edge, Frame, Network, Node, Rules};
use super::thin::thin;

/// The centre lines of a mask as a graph, with positions in pixels. Lengths and widths, like those of the rules, are in units of
/// the side of a square of a pixel's area. The mask should be cleaned: every hole becomes a loop.
pub fn centre_lines(mask: &BitGrid, frame: Frame, rules: &Rules) -> (Vec<Node>, Vec<Edge>) {
    let mut skeleton = mask.clone();
    thin(&mut skeleton);
    let mut network = Network::of(&skeleton, mask, frame);
    drop(skeleton);
    network.cut_spurs(rules.shortest_spur);
    network.merge_junctions();
    network.cut_spurs(rules.shortest_spur);
    network.reach_ends(mask, frame);
    bridge(&mut network, rules.widest_gap);
    network.merge_junctions();
    network.drop_short_parts(rules.shortest_part);
    network.dissolve();
    network.smooth(rules.tolerance);
    network.measure_widths(mask, frame);
    let (mut nodes, mut edges) = network.compact();
    nodes.iter_mut().for_each(|node| node.at = frame.position(node.at));
    edges.iter_mut().flat_map(|edge| &mut edge.line).for_each(|point| *point = frame.position(*point));
    (nodes, edges)
}

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use super::super::mask::{Disc, Sizes, clean, close};
    use super::super::network::{distance, length, off};
    use super::*;
    use geo::Coord;

    type Lines = Vec<Vec<Coord>>;

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    fn off_lines(point: Coord, lines: &Lines) -> f64 {
        lines
            .iter()
            .flat_map(|line| line.windows(2))
            .map(|pair| off(point, pair[0], pair[1]))
            .fold(f64::INFINITY, f64::min)
    }

    fn samples(lines: &Lines) -> Vec<Coord> {
        let mut samples = Vec::new();
        for pair in lines.iter().flat_map(|line| line.windows(2)) {
            let steps = distance(pair[0], pair[1]).ceil().max(1.0);
            for step in 0..steps as usize {
                let t = (step as f64 + 0.5) / steps;
                samples.push(pair[0] + (pair[1] - pair[0]) * t);
            }
        }
        samples
    }

    /// Synthetic roads: a bent grid, a curve, a dead end, and a separate road.
    fn truth() -> Vec<(Vec<Coord>, f64)> {
        let curve: Vec<(f64, f64)> =
            (0..=40).map(|i| f64::from(i) / 40.0).map(|t| (60.0 + 480.0 * t, 470.0 + 60.0 * (t * 5.0).sin())).collect();
        let roads = vec![
            (vec![(40.0, 60.0), (300.0, 80.0), (570.0, 50.0)], 9.0),
            (vec![(50.0, 220.0), (560.0, 200.0)], 7.0),
            (vec![(40.0, 350.0), (330.0, 330.0), (565.0, 360.0)], 11.0),
            (vec![(100.0, 64.615), (110.0, 499.83)], 7.0),
            (vec![(300.0, 80.0), (310.0, 331.379), (290.0, 470.0)], 9.0),
            (vec![(480.0, 60.0), (500.0, 351.702)], 6.0),
            (curve, 8.0),
            (vec![(200.0, 214.118), (215.0, 280.0)], 6.0),
            (vec![(40.0, 575.0), (400.0, 570.0)], 7.0),
        ];
        roads.into_iter().map(|(line, width)| (line.into_iter().map(Coord::from).collect(), width)).collect()
    }

    fn paint(truth: &[(Vec<Coord>, f64)], random: &mut Random, noise: f64) -> BitGrid {
        let mut mask = BitGrid::new(600, 600);
        for row in 0..600 {
            for col in 0..600 {
                let at = Coord { x: col as f64 + 0.5, y: row as f64 + 0.5 };
                let road = truth
                    .iter()
                    .any(|(line, width)| line.windows(2).any(|pair| off(at, pair[0], pair[1]) <= width / 2.0));
                mask.set(col, row, road);
            }
        }
        let exact = mask.clone();
        for row in 0..600i64 {
            for col in 0..600i64 {
                let own = exact.at(col, row);
                let border =
                    [(1, 0), (-1, 0), (0, 1), (0, -1)].iter().any(|(dc, dr)| exact.at(col + dc, row + dr) != own);
                if border && random.next() < noise {
                    mask.set(col as usize, row as usize, !own);
                }
            }
        }
        // Gaps, as trees over the road cause them.
        for (line, _) in truth {
            for pair in line.windows(2).filter(|pair| distance(pair[0], pair[1]) > 90.0) {
                let at = 0.3 + 0.15 * random.next();
                let middle = pair[0] + (pair[1] - pair[0]) * at;
                let (x, y) = middle.x_y();
                for row in (y as i64 - 8).max(0)..(y as i64 + 8).min(600) {
                    for col in (x as i64 - 8).max(0)..(x as i64 + 8).min(600) {
                        if distance(Coord { x: col as f64, y: row as f64 }, middle) < 6.5 {
                            mask.set(col as usize, row as usize, false);
                        }
                    }
                }
            }
        }
        mask
    }

    /// A plain graph for shortest ways: points and weighted links.
    struct Graph {
        points: Vec<Coord>,
        links: Vec<Vec<(usize, f64)>>,
    }

    impl Graph {
        /// Lines cut into steps of about a pixel; points closer than `weld` are one.
        fn new(lines: &Lines, weld: f64) -> Self {
            let mut graph = Self { points: Vec::new(), links: Vec::new() };
            for line in lines {
                let mut before: Option<usize> = None;
                for pair in line.windows(2) {
                    let steps = distance(pair[0], pair[1]).ceil().max(1.0) as usize;
                    for step in 0..=steps {
                        let t = step as f64 / steps as f64;
                        let at = pair[0] + (pair[1] - pair[0]) * t;
                        let here = graph.points.iter().position(|&p| distance(p, at) < weld).unwrap_or_else(|| {
                            graph.points.push(at);
                            graph.links.push(Vec::new());
                            graph.points.len() - 1
                        });
                        if let Some(before) = before.filter(|&before| before != here) {
                            let far = distance(graph.points[before], graph.points[here]);
                            graph.links[before].push((here, far));
                            graph.links[here].push((before, far));
                        }
                        before = Some(here);
                    }
                }
            }
            graph
        }

        fn nearest(&self, at: Coord) -> (usize, f64) {
            let far = |index: &usize| distance(self.points[*index], at);
            let best = (0..self.points.len()).min_by(|a, b| far(a).total_cmp(&far(b))).unwrap();
            (best, far(&best))
        }

        fn ways(&self, from: usize) -> Vec<f64> {
            let mut ways = vec![f64::INFINITY; self.points.len()];
            let mut queue = BinaryHeap::from([(std::cmp::Reverse(0u64), from)]);
            ways[from] = 0.0;
            while let Some((_, at)) = queue.pop() {
                for &(next, far) in &self.links[at] {
                    let way = ways[at] + far;
                    if way < ways[next] - 1e-9 {
                        ways[next] = way;
                        queue.push((std::cmp::Reverse((way * 1e6) as u64), next));
                    }
                }
            }
            ways
        }
    }

    /// One side of the average path length similarity: how alike the ways between the same places are.
    fn path_similarity(truth: &Graph, found: &Graph, places: &[Coord]) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        for (index, &a) in places.iter().enumerate() {
            let (true_a, found_a) = (truth.nearest(a), found.nearest(a));
            let (true_ways, found_ways) = (truth.ways(true_a.0), found.ways(found_a.0));
            for &b in &places[index + 1..] {
                let (true_b, found_b) = (truth.nearest(b), found.nearest(b));
                let way = true_ways[true_b.0];
                if way.is_infinite() || way < 1.0 {
                    continue;
                }
                let other = found_ways[found_b.0];
                let missing = found_a.1 > 8.0 || found_b.1 > 8.0 || other.is_infinite();
                sum += if missing { 1.0 } else { ((way - other).abs() / way).min(1.0) };
                count += 1;
            }
        }
        1.0 - sum / f64::from(count)
    }

    #[test]
    fn noisy_network_with_gaps_is_recovered() {
        let truth = truth();
        let lines: Lines = truth.iter().map(|(line, _)| line.clone()).collect();
        for seed in [1, 2, 3] {
            let mut mask = paint(&truth, &mut Random(seed), 0.1);
            close(&mut mask, Disc { cols: 1.0, rows: 1.0 });
            clean(&mut mask, Sizes { smallest_part: 60, largest_hole: 40 });
            let rules = Rules { shortest_spur: 10.0, widest_gap: 30.0, shortest_part: 40.0, tolerance: 0.7 };
            let (nodes, edges) = centre_lines(&mask, Frame::SQUARE, &rules);
            let found: Lines = edges.iter().map(|edge| edge.line.clone()).collect();
            let total: f64 = lines.iter().map(|line| length(line)).sum();
            let near = samples(&lines).iter().filter(|&&at| off_lines(at, &found) <= 3.0).count();
            let complete = near as f64 / samples(&lines).len() as f64;
            let wrong = samples(&found).iter().filter(|&&at| off_lines(at, &lines) > 3.0).count() as f64;
            let share = wrong / total;
            let welded = |lines: &Lines| Graph::new(lines, 0.75);
            let (true_graph, found_graph) = (welded(&lines), welded(&found));
            let places: Vec<Coord> = samples(&lines).into_iter().step_by(97).collect();
            let apls = path_similarity(&true_graph, &found_graph, &places);
            let back: Vec<Coord> = samples(&found).into_iter().step_by(97).collect();
            let apls_back = path_similarity(&found_graph, &true_graph, &back);
            let apls = 2.0 * apls * apls_back / (apls + apls_back);
            let network = Network { nodes: nodes.clone(), edges: edges.iter().cloned().map(Some).collect() };
            let mut parts = network.parts();
            parts.sort_unstable();
            parts.dedup();
            let bridges = edges.iter().filter(|edge| edge.gap > 0.0).count();
            eprintln!(
                "complete {complete:.4}, false {share:.4}, parts {}, APLS {apls:.3}, {} nodes, {} edges ({bridges} bridges)",
                parts.len(),
                nodes.len(),
                edges.len()
            );
            assert!(complete >= 0.95, "{complete}");
            assert!(share <= 0.03, "{share}");
            assert_eq!(parts.len(), 2);
            assert!(apls > 0.9, "{apls}");
            for (line, width) in &truth {
                // The edge that passes the middle of a true road has about its width.
                let middle = line[0] * 0.85 + line[1] * 0.15;
                let edge = edges.iter().min_by(|a, b| {
                    off_lines(middle, &vec![a.line.clone()]).total_cmp(&off_lines(middle, &vec![b.line.clone()]))
                });
                let measured = edge.unwrap().width;
                assert!((measured - width).abs() < 1.6, "{measured} for {width}");
            }
        }
    }
}
