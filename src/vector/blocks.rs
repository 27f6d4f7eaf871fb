//! Houses of different classes that stand wall to wall: the block that they form is squared as one, and then parted by
//! straight walls, so that neighbours have the same wall and nothing lies between them.

use std::collections::{HashMap, HashSet};

use super::buildings::{Building, Shape, SquareOptions, geometry, ring_of};
use super::geometry::polygons_of;
use super::shape::{Corner, ring_area};
use super::square::{self, Party, Point, edge_middles};
use crate::geom::WorldPoint;
use gdal::vector::Geometry;

/// Neighbours that share fewer pixel edges only touch.
const LEAST_SHARED: usize = 4;

/// A larger block is no block of houses, and its outlines stay as they are: parting it would take long.
const MOST_MEMBERS: usize = 64;
const MOST_EDGES: usize = 20_000;

/// How far, in pixels, a party wall is sought beyond its last pixel: the squared outline may lie so far outside.
const REACH: f64 = 5.0;

/// Walls of one direction that lie closer are one wall, in pixels.
const SAME_WALL: f64 = 1.2;

/// An edge of a pixel, walked with the inside on its left.
type UnitEdge = (Corner, Corner);

/// Squares the blocks among the buildings. Holes of up to `largest_hole` pixels between neighbours are closed.
pub fn square_blocks(buildings: &mut [Building], options: &SquareOptions, largest_hole: u64) {
    if !options.square || buildings.windows(2).all(|pair| pair[0].label == pair[1].label) {
        return;
    }
    for cluster in super::buildings::clusters(buildings) {
        let edges: usize = cluster.iter().map(|&member| perimeter(&buildings[member])).sum();
        if edges > MOST_EDGES {
            continue;
        }
        let sides = sides(buildings, &cluster);
        for members in blocks(&cluster, &sides) {
            if members.len() > MOST_MEMBERS {
                continue;
            }
            if let Some(parted) = part(buildings, &members, &sides, options, largest_hole) {
                for (member, (rings, iou), axis) in parted {
                    let building = &mut buildings[member];
                    (building.rings, building.iou, building.axis) = (rings, iou, axis);
                    building.shape = Shape::Squared;
                }
            }
        }
    }
}

fn perimeter(building: &Building) -> usize {
    building.plain.rings().map(|ring| unit_edges(ring).count()).sum()
}

fn unit_edges(ring: &[Corner]) -> impl Iterator<Item = UnitEdge> + '_ {
    ring.iter().zip(ring.iter().cycle().skip(1)).flat_map(|(&from, &to)| {
        let steps = from.col.abs_diff(to.col) + from.row.abs_diff(to.row);
        let along = move |step: u32| {
            let towards = |from: u32, to: u32| from.saturating_add_signed((i64::from(to) - i64::from(from)).signum() as i32 * step as i32);
            Corner { col: towards(from.col, to.col), row: towards(from.row, to.row) }
        };
        (0..steps).map(move |step| (along(step), along(step + 1)))
    })
}

/// Whose pixel lies on the left of each edge.
type Sides = HashMap<UnitEdge, usize>;

fn sides(buildings: &[Building], cluster: &[usize]) -> Sides {
    let mut sides = Sides::new();
    for &member in cluster {
        for ring in buildings[member].plain.rings() {
            sides.extend(unit_edges(ring).map(|edge| (edge, member)));
        }
    }
    sides
}

fn other_side(sides: &Sides, (from, to): UnitEdge) -> Option<usize> {
    sides.get(&(to, from)).copied()
}

/// The members of a cluster that share walls, two or more together.
fn blocks(cluster: &[usize], sides: &Sides) -> Vec<Vec<usize>> {
    let mut shared: HashMap<(usize, usize), usize> = HashMap::new();
    for (&edge, &one) in sides {
        if let Some(other) = other_side(sides, edge).filter(|&other| one < other) {
            *shared.entry((one, other)).or_default() += 1;
        }
    }
    let mut root: HashMap<usize, usize> = cluster.iter().map(|&member| (member, member)).collect();
    fn find(root: &HashMap<usize, usize>, mut member: usize) -> usize {
        while root[&member] != member {
            member = root[&member];
        }
        member
    }
    for (&(one, other), _) in shared.iter().filter(|&(_, &count)| count >= LEAST_SHARED) {
        let (one, other) = (find(&root, one), find(&root, other));
        root.insert(one.max(other), one.min(other));
    }
    let mut blocks: HashMap<usize, Vec<usize>> = HashMap::new();
    for &member in cluster {
        blocks.entry(find(&root, member)).or_default().push(member);
    }
    let mut blocks: Vec<Vec<usize>> = blocks.into_values().filter(|members| members.len() > 1).collect();
    blocks.sort();
    blocks
}

type Parted = (usize, (Vec<Vec<Point>>, f64), f64);

/// The squared outlines of a block's members; `None` where they would not be true to the pixels.
fn part(
    buildings: &[Building],
    members: &[usize],
    sides: &Sides,
    options: &SquareOptions,
    largest_hole: u64,
) -> Option<Vec<Parted>> {
    let inside: HashSet<usize> = members.iter().copied().collect();
    let neighbour = |edge: UnitEdge| other_side(sides, edge).filter(|other| inside.contains(other));
    let mut outer = None;
    let mut courtyards = Vec::new();
    let mut border: HashMap<Corner, Vec<Corner>> = HashMap::new();
    for &member in members {
        for (from, to) in buildings[member].plain.rings().flat_map(|ring| unit_edges(ring)) {
            if neighbour((from, to)).is_none() {
                border.entry(from).or_default().push(to);
            }
        }
    }
    for ring in rings(border) {
        match ring_area(&ring) {
            area if area > 0 => {
                // Members that only touch in a corner are no block.
                if outer.replace(ring).is_some() {
                    return None;
                }
            }
            area if area.unsigned_abs() > largest_hole => courtyards.push(ring),
            _ => {}
        }
    }
    let (outline, axis) = square::fit(&edge_middles(&outer?), options.prices, None)?;
    let mut block = vec![ring_of(outline, true)];
    for courtyard in &courtyards {
        let (courtyard, _) = square::fit(&edge_middles(courtyard), options.prices, Some(axis))?;
        block.push(ring_of(courtyard, false));
    }
    let whole = geometry(&block).filter(Geometry::is_valid)?;
    let mut walls: Vec<Party> = Vec::new();
    for &member in members {
        for ring in buildings[member].plain.rings() {
            for middles in shared_runs(ring, |edge| neighbour(edge).filter(|&other| member < other)) {
                walls.push(square::party(&middles, options.prices, axis)?);
            }
        }
    }
    align(&mut walls, &block, axis);
    let lines = block.iter().map(|ring| closed(ring)).chain(walls.iter().filter_map(|wall| wall.line(REACH)));
    let faces = super::ffi::faces(&noded(lines)?)?;
    let plain: Vec<(usize, Geometry)> =
        members.iter().map(|&member| Some((member, geometry(&plain_rings(&buildings[member]))?))).collect::<Option<_>>()?;
    let mut shares: HashMap<usize, Geometry> = HashMap::new();
    for face in faces {
        if common(&face, &whole) < 0.5 * face.area() {
            // A courtyard.
            continue;
        }
        let (owner, _) = plain
            .iter()
            .map(|(member, plain)| (*member, common(&face, plain)))
            .max_by(|a, b| a.1.total_cmp(&b.1))?;
        let share = match shares.remove(&owner) {
            Some(share) => share.union(&face)?,
            None => face,
        };
        shares.insert(owner, share);
    }
    let mut parted = Vec::with_capacity(members.len());
    for (member, plain) in &plain {
        let share = shares.get(member)?;
        let (common, area) = (common(share, plain), share.area());
        let iou = common / (area + plain.area() - common);
        let mut polygons = polygons_of(share);
        let (Some(rings), true) = (polygons.pop(), polygons.is_empty() && iou >= options.least_iou) else {
            return None;
        };
        // With the inside on the left as seen with row 0 on top, as all outlines here.
        let turned = |ring: Vec<WorldPoint>| ring.into_iter().rev().map(|point| (point.x, point.y)).collect();
        parted.push((*member, (rings.into_iter().map(turned).collect::<Vec<Vec<Point>>>(), iou), axis));
    }
    straighten(&mut parted);
    Some(parted)
}

fn plain_rings(building: &Building) -> Vec<Vec<Point>> {
    building.plain.rings().map(|ring| super::place::positions(ring).collect()).collect()
}

fn common(a: &Geometry, b: &Geometry) -> f64 {
    a.intersection(b).map_or(0.0, |common| common.area())
}

fn closed(ring: &[Point]) -> Vec<Point> {
    ring.iter().chain(ring.first()).copied().collect()
}

/// Chains border edges to rings. Where two pixels touch in a corner, a ring stays with the pixel on its left.
fn rings(mut border: HashMap<Corner, Vec<Corner>>) -> Vec<Vec<Corner>> {
    let mut starts: Vec<Corner> = border.keys().copied().collect();
    starts.sort_unstable();
    let mut rings = Vec::new();
    for start in starts {
        while let Some(first) = border.get_mut(&start).and_then(Vec::pop) {
            let (mut ring, mut before, mut at) = (vec![start], start, first);
            while at != start || border.get(&at).is_some_and(|next| next.iter().any(|&next| is_left(before, at, next))) {
                ring.push(at);
                let Some(exits) = border.get_mut(&at) else { break };
                let left = exits.iter().position(|&next| is_left(before, at, next)).unwrap_or(0);
                if left >= exits.len() {
                    break;
                }
                (before, at) = (at, exits.swap_remove(left));
            }
            rings.push(ring);
        }
    }
    rings
}

/// Whether the way turns left at a corner, as seen with row 0 on top.
fn is_left(before: Corner, at: Corner, next: Corner) -> bool {
    let step = |from: Corner, to: Corner| {
        (i64::from(to.col) - i64::from(from.col), i64::from(to.row) - i64::from(from.row))
    };
    let ((ax, ay), (bx, by)) = (step(before, at), step(at, next));
    ax * by - ay * bx < 0
}

/// The middles of the edges of each piece of a ring that is shared with one neighbour.
fn shared_runs(ring: &[Corner], neighbour: impl Fn(UnitEdge) -> Option<usize>) -> Vec<Vec<Point>> {
    let mut edges: Vec<(UnitEdge, Option<usize>)> = unit_edges(ring).map(|edge| (edge, neighbour(edge))).collect();
    // To begin where a run begins, so that none is cut by the ring's own start.
    let before = |index: usize| edges[(index + edges.len() - 1) % edges.len()].1;
    if let Some(begin) = (0..edges.len()).find(|&index| edges[index].1 != before(index)) {
        edges.rotate_left(begin);
    }
    let middle = |((from, to), _): &(UnitEdge, Option<usize>)| {
        let half = |a: u32, b: u32| (f64::from(a) + f64::from(b)) / 2.0;
        (half(from.col, to.col), half(from.row, to.row))
    };
    edges
        .chunk_by(|a, b| a.1 == b.1)
        .filter(|run| run[0].1.is_some())
        .map(|run| run.iter().map(middle).collect())
        .collect()
}

/// Gives walls that continue one another, or a wall of the block, the same line.
fn align(walls: &mut [Party], block: &[Vec<Point>], axis: f64) {
    let mut fixed: Vec<square::Wall> =
        block.iter().flat_map(|ring| square::walls_of(ring, axis)).collect();
    let mut order: Vec<(usize, usize)> =
        walls.iter().enumerate().flat_map(|(index, wall)| (0..wall.walls.len()).map(move |part| (index, part))).collect();
    order.sort_by(|a, b| walls[b.0].walls[b.1].length().total_cmp(&walls[a.0].walls[a.1].length()));
    for (index, part) in order {
        let wall = &mut walls[index].walls[part];
        if let Some(like) = fixed.iter().find(|other| other.continues(wall, SAME_WALL, REACH)) {
            wall.offset = like.offset;
        }
        fixed.push(*wall);
    }
}

/// Lines cut wherever they meet.
fn noded(lines: impl Iterator<Item = Vec<Point>>) -> Option<Geometry> {
    let mut all: Option<Geometry> = None;
    for line in lines {
        let points: Vec<WorldPoint> = line.iter().map(|&(x, y)| WorldPoint { x, y }).collect();
        let line = Geometry::from_wkb(&super::wkb::line_wkb(&points)).ok()?;
        all = Some(match all {
            Some(all) => all.union(&line)?,
            None => line,
        });
    }
    all
}

/// Takes out corners that are none, unless a neighbour has one there: shared walls have the same points.
fn straighten(parted: &mut [Parted]) {
    let flat = |ring: &[Point], index: usize| {
        let count = ring.len();
        let (a, b, c) = (ring[(index + count - 1) % count], ring[index], ring[(index + 1) % count]);
        let (ux, uy, vx, vy) = (b.0 - a.0, b.1 - a.1, c.0 - b.0, c.1 - b.1);
        (ux * vy - uy * vx).abs() <= 1e-6 * ux.hypot(uy) * vx.hypot(vy) && ux * vx + uy * vy > 0.0
    };
    let mut needed: HashSet<[u64; 2]> = HashSet::new();
    let key = |point: Point| [point.0.to_bits(), point.1.to_bits()];
    for (_, (rings, _), _) in parted.iter() {
        for ring in rings {
            needed.extend((0..ring.len()).filter(|&index| !flat(ring, index)).map(|index| key(ring[index])));
        }
    }
    for (_, (rings, _), _) in parted.iter_mut() {
        for ring in rings {
            let kept = (0..ring.len()).filter(|&index| !flat(ring, index) || needed.contains(&key(ring[index])));
            *ring = kept.map(|index| ring[index]).collect();
        }
    }
}
