//! Converts a skeleton to a graph.

use std::collections::{BTreeSet, HashMap};

use geo::Coord;

use super::super::bits::BitGrid;
use super::super::thin::NEIGHBOURS;
use super::width::{Frame, radius};
use super::{Network, Node};

impl Network {
    /// The graph of a skeleton; `mask` is the mask from which it was thinned.
    pub fn of(skeleton: &BitGrid, mask: &BitGrid, frame: Frame) -> Self {
        let mut network = Self::default();
        let degree = |col: i64, row: i64| NEIGHBOURS.iter().filter(|(dc, dr)| skeleton.at(col + dc, row + dr)).count();
        // Adjacent junction pixels form one node.
        let mut node_of: HashMap<(i64, i64), usize> = HashMap::new();
        let mut starts = Vec::new();
        for row in 0..skeleton.height() {
            for col in skeleton.set_between(row, 0, skeleton.width() - 1) {
                let (col, row) = (col as i64, row as i64);
                let count = degree(col, row);
                if count == 2 || node_of.contains_key(&(col, row)) {
                    continue;
                }
                let node = network.nodes.len();
                let mut pixels = vec![(col, row)];
                node_of.insert((col, row), node);
                let mut next = 0;
                while count > 2 && next < pixels.len() {
                    let (col, row) = pixels[next];
                    next += 1;
                    for (dc, dr) in NEIGHBOURS {
                        let pixel = (col + dc, row + dr);
                        if skeleton.at(pixel.0, pixel.1)
                            && !node_of.contains_key(&pixel)
                            && degree(pixel.0, pixel.1) > 2
                        {
                            node_of.insert(pixel, node);
                            pixels.push(pixel);
                        }
                    }
                }
                let n = pixels.len() as f64;
                let sum = pixels.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 as f64, sum.1 + p.1 as f64));
                let at = Coord { x: (sum.0 / n + 0.5) * frame.col, y: (sum.1 / n + 0.5) * frame.row };
                network.nodes.push(Node { at, radius: radius(mask, frame, at) });
                starts.extend(pixels);
            }
        }
        let mut visited = BitGrid::new(skeleton.width(), skeleton.height());
        for (col, row) in starts {
            for (dc, dr) in NEIGHBOURS {
                let first = (col + dc, row + dr);
                if skeleton.at(first.0, first.1)
                    && !node_of.contains_key(&first)
                    && !visited.get(first.0 as usize, first.1 as usize)
                {
                    network.walk(skeleton, frame, &node_of, &mut visited, (col, row), first);
                }
            }
        }
        // Adjacent nodes have no pixel between them.
        let mut touching = BTreeSet::new();
        for (&(col, row), &node) in &node_of {
            for (dc, dr) in NEIGHBOURS {
                if let Some(&other) = node_of.get(&(col + dc, row + dr))
                    && node < other
                {
                    touching.insert((node, other));
                }
            }
        }
        for (node, other) in touching {
            let line = vec![network.nodes[node].at, network.nodes[other].at];
            network.add(node, other, line, 0.0);
        }
        network.rings(skeleton, frame, &node_of, &mut visited, mask);
        network
    }

    fn walk(
        &mut self,
        skeleton: &BitGrid,
        frame: Frame,
        node_of: &HashMap<(i64, i64), usize>,
        visited: &mut BitGrid,
        start: (i64, i64),
        first: (i64, i64),
    ) {
        let from = node_of[&start];
        let mut line = vec![self.nodes[from].at];
        let (mut before, mut at) = (start, first);
        let to = loop {
            visited.set(at.0 as usize, at.1 as usize, true);
            line.push(frame.middle(at.0, at.1));
            let ahead = |near: &(i64, i64)| *near != before && skeleton.at(near.0, near.1);
            let near = NEIGHBOURS.map(|(dc, dr)| (at.0 + dc, at.1 + dr));
            // Not back into the start node directly.
            let mut exits = near.iter().filter(|near| ahead(near));
            let node = near
                .iter()
                .filter(|near| ahead(near))
                .find_map(|near| node_of.get(near).copied().filter(|&node| !(node == from && line.len() == 2)));
            if let Some(node) = node {
                break Some(node);
            }
            let next = exits.find(|near| !node_of.contains_key(near) && !visited.get(near.0 as usize, near.1 as usize));
            match next {
                Some(&next) => (before, at) = (at, next),
                None => break None,
            }
        };
        let to = to.unwrap_or_else(|| {
            // A line that ends at visited pixels, without an end pixel.
            self.nodes.push(Node { at: frame.middle(at.0, at.1), radius: 1.0 });
            self.nodes.len() - 1
        });
        line.push(self.nodes[to].at);
        line.dedup();
        if line.len() >= 2 {
            self.add(from, to, line, 0.0);
        }
    }

    /// Adds closed lines without junctions; each gets one node.
    fn rings(
        &mut self,
        skeleton: &BitGrid,
        frame: Frame,
        node_of: &HashMap<(i64, i64), usize>,
        visited: &mut BitGrid,
        mask: &BitGrid,
    ) {
        for row in 0..skeleton.height() {
            for col in skeleton.set_between(row, 0, skeleton.width() - 1) {
                let start = (col as i64, row as i64);
                if visited.get(col, row) || node_of.contains_key(&start) {
                    continue;
                }
                let at = frame.middle(col as i64, row as i64);
                let node = self.nodes.len();
                let mut line = vec![at];
                let mut here = start;
                visited.set(col, row, true);
                while let Some(next) = NEIGHBOURS
                    .map(|(dc, dr)| (here.0 + dc, here.1 + dr))
                    .into_iter()
                    .find(|next| skeleton.at(next.0, next.1) && !visited.get(next.0 as usize, next.1 as usize))
                {
                    visited.set(next.0 as usize, next.1 as usize, true);
                    line.push(frame.middle(next.0, next.1));
                    here = next;
                }
                if line.len() > 3 {
                    line.push(at);
                    self.nodes.push(Node { at, radius: radius(mask, frame, at) });
                    self.add(node, node, line, 0.0);
                }
            }
        }
    }
}
