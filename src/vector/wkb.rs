//! Well-known binary of polygons, lines and points, little-endian.
//!
//! This is our own code because `geo` does not write well-known binary, and these few lines write every polygon without a copy.

use geo::{Coord, LineString, MultiPolygon, Polygon};

const POINT: u32 = 1;
const LINE: u32 = 2;
const POLYGON: u32 = 3;
const MULTI_POLYGON: u32 = 6;

fn head(wkb: &mut Vec<u8>, kind: u32) {
    wkb.push(1);
    wkb.extend(kind.to_le_bytes());
}

fn coordinates(wkb: &mut Vec<u8>, point: Coord) {
    wkb.extend(point.x.to_le_bytes());
    wkb.extend(point.y.to_le_bytes());
}

fn points(wkb: &mut Vec<u8>, line: &LineString) {
    wkb.extend((line.0.len() as u32).to_le_bytes());
    line.0.iter().for_each(|&point| coordinates(wkb, point));
}

fn polygon(wkb: &mut Vec<u8>, polygon: &Polygon) {
    head(wkb, POLYGON);
    wkb.extend((polygon.num_rings() as u32).to_le_bytes());
    points(wkb, polygon.exterior());
    polygon.interiors().iter().for_each(|ring| points(wkb, ring));
}

/// Bytes of a polygon.
fn size(polygon: &Polygon) -> usize {
    let rings = polygon.interiors().iter().map(|ring| 4 + ring.0.len() * 16);
    9 + 4 + polygon.exterior().0.len() * 16 + rings.sum::<usize>()
}

/// A polygon.
pub fn polygon_wkb(of: &Polygon) -> Vec<u8> {
    let mut wkb = Vec::with_capacity(size(of));
    polygon(&mut wkb, of);
    wkb
}

/// A multipolygon.
pub fn multi_polygon_wkb(polygons: &MultiPolygon) -> Vec<u8> {
    let mut wkb = Vec::with_capacity(9 + polygons.iter().map(size).sum::<usize>());
    head(&mut wkb, MULTI_POLYGON);
    wkb.extend((polygons.0.len() as u32).to_le_bytes());
    polygons.iter().for_each(|part| polygon(&mut wkb, part));
    wkb
}

/// A line.
pub fn line_wkb(line: &LineString) -> Vec<u8> {
    let mut wkb = Vec::with_capacity(9 + line.0.len() * 16);
    head(&mut wkb, LINE);
    points(&mut wkb, line);
    wkb
}

/// A point.
pub fn point_wkb(point: Coord) -> Vec<u8> {
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
        let ring = |x: f64, y: f64| LineString::from(vec![(x, y), (x + 2.0, y), (x, y + 1.0)]);
        let first = Polygon::new(ring(5.0, 5.0), vec![ring(5.5, 5.1)]);
        let both = MultiPolygon::new(vec![first.clone(), Polygon::new(ring(-3.0, 9.0), vec![])]);
        assert_eq!(bounds(&multi_polygon_wkb(&both)), Some([-3.0, 5.0, 7.5, 10.0]));
        assert_eq!(bounds(&polygon_wkb(&first)), Some([5.0, 5.0, 7.5, 6.1]));
        assert_eq!(bounds(&line_wkb(&ring(1.0, 2.0))), Some([1.0, 2.0, 3.0, 3.0]));
        assert_eq!(bounds(&point_wkb(Coord { x: 1.0, y: 2.0 })), Some([1.0, 2.0, 1.0, 2.0]));
        assert_eq!(bounds(&line_wkb(&LineString::empty())), None);
        assert_eq!(bounds(&line_wkb(&ring(1.0, 2.0))[..20]), None, "truncated");
    }
}
