//! Well-known binary of polygons, lines and points, little-endian.
//!
//! Our own because it is on the path of every polygon, `geo` does not write well-known binary, and the crate `wkb` cannot say the
//! bounding box of its bytes.

use crate::geom::WorldPoint;

const POINT: u32 = 1;
const LINE: u32 = 2;
const POLYGON: u32 = 3;
const MULTI_POLYGON: u32 = 6;

fn head(wkb: &mut Vec<u8>, kind: u32) {
    wkb.push(1);
    wkb.extend(kind.to_le_bytes());
}

fn coordinates(wkb: &mut Vec<u8>, point: WorldPoint) {
    wkb.extend(point.x.to_le_bytes());
    wkb.extend(point.y.to_le_bytes());
}

/// A polygon, or with `multi` a multipolygon, of the rings of each part: the outer one first, first points not repeated.
pub fn polygon_wkb(parts: &[Vec<Vec<WorldPoint>>], multi: bool) -> Vec<u8> {
    let points: usize = parts.iter().flatten().map(|ring| ring.len() + 1).sum();
    let mut wkb = Vec::with_capacity(points * 16 + parts.len() * 64);
    if multi {
        head(&mut wkb, MULTI_POLYGON);
        wkb.extend((parts.len() as u32).to_le_bytes());
    }
    for part in parts {
        head(&mut wkb, POLYGON);
        wkb.extend((part.len() as u32).to_le_bytes());
        for ring in part {
            wkb.extend((ring.len() as u32 + 1).to_le_bytes());
            ring.iter().chain(ring.first()).for_each(|&point| coordinates(&mut wkb, point));
        }
    }
    wkb
}

/// A line.
pub fn line_wkb(line: &[WorldPoint]) -> Vec<u8> {
    let mut wkb = Vec::with_capacity(9 + line.len() * 16);
    head(&mut wkb, LINE);
    wkb.extend((line.len() as u32).to_le_bytes());
    line.iter().for_each(|&point| coordinates(&mut wkb, point));
    wkb
}

/// A point.
pub fn point_wkb(point: WorldPoint) -> Vec<u8> {
    let mut wkb = Vec::with_capacity(21);
    head(&mut wkb, POINT);
    coordinates(&mut wkb, point);
    wkb
}

/// West, south, east and north of a geometry written by this module; `None` without points.
pub fn bounds(wkb: &[u8]) -> Option<[f64; 4]> {
    let mut rest = Rest(wkb);
    let mut bounds = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    geometry(&mut rest, &mut bounds)?;
    (bounds[0] <= bounds[2]).then_some(bounds)
}

/// The bytes not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn count(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn points(&mut self, count: u32, bounds: &mut [f64; 4]) -> Option<()> {
        for _ in 0..count {
            let (x, y) = (f64::from_le_bytes(self.take()?), f64::from_le_bytes(self.take()?));
            *bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
        }
        Some(())
    }
}

fn geometry(rest: &mut Rest<'_>, bounds: &mut [f64; 4]) -> Option<()> {
    rest.take::<1>()?;
    match rest.count()? {
        POINT => rest.points(1, bounds),
        LINE => {
            let count = rest.count()?;
            rest.points(count, bounds)
        }
        POLYGON => {
            for _ in 0..rest.count()? {
                let count = rest.count()?;
                rest.points(count, bounds)?;
            }
            Some(())
        }
        _ => (0..rest.count()?).try_for_each(|_| geometry(rest, bounds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_cover_all_parts() {
        let ring = |x: f64, y: f64| [(x, y), (x + 2.0, y), (x, y + 1.0)].map(|(x, y)| WorldPoint { x, y }).to_vec();
        let parts = [vec![ring(5.0, 5.0), ring(5.5, 5.1)], vec![ring(-3.0, 9.0)]];
        assert_eq!(bounds(&polygon_wkb(&parts, true)), Some([-3.0, 5.0, 7.5, 10.0]));
        assert_eq!(bounds(&polygon_wkb(&parts[..1], false)), Some([5.0, 5.0, 7.5, 6.1]));
        assert_eq!(bounds(&line_wkb(&ring(1.0, 2.0))), Some([1.0, 2.0, 3.0, 3.0]));
        assert_eq!(bounds(&point_wkb(WorldPoint { x: 1.0, y: 2.0 })), Some([1.0, 2.0, 1.0, 2.0]));
        assert_eq!(bounds(&line_wkb(&[])), None);
        assert_eq!(bounds(&line_wkb(&ring(1.0, 2.0))[..20]), None, "truncated");
    }
}
