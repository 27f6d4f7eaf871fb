//! Adjoining buildings of different classes: their common block is squared as one outline and then divided by straight
//! walls, so that neighbours share a wall without gap or overlap.

use std::collections::{HashMap, HashSet};

use gdal::vector::Geometry;
use geo::{Coord, LineString, Polygon};

use super::buildings::{Building, Shape, SquareOptions, plain_outline, ring_of};
use super::geometry::{geometry_of, polygons_of};
use super::shape::{Corner, open, ring_area, rings};
use super::square::{self, SharedWall, edge_middles};

/// Fewest pixel edges that neighbours in one block share.
const MIN_SHARED: usize = 4;

/// Limits of a block, in buildings and in pixel edges. The outlines of larger ones stay as they are: dividing them is slow.
const MAX_MEMBERS: usize = 64;
const MAX_EDGES: usize = 20_000;

/// Pixels by which a shared wall is extended at both ends: the squared outline may lie so far outside its pixels.
const REACH: f64 = 5.0;

/// Parallel walls closer than this are aligned, in pixels.
const SAME_WALL: f64 = 1.2;

/// An edge of a pixel, directed with the inside on its left.
type UnitEdge = (Corner, Corner);

/// Squares the blocks among the buildings. Gaps of up to `largest_hole` pixels between the members of a block are filled.
pub fn square_blocks(buildings: &mut [Building], options: &SquareOptions, largest_hole: u64) {
    if !options.square || buildings.windows(2).all(|pair| pair[0].label == pair[1].label) {
        return;
    }
    for cluster in super::neighbours::clusters(buildings) {
        let edges: usize = cluster.iter().map(|&member| perimeter(&buildings[member])).sum();
        if edges > MAX_EDGES {
            continue;
        }
        let sides = sides(buildings, &cluster);
        for members in blocks(&cluster, &sides) {
            if members.len() > MAX_MEMBERS {
                continue;
            }
            if let Some(parts) = divide(buildings, &members, &sides, options, largest_hole) {
                for Part { member, outline, iou, axis } in parts {
                    let building = &mut buildings[member];
                    (building.outline, building.iou, building.axis) = (outline, iou, axis);
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
            let towards = |from: u32, to: u32| {
                from.saturating_add_signed((i64::from(to) - i64::from(from)).signum() as i32 * step as i32)
            };
            Corner { col: towards(from.col, to.col), row: towards(from.row, to.row) }
        };
        (0..steps).map(move |step| (along(step), along(step + 1)))
    })
}

/// The building on the left of each edge.
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

/// The blocks of a cluster: two or more members that share walls.
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
    for (&(one, other), _) in shared.iter().filter(|&(_, &count)| count >= MIN_SHARED) {
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

/// A member of a divided block, by the index of its building, with its share of the block.
struct Part {
    member: usize,
    outline: Polygon,
    iou: f64,
    axis: f64,
}

/// The squared outlines of a block's members; `None` where they would deviate too much from the pixels.
fn divide(
    buildings: &[Building],
    members: &[usize],
    sides: &Sides,
    options: &SquareOptions,
    largest_hole: u64,
) -> Option<Vec<Part>> {
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
    for ring in border_rings(border) {
        match ring_area(&ring) {
            // Members that touch only in a corner do not form a block.
            area if area > 0 && outer.is_some() => return None,
            area if area > 0 => outer = Some(ring),
            area if area.unsigned_abs() > largest_hole => courtyards.push(ring),
            _ => {}
        }
    }
    let (outline, axis) = square::fit(&edge_middles(&outer?), options.prices, None)?;
    let fit_courtyard = |courtyard: &Vec<Corner>| {
        let (courtyard, _) = square::fit(&edge_middles(courtyard), options.prices, Some(axis))?;
        Some(ring_of(courtyard, false))
    };
    let courtyards = courtyards.iter().map(fit_courtyard).collect::<Option<_>>()?;
    let block = Polygon::new(ring_of(outline, true), courtyards);
    let whole = geometry_of(&block).ok().filter(Geometry::is_valid)?;
    let mut walls: Vec<SharedWall> = Vec::new();
    for &member in members {
        for ring in buildings[member].plain.rings() {
            for (middles, round) in shared_runs(ring, |edge| neighbour(edge).filter(|&other| member < other)) {
                walls.push(square::fit_shared_wall(&middles, round, options.prices, axis)?);
            }
        }
    }
    align(&mut walls, &block, axis);
    let lines = rings(&block).cloned().chain(walls.iter().filter_map(|wall| wall.line(REACH)).map(LineString::from));
    let faces = super::ffi::faces(&noded(lines)?)?;
    let plain: Vec<(usize, Geometry)> = members
        .iter()
        .map(|&member| Some((member, geometry_of(&plain_outline(&buildings[member].plain)).ok()?)))
        .collect::<Option<_>>()?;
    let mut shares: HashMap<usize, Geometry> = HashMap::new();
    for face in faces {
        let face = Geometry::from_wkb(&face).ok()?;
        if common(&face, &whole) < 0.5 * face.area() {
            // A courtyard.
            continue;
        }
        let (owner, _) =
            plain.iter().map(|(member, plain)| (*member, common(&face, plain))).max_by(|a, b| a.1.total_cmp(&b.1))?;
        let share = match shares.remove(&owner) {
            Some(share) => share.union(&face)?,
            None => face,
        };
        shares.insert(owner, share);
    }
    reassign_pieces(&mut shares)?;
    let mut parts = Vec::with_capacity(members.len());
    for (member, plain) in &plain {
        let share = shares.get(member)?;
        let (common, area) = (common(share, plain), share.area());
        let iou = common / (area + plain.area() - common);
        let mut polygons = polygons_of(share);
        let (Some(polygon), true) = (polygons.pop(), polygons.is_empty() && iou >= options.least_iou) else {
            return None;
        };
        // Inside on the left with row 0 on top, like all outlines here.
        let reversed = |ring: &LineString| open(ring).iter().rev().copied().collect();
        let outline = Polygon::new(reversed(polygon.exterior()), polygon.interiors().iter().map(reversed).collect());
        parts.push(Part { member: *member, outline, iou, axis });
    }
    straighten(&mut parts);
    Some(parts)
}

fn common(a: &Geometry, b: &Geometry) -> f64 {
    a.intersection(b).map_or(0.0, |common| common.area())
}

/// Joins border edges to rings. At a corner where two pixels touch, a ring follows the pixel on its left.
fn border_rings(mut border: HashMap<Corner, Vec<Corner>>) -> Vec<Vec<Corner>> {
    let mut starts: Vec<Corner> = border.keys().copied().collect();
    starts.sort_unstable();
    let mut rings = Vec::new();
    for start in starts {
        while let Some(first) = border.get_mut(&start).and_then(Vec::pop) {
            let (mut ring, mut before, mut at) = (vec![start], start, first);
            loop {
                let exits = border.entry(at).or_default();
                if exits.is_empty() || at == start && is_left(before, at, first) {
                    break;
                }
                ring.push(at);
                let exit = exits.iter().position(|&next| is_left(before, at, next)).unwrap_or(0);
                (before, at) = (at, exits.swap_remove(exit));
            }
            rings.push(ring);
        }
    }
    rings
}

/// Whether a path turns left at a corner, with row 0 on top.
fn is_left(before: Corner, at: Corner, next: Corner) -> bool {
    let step =
        |from: Corner, to: Corner| (i64::from(to.col) - i64::from(from.col), i64::from(to.row) - i64::from(from.row));
    let ((ax, ay), (bx, by)) = (step(before, at), step(at, next));
    ax * by - ay * bx < 0
}

/// The runs of a ring that are shared with one neighbour: the midpoints of their edges, and whether a run is the whole ring.
fn shared_runs(ring: &[Corner], neighbour: impl Fn(UnitEdge) -> Option<usize>) -> Vec<(Vec<Coord>, bool)> {
    let mut edges: Vec<(UnitEdge, Option<usize>)> = unit_edges(ring).map(|edge| (edge, neighbour(edge))).collect();
    // Start where a run starts, so that the start of the ring divides none.
    let before = |index: usize| edges[(index + edges.len() - 1) % edges.len()].1;
    if let Some(begin) = (0..edges.len()).find(|&index| edges[index].1 != before(index)) {
        edges.rotate_left(begin);
    }
    let middle = |&((from, to), _): &(UnitEdge, Option<usize>)| (Coord::from(from) + Coord::from(to)) / 2.0;
    edges
        .chunk_by(|a, b| a.1 == b.1)
        .filter(|run| run[0].1.is_some())
        .map(|run| (run.iter().map(middle).collect(), run.len() == edges.len()))
        .collect()
}

/// Reassigns detached pieces: each owner keeps its largest piece, the others go to the neighbour with the longest common border.
fn reassign_pieces(shares: &mut HashMap<usize, Geometry>) -> Option<()> {
    let mut owners: Vec<usize> = shares.keys().copied().collect();
    owners.sort_unstable();
    for &owner in &owners {
        let mut pieces: Vec<Geometry> =
            polygons_of(shares.get(&owner)?).iter().map(|polygon| geometry_of(polygon).ok()).collect::<Option<_>>()?;
        if pieces.len() < 2 {
            continue;
        }
        pieces.sort_by(|a, b| a.area().total_cmp(&b.area()));
        shares.insert(owner, pieces.pop()?);
        for piece in pieces {
            let border = |other: &usize| {
                shares.get(other).and_then(|share| share.intersection(&piece)).map_or(0.0, |border| border.length())
            };
            let next = owners.iter().copied().filter(|&other| other != owner);
            let next = next.max_by(|a, b| border(a).total_cmp(&border(b)))?;
            let whole = shares.get(&next)?.union(&piece)?;
            shares.insert(next, whole);
        }
    }
    Some(())
}

/// Aligns shared walls that continue each other or a wall of the block.
fn align(walls: &mut [SharedWall], block: &Polygon, axis: f64) {
    let mut fixed: Vec<square::Wall> = rings(block).flat_map(|ring| square::walls_of(open(ring), axis)).collect();
    let mut order: Vec<(usize, usize)> = walls
        .iter()
        .enumerate()
        .flat_map(|(index, wall)| (0..wall.walls.len()).map(move |part| (index, part)))
        .collect();
    order.sort_by(|a, b| walls[b.0].walls[b.1].length().total_cmp(&walls[a.0].walls[a.1].length()));
    for (index, part) in order {
        let wall = &mut walls[index].walls[part];
        if let Some(aligned) = fixed.iter().find(|other| other.continues(wall, SAME_WALL, REACH)) {
            wall.offset = aligned.offset;
        }
        fixed.push(*wall);
    }
}

/// The lines, split wherever they meet (noded).
fn noded(lines: impl Iterator<Item = LineString>) -> Option<Geometry> {
    let mut all: Option<Geometry> = None;
    for line in lines {
        let line = Geometry::from_wkb(&super::wkb::line_wkb(&line)).ok()?;
        all = Some(match all {
            Some(all) => all.union(&line)?,
            None => line,
        });
    }
    all
}

/// Removes collinear points, unless a neighbour has a corner there: shared walls keep the same points.
fn straighten(parts: &mut [Part]) {
    let flat = |ring: &[Coord], index: usize| {
        let count = ring.len();
        let (a, b, c) = (ring[(index + count - 1) % count], ring[index], ring[(index + 1) % count]);
        let (u, v) = (b - a, c - b);
        (u.x * v.y - u.y * v.x).abs() <= 1e-6 * u.x.hypot(u.y) * v.x.hypot(v.y) && u.x * v.x + u.y * v.y > 0.0
    };
    let mut needed: HashSet<[u64; 2]> = HashSet::new();
    let key = |point: Coord| [point.x.to_bits(), point.y.to_bits()];
    for part in parts.iter() {
        for ring in rings(&part.outline).map(open) {
            needed.extend((0..ring.len()).filter(|&index| !flat(ring, index)).map(|index| key(ring[index])));
        }
    }
    for part in parts {
        let straight = |ring: &LineString| {
            let ring = open(ring);
            let kept = (0..ring.len()).filter(|&index| !flat(ring, index) || needed.contains(&key(ring[index])));
            kept.map(|index| ring[index]).collect()
        };
        let outline = &part.outline;
        part.outline = Polygon::new(straight(outline.exterior()), outline.interiors().iter().map(straight).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::super::bits::BitGrid;
    use super::super::buildings::{outline, tests as drawn};
    use super::super::mask::{Sizes, clean, regions};
    use super::super::neighbours::separate;
    use super::super::trace::Connectedness;
    use super::*;

    const SIDE: usize = 110;

    /// A row of houses of two alternating classes, and its pixels with simulated classification noise.
    fn row_houses(random: &mut drawn::Random) -> (Vec<Vec<(f64, f64)>>, Vec<u16>) {
        let (depth, angle) = (random.between(9.0, 16.0), random.between(0.0, 3.2));
        let mut houses = Vec::new();
        let mut from = -26.0;
        while from < 18.0 {
            let width = random.between(8.0, 14.0);
            let corners = vec![(from, 0.0), (from + width, 0.0), (from + width, depth), (from, depth)];
            houses.push(drawn::turned(vec![corners], angle, (55.3, 54.6)).remove(0));
            from += width;
        }
        let alone: Vec<_> = houses.iter().map(|house| vec![house.clone()]).collect();
        let mut exact = vec![0u16; SIDE * SIDE];
        for (at, label) in exact.iter_mut().enumerate() {
            let point = ((at % SIDE) as f64 + 0.5, (at / SIDE) as f64 + 0.5);
            let house = alone.iter().position(|house| drawn::inside(house, point));
            *label = house.map_or(0, |house| 1 + house as u16 % 2);
        }
        let mut noisy = exact.clone();
        for at in SIDE..SIDE * (SIDE - 1) {
            let other = [at - 1, at + 1, at - SIDE, at + SIDE].into_iter().find(|&near| exact[near] != exact[at]);
            if let Some(other) = other.filter(|_| random.next() < 0.1) {
                noisy[at] = exact[other];
            }
        }
        (houses, noisy)
    }

    fn outlined(labels: &[u16]) -> Vec<Building> {
        let mut all = Vec::new();
        let mut claimed = BitGrid::new(SIDE, SIDE);
        for label in [1, 2] {
            let mut mask = BitGrid::new(SIDE, SIDE);
            for (at, &found) in labels.iter().enumerate() {
                mask.set(at % SIDE, at / SIDE, found == label);
            }
            clean(&mut mask, Sizes { smallest_part: 12, largest_hole: 4 });
            if mask.remove(&claimed) {
                clean(&mut mask, Sizes { smallest_part: 12, largest_hole: 0 });
            }
            claimed.add(&mask);
            regions(&mask, Connectedness::Four, |mut region| {
                region.label = label;
                all.extend(outline(region, &SquareOptions::default()));
            });
        }
        all
    }

    #[test]
    fn row_houses_of_two_classes_share_walls() {
        let mut random = drawn::Random(7);
        let (mut squared, mut count, mut shared, mut walls, mut fit) = (0, 0, 0, 0, 0.0);
        for _ in 0..40 {
            let (houses, labels) = row_houses(&mut random);
            let mut all = outlined(&labels);
            square_blocks(&mut all, &SquareOptions::default(), 4);
            separate(&mut all);
            let shapes: Vec<Geometry> = all.iter().map(|building| geometry_of(&building.outline).unwrap()).collect();
            let truths: Vec<Geometry> =
                houses.iter().map(|house| geometry_of(&drawn::polygon(std::slice::from_ref(house))).unwrap()).collect();
            for (index, (one, building)) in shapes.iter().zip(&all).enumerate() {
                assert!(one.is_valid());
                for (other, neighbour) in shapes[..index].iter().zip(&all) {
                    let both = common(one, other);
                    assert!(
                        both < 1e-6,
                        "{:?} and {:?} have {both} px² in common: {} {}",
                        building.shape,
                        neighbour.shape,
                        one.wkt().unwrap(),
                        other.wkt().unwrap()
                    );
                }
                squared += usize::from(building.shape == Shape::Squared);
                count += 1;
            }
            let found = |truth: &Geometry| {
                let of =
                    |shape: &&Geometry| common(shape, truth) / (shape.area() + truth.area() - common(shape, truth));
                shapes.iter().max_by(|a, b| of(a).total_cmp(&of(b))).map(|best| (best, of(&best)))
            };
            for (index, truth) in truths.iter().enumerate() {
                let Some((one, iou)) = found(truth) else { continue };
                fit += iou / truths.len() as f64;
                let Some((other, _)) = truths.get(index + 1).and_then(found) else { continue };
                walls += 1;
                let depth = truth.intersection(&truths[index + 1]).map_or(0.0, |wall| wall.length());
                let wall = one.intersection(other).map_or(0.0, |wall| wall.length());
                shared += usize::from(wall > 0.8 * depth.max(5.0) && wall < 1.3 * depth.max(5.0));
            }
        }
        let fit = fit / 40.0;
        eprintln!("{squared} of {count} squared, {shared} of {walls} walls shared, mean IoU with the truth {fit:.4}");
        assert!(squared * 20 >= count * 19, "{squared} of {count} are squared");
        assert!(shared * 20 >= walls * 19, "{shared} of {walls} walls are shared");
        assert!(fit > 0.92, "{fit}");
    }

    #[test]
    fn touching_pixels_form_two_rings() {
        // Two pixels that share a corner: two rings, not one that crosses itself.
        let pixel = |col: u32, row: u32| {
            let corner = |dc: u32, dr: u32| Corner { col: col + dc, row: row + dr };
            [corner(0, 0), corner(0, 1), corner(1, 1), corner(1, 0)]
        };
        let mut border: HashMap<Corner, Vec<Corner>> = HashMap::new();
        for ring in [pixel(3, 3), pixel(4, 4)] {
            unit_edges(&ring).for_each(|(from, to)| border.entry(from).or_default().push(to));
        }
        let found = border_rings(border);
        assert_eq!(found.iter().map(|ring| ring_area(ring)).collect::<Vec<_>>(), [1, 1]);
    }
}
