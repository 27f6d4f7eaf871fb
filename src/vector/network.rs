//! The road network: a graph of nodes and edges, and the operations that turn a raw skeleton into it.

mod lines;
mod read;
mod width;

use std::collections::{BTreeMap, HashMap};

use geo::{Coord, LineString, Simplify as _};

use lines::averaged;

pub use lines::{distance, heading, length, nearest, off};
pub use width::Frame;

/// A junction or dead end.
#[derive(Clone, Debug)]
pub struct Node {
    pub at: Coord,
    /// Half the width of the road here, in pixels.
    pub radius: f64,
}

/// A road between two nodes.
#[derive(Clone, Debug)]
pub struct Edge {
    pub from: usize,
    pub to: usize,
    /// The centre line, from the first node to the second.
    pub line: Vec<Coord>,
    /// Width of the road in pixels; 0 until measured.
    pub width: f64,
    /// Length of bridged gaps along the line, in pixels.
    pub gap: f64,
}

/// A road network. Removed edges stay as `None` until `compact`. Positions are those of a `Frame`.
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub nodes: Vec<Node>,
    pub edges: Vec<Option<Edge>>,
}

/// Thresholds for the clean-up of a network; lengths in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Dead ends that protrude from their road by less are removed.
    pub shortest_spur: f64,
    /// Widest gap that is bridged.
    pub widest_gap: f64,
    /// Connected parts of less total length are removed.
    pub shortest_part: f64,
    /// Tolerance of line simplification.
    pub tolerance: f64,
}

impl Network {
    /// Adds an edge; `gap`: length of the bridged gap in it.
    pub fn add(&mut self, from: usize, to: usize, line: Vec<Coord>, gap: f64) {
        self.edges.push(Some(Edge { from, to, line, width: 0.0, gap }));
    }

    /// For every node, the edges that end there; a loop is listed twice.
    pub fn incidence(&self) -> Vec<Vec<usize>> {
        let mut incidence = vec![Vec::new(); self.nodes.len()];
        for (index, edge) in self.edges.iter().enumerate() {
            if let Some(edge) = edge {
                incidence[edge.from].push(index);
                incidence[edge.to].push(index);
            }
        }
        incidence
    }

    /// Joins the two edges at every node of degree 2.
    pub fn dissolve(&mut self) {
        let mut incidence = self.incidence();
        for node in 0..self.nodes.len() {
            let [one, other] = incidence[node][..] else { continue };
            if one == other {
                continue;
            }
            let (Some(a), Some(b)) = (self.edges[one].take(), self.edges[other].take()) else { continue };
            let a = if a.to == node { a } else { reversed(a) };
            let b = if b.from == node { b } else { reversed(b) };
            let mut line = a.line;
            line.extend(&b.line[1..]);
            incidence[node].clear();
            for slot in &mut incidence[b.to] {
                if *slot == other {
                    *slot = one;
                    break;
                }
            }
            self.edges[one] = Some(Edge { from: a.from, to: b.to, line, width: 0.0, gap: a.gap + b.gap });
        }
    }

    /// Removes dead ends that protrude from their road by less than `shortest`, the shortest first.
    pub fn cut_spurs(&mut self, shortest: f64) {
        loop {
            self.dissolve();
            let incidence = self.incidence();
            let mut spurs: Vec<(f64, usize, usize)> = Vec::new();
            for (index, edge) in self.edges.iter().enumerate() {
                let Some(edge) = edge else { continue };
                let ends = (incidence[edge.from].len(), incidence[edge.to].len());
                let root = match ends {
                    (1, 3..) => edge.to,
                    (3.., 1) => edge.from,
                    _ => continue,
                };
                let visible = length(&edge.line) - self.nodes[root].radius;
                if visible < shortest.max(self.nodes[root].radius) {
                    spurs.push((visible, index, root));
                }
            }
            spurs.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut touched = vec![false; self.nodes.len()];
            let mut any = false;
            for (_, index, root) in spurs {
                // One spur per junction and round: afterwards it may no longer be a junction.
                if !std::mem::replace(&mut touched[root], true) {
                    self.edges[index] = None;
                    any = true;
                }
            }
            if !any {
                return;
            }
        }
    }

    /// Merges junctions that are closer than the width of the road.
    pub fn merge_junctions(&mut self) {
        loop {
            let incidence = self.incidence();
            let mut touched = vec![false; self.nodes.len()];
            let mut any = false;
            for index in 0..self.edges.len() {
                let Some(edge) = &self.edges[index] else { continue };
                let (from, to) = (edge.from, edge.to);
                let reach = self.nodes[from].radius.max(self.nodes[to].radius) * 1.2;
                if from == to
                    || incidence[from].len() < 3
                    || incidence[to].len() < 3
                    || length(&edge.line) > reach
                    || touched[from]
                    || touched[to]
                {
                    continue;
                }
                touched[from] = true;
                touched[to] = true;
                let middle = (self.nodes[from].at + self.nodes[to].at) / 2.0;
                self.edges[index] = None;
                self.nodes[from].at = middle;
                for &other in incidence[from].iter().chain(&incidence[to]) {
                    if let Some(edge) = &mut self.edges[other] {
                        let last = edge.line.len() - 1;
                        if edge.from == from || edge.from == to {
                            edge.from = from;
                            edge.line[0] = middle;
                        }
                        if edge.to == from || edge.to == to {
                            edge.to = from;
                            edge.line[last] = middle;
                        }
                        if edge.from == edge.to && length(&edge.line) < reach * 2.0 {
                            self.edges[other] = None;
                        }
                    }
                }
                any = true;
            }
            if !any {
                break;
            }
        }
        self.dissolve();
    }

    /// Removes connected parts of less total length than `shortest`.
    pub fn drop_short_parts(&mut self, shortest: f64) {
        let parts = self.parts();
        let mut lengths: HashMap<usize, f64> = HashMap::new();
        for edge in self.edges.iter().flatten() {
            *lengths.entry(parts[edge.from]).or_default() += length(&edge.line);
        }
        for edge in &mut self.edges {
            if edge.as_ref().is_some_and(|edge| lengths[&parts[edge.from]] < shortest) {
                *edge = None;
            }
        }
    }

    /// The connected part of every node, identified by its smallest node.
    pub fn parts(&self) -> Vec<usize> {
        let mut parent: Vec<usize> = (0..self.nodes.len()).collect();
        fn root(parent: &mut [usize], mut node: usize) -> usize {
            while parent[node] != node {
                parent[node] = parent[parent[node]];
                node = parent[node];
            }
            node
        }
        for edge in self.edges.iter().flatten() {
            let (a, b) = (root(&mut parent, edge.from), root(&mut parent, edge.to));
            parent[a.max(b)] = a.min(b);
        }
        (0..self.nodes.len()).map(|node| root(&mut parent, node)).collect()
    }

    /// Smooths the pixel steps of the lines, then simplifies them.
    pub fn smooth(&mut self, tolerance: f64) {
        for edge in self.edges.iter_mut().flatten() {
            for _ in 0..2 {
                edge.line = averaged(&edge.line, 3);
            }
            edge.line = LineString::new(std::mem::take(&mut edge.line)).simplify(tolerance).0;
        }
    }

    /// The remaining nodes and edges, renumbered.
    pub fn compact(self) -> (Vec<Node>, Vec<Edge>) {
        let edges: Vec<Edge> = self.edges.into_iter().flatten().collect();
        let mut number: BTreeMap<usize, usize> = BTreeMap::new();
        for edge in &edges {
            number.insert(edge.from, 0);
            number.insert(edge.to, 0);
        }
        for (index, new) in number.values_mut().enumerate() {
            *new = index;
        }
        let nodes = number.keys().map(|&node| self.nodes[node].clone()).collect();
        let edges =
            edges.into_iter().map(|edge| Edge { from: number[&edge.from], to: number[&edge.to], ..edge }).collect();
        (nodes, edges)
    }
}

fn reversed(mut edge: Edge) -> Edge {
    std::mem::swap(&mut edge.from, &mut edge.to);
    edge.line.reverse();
    edge
}
