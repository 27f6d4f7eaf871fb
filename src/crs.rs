//! Coordinate reference systems: areas and lengths on the ground, by PROJ through GDAL.

use gdal::spatial_ref::{AxisMappingStrategy, CoordTransform, SpatialRef};
use geo::{Distance as _, Point};

use crate::geom::{Ellipsoid, GeoTransform, Ground, Lattice, Metric, PixelGround, Size, WorldPoint};
use crate::scene::Georeference;

/// Step in metres for numeric derivatives of a projection: short enough for the earth to be flat, long enough for the
/// precision of a double (both errors are below 1e-9).
const STEP: f64 = 64.0;

/// The ground under the pixels of a raster with this CRS (WKT). Without a CRS, areas and lengths are those of pixels.
pub fn pixel_ground(crs_wkt: Option<&str>, transform: GeoTransform, size: Size) -> PixelGround {
    let ground = match crs_wkt {
        None => Ground::pixels(&transform),
        Some(wkt) => {
            let [x, a, b, y, c, d] = transform.coefficients;
            let (width, height) = (size.width as f64, size.height as f64);
            ground(wkt, WorldPoint { x, y }, [a * width, c * width], [b * height, d * height])
        }
    };
    PixelGround { ground, transform, size }
}

/// The ground under a raster's pixels in square metres and metres; `None` without a CRS.
pub fn ground_of(size: Size, place: Option<&Georeference>) -> Option<PixelGround> {
    let place = place.filter(|place| place.crs_wkt.is_some())?;
    Some(pixel_ground(place.crs_wkt.as_deref(), place.transform, size))
}

/// The ground under a parallelogram in the coordinates of a CRS (WKT).
///
/// A CRS without a transformation to longitude and latitude, such as a local one, is measured in its own units.
pub fn ground(crs_wkt: &str, origin: WorldPoint, across: [f64; 2], down: [f64; 2]) -> Ground {
    let Ok(crs) = traditional(crs_wkt) else { return Ground::plane(1.0) };
    let metres = Some(crs.linear_units()).filter(|metres| *metres > 0.0).unwrap_or(1.0);
    if crs.is_local() {
        return Ground::plane(metres);
    }
    let earth = ellipsoid(&crs);
    if crs.is_geographic() {
        return Ground::Degrees { earth, radians_per_unit: radians(&crs) };
    }
    let lattice = inverse(&crs).and_then(|(inverse, radians)| {
        let step = STEP / metres;
        Lattice::new(origin, across, down, |places| metrics(&inverse, radians, earth, step, places))
    });
    lattice.map_or_else(|| Ground::plane(metres), |lattice| Ground::Projected(lattice.into()))
}

/// A CRS with coordinates in the order x, y.
fn traditional(wkt: &str) -> gdal::errors::Result<SpatialRef> {
    let mut crs = SpatialRef::from_wkt(wkt)?;
    crs.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    Ok(crs)
}

fn radians(crs: &SpatialRef) -> f64 {
    Some(crs.angular_units()).filter(|unit| *unit > 0.0).unwrap_or(1f64.to_radians())
}

fn ellipsoid(crs: &SpatialRef) -> Ellipsoid {
    let mercator = || crs.get_attr_value("PROJECTION", 0).ok().flatten().is_some_and(|name| name.contains("Mercator"));
    match (crs.semi_major(), crs.semi_minor()) {
        // Old definitions of Web Mercator name a sphere; its longitudes and latitudes are still those of WGS 84.
        (Ok(major), Ok(minor)) if major == minor && major == 6_378_137.0 && mercator() => Ellipsoid::WGS84,
        (Ok(major), Ok(minor)) if major > 0.0 && minor > 0.0 => Ellipsoid::new(major, minor),
        _ => Ellipsoid::WGS84,
    }
}

/// The transformation to longitude and latitude on the same datum, and their unit in radians.
fn inverse(crs: &SpatialRef) -> Option<(CoordTransform, f64)> {
    let mut degrees = crs.geog_cs().ok()?;
    degrees.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
    Some((CoordTransform::new(crs, &degrees).ok()?, radians(&degrees)))
}

/// Positions in a CRS (WKT) in Web Mercator (EPSG:3857); NaN where there is none.
pub fn to_web_mercator(crs_wkt: &str, places: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    transformed(places, |mercator| CoordTransform::new(&traditional(crs_wkt)?, mercator))
}

/// Positions in Web Mercator (EPSG:3857) in a CRS (WKT); NaN where there is none.
pub fn from_web_mercator(crs_wkt: &str, places: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    transformed(places, |mercator| CoordTransform::new(mercator, &traditional(crs_wkt)?))
}

fn transformed(
    places: Vec<[f64; 2]>,
    way: impl FnOnce(&SpatialRef) -> gdal::errors::Result<CoordTransform>,
) -> Vec<[f64; 2]> {
    let (mut x, mut y): (Vec<f64>, Vec<f64>) = places.into_iter().map(|[x, y]| (x, y)).unzip();
    let mercator = SpatialRef::from_epsg(3857).map(|mut mercator| {
        mercator.set_axis_mapping_strategy(AxisMappingStrategy::TraditionalGisOrder);
        mercator
    });
    match mercator.and_then(|mercator| way(&mercator)) {
        // Positions outside the projection come back as infinite; the others are valid.
        Ok(way) => drop(way.transform_coords(&mut x, &mut y, &mut [])),
        Err(_) => x.fill(f64::NAN),
    }
    let finite = |(x, y): (f64, f64)| if x.is_finite() && y.is_finite() { [x, y] } else { [f64::NAN; 2] };
    x.into_iter().zip(y).map(finite).collect()
}

/// The metric at positions: geodesic distances on the ellipsoid between neighbours, a step apart in units of the CRS.
fn metrics(
    inverse: &CoordTransform,
    radians: f64,
    earth: Ellipsoid,
    step: f64,
    places: &[WorldPoint],
) -> Vec<Option<Metric>> {
    let steps = [(step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step)];
    let (mut x, mut y): (Vec<f64>, Vec<f64>) =
        places.iter().flat_map(|place| steps.map(|(dx, dy)| (place.x + dx, place.y + dy))).unzip();
    // Positions outside the projection come back as NaN; the others are valid.
    let _ = inverse.transform_coords(&mut x, &mut y, &mut []);
    let geodesics = earth.geodesics();
    let degrees = radians.to_degrees();
    let on_earth = |longitude: f64, latitude: f64| {
        (longitude.is_finite() && latitude.is_finite()).then(|| Point::new(longitude * degrees, latitude * degrees))
    };
    let square = |from: Point, to: Point| (geodesics.distance(from, to) / (2.0 * step)).powi(2);
    x.chunks_exact(4)
        .zip(y.chunks_exact(4))
        .map(|(x, y)| match (x, y) {
            (&[e, w, n, s], &[e_y, w_y, n_y, s_y]) => {
                let (east, west) = (on_earth(e, e_y)?, on_earth(w, w_y)?);
                let (north, south) = (on_earth(n, n_y)?, on_earth(s, s_y)?);
                // |x + y|² - |x - y|² = 4 x·y, with the sides of the square that the four places are corners of.
                let falling = square(north, west) + square(south, east);
                let rising = square(north, east) + square(south, west);
                Some(Metric { xx: square(east, west), xy: (falling - rising) / 2.0, yy: square(north, south) })
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use geo::GeodesicArea;

    use super::*;

    /// A CRS, a rectangle in it (x, y, width, height), and square metres and metres around: of the rectangle, and of the kite
    /// `kite` in it. By PROJ 9.5 and GeographicLib, on the CRS' own ellipsoid, every edge cut into 4000 pieces
    /// (`pyproj.Geod.polygon_area_perimeter`).
    type Case = (&'static str, &'static str, [f64; 4], [f64; 2], [f64; 2]);

    #[rustfmt::skip]
    const CASES: &[Case] = &[
        ("Web Mercator", "EPSG:3857", [1_200_000.0, 8_399_737.889_818, 700.0, -400.0], [70_238.693, 1_102.127_2], [50_220.403, 958.704_1]),
        ("Web Mercator 60..70 N", "EPSG:3857", [1_200_000.0, 11_068_715.66, 2_000_000.0, -2_669_000.0], [943_716_802_407.082, 3_918_432.044_7], [646_973_059_277.053, 3_327_451.230_6]),
        ("UTM centre", "EPSG:32632", [500_000.0, 5_640_000.0, 800.0, -600.0], [480_384.228, 2_801.120_4], [343_474.723, 2_427.789]),
        ("UTM edge", "EPSG:32632", [205_000.0, 5_640_000.0, 800.0, -600.0], [479_361.396, 2_798.136_8], [342_743.542, 2_425.203_4]),
        ("UTM zone", "EPSG:32632", [200_000.0, 6_000_000.0, 600_000.0, -900_000.0], [540_034_217_676.421, 2_998_768.897_5], [386_192_246_114.956, 2_605_283.935_5]),
        ("Lambert-93", "EPSG:2154", [650_000.0, 6_860_000.0, 900.0, -500.0], [450_110.162, 2_800.342_7], [321_828.664, 2_437.118_7]),
        ("Lambert-93 south", "EPSG:2154", [250_000.0, 6_250_000.0, 400_000.0, -300_000.0], [119_467_227_232.277, 1_396_738.522_1], [85_453_996_310.278, 1_210_930.875_9]),
        ("US survey feet", "EPSG:2263", [990_000.0, 210_000.0, 3_000.0, -2_000.0], [557_424.118, 3_048.016_1], [398_558.252, 2_645.082]),
        ("International feet", "EPSG:2222", [700_000.0, 900_000.0, 3_000.0, -2_000.0], [557_529.737, 3_048.304_8], [398_633.761, 2_645.332_5]),
        ("Polar stereographic", "EPSG:3413", [-200_000.0, -1_400_000.0, 1_000.0, -1_000.0], [1_036_033.604, 4_071.429_4], [740_765.454, 3_525.005]),
        ("Polar stereographic over the pole", "EPSG:3413", [-700_000.0, 600_000.0, 1_500_000.0, -1_300_000.0], [2_064_161_783_766.5, 5_749_482.337_3], [1_477_365_715_408.125, 4_983_987.971]),
        ("Antarctic", "EPSG:3031", [-2_500_000.0, 2_400_000.0, 5_000_000.0, -4_500_000.0], [22_670_320_956_866.062, 18_627_342.429_3], [16_375_599_725_542.469, 16_305_458.567_4]),
        ("World Mercator", "EPSG:3395", [2_500_000.0, 8_300_000.0, 1_000.0, -700.0], [178_915.978, 1_718.915_2], [127_923.748, 1_490.815_8]),
        ("Sinusoidal", "+proj=sinu +R=6371007.181 +units=m", [5_559_752.598_333, 6_671_703.118, 1_111_950.519_667, -1_111_950.519_667], [1_236_433_956_492.179, 6_025_351.702_3], [884_050_277_764.164, 4_673_872.266_1]),
        ("Albers", "EPSG:5070", [-2_000_000.0, 3_000_000.0, 900_000.0, -700_000.0], [630_000_000_054.98, 3_197_761.587], [450_450_000_061.767, 2_769_449.212_3]),
        ("LAEA Europe", "EPSG:3035", [2_600_000.0, 4_000_000.0, 900_000.0, -700_000.0], [630_000_000_217.665, 3_200_813.487_8], [450_450_000_150.839, 2_776_711.112_2]),
        ("British grid", "EPSG:27700", [100_000.0, 900_000.0, 400_000.0, -700_000.0], [280_063_032_708.942, 2_199_789.543_1], [200_274_974_017.857, 1_916_157.152_6]),
        ("Swiss oblique Mercator", "EPSG:2056", [2_480_000.0, 1_300_000.0, 350_000.0, -220_000.0], [76_992_178_928.563, 1_139_872.722_5], [55_050_956_508.961, 990_009.984_8]),
        ("WGS 84", "EPSG:4326", [10.0, 60.01, 0.02, -0.01], [1_243_174.487, 4_459.910_7], [888_856.815, 3_861.276]),
        ("NTF Paris grads", "EPSG:4807", [-2.0, 54.0, 3.0, -4.0], [82_477_371_202.29, 1_212_444.537_9], [58_784_753_561.473, 1_055_701.735_5]),
    ];

    fn wkt(definition: &str) -> String {
        SpatialRef::from_definition(definition).unwrap().to_wkt().unwrap()
    }

    fn points(of: [(f64, f64); 4]) -> Vec<WorldPoint> {
        of.map(|(x, y)| WorldPoint { x, y }).to_vec()
    }

    fn kite([x, y, w, h]: [f64; 4]) -> Vec<WorldPoint> {
        points([(x, y), (x + w, y + 0.1 * h), (x + 0.9 * w, y + h), (x + 0.2 * w, y + 0.8 * h)])
    }

    fn near(found: f64, expected: f64, bound: f64, what: &str) {
        assert!((found / expected - 1.0).abs() < bound, "{what}: {found} is not {expected}");
    }

    #[test]
    fn areas_and_lengths_match_the_ellipsoid() {
        for &(what, definition, place, rectangle, slanted) in CASES {
            let [x, y, w, h] = place;
            let ground = ground(&wkt(definition), WorldPoint { x, y }, [w, 0.0], [0.0, h]);
            let ring = points([(x, y), (x, y + h), (x + w, y + h), (x + w, y)]);
            near(ground.area(&ring), rectangle[0], 2e-5, what);
            near(ground.perimeter(&ring), rectangle[1], 2e-5, what);
            let kite = kite(place);
            near(-ground.area(&kite), slanted[0], 2e-5, what);
            near(ground.perimeter(&kite), slanted[1], 2e-5, what);
        }
    }

    /// Polygons of the size of a pixel or a field all over large scenes, by Karney's algorithm in the crate `geo`.
    #[test]
    fn small_polygons_in_large_scenes_agree_with_karney() {
        for (definition, [x, y, w, h]) in CASES.iter().map(|case| (case.1, case.2)) {
            // `geo` knows WGS 84 alone.
            if !["EPSG:3857", "EPSG:32632", "EPSG:3413", "EPSG:3031", "EPSG:3395", "EPSG:4326"].contains(&definition) {
                continue;
            }
            let wkt = wkt(definition);
            let crs = traditional(&wkt).unwrap();
            let measured = ground(&wkt, WorldPoint { x, y }, [w, 0.0], [0.0, h]);
            for index in 0..25 {
                let (left, top) = (x + w * f64::from(index % 5) * 0.24, y + h * f64::from(index / 5) * 0.24);
                for side in [1e-5, 3e-4] {
                    let ring = kite([left, top, w * side, h * side]);
                    let mut coords: Vec<geo::Coord> = ring.iter().map(|p| geo::Coord { x: p.x, y: p.y }).collect();
                    if let (false, Some((inverse, _))) = (crs.is_geographic(), inverse(&crs)) {
                        for coord in &mut coords {
                            let (mut lon, mut lat) = ([coord.x], [coord.y]);
                            inverse.transform_coords(&mut lon, &mut lat, &mut []).unwrap();
                            (coord.x, coord.y) = (lon[0], lat[0]);
                        }
                    }
                    let polygon = geo::Polygon::new(geo::LineString::new(coords), vec![]);
                    // Its own digits end at about a square centimetre.
                    let bound = 2e-5 + 1e-4 / polygon.geodesic_area_signed().abs();
                    if polygon.geodesic_area_signed().abs() > 1.0 {
                        near(measured.area(&ring), polygon.geodesic_area_signed(), bound, definition);
                    }
                    near(measured.perimeter(&ring), polygon.geodesic_perimeter(), 2e-5, definition);
                }
            }
        }
    }

    #[test]
    fn pixel_areas_sum_to_the_scene() {
        let wkt = wkt("EPSG:3857");
        // Rotated, and from 55° to 65° north.
        let (sin, cos) = 0.2f64.sin_cos();
        let step = 10_000.0;
        let transform = GeoTransform { coefficients: [1e6, step * cos, step * sin, 9.3e6, step * sin, -step * cos] };
        let raster = pixel_ground(Some(&wkt), transform, Size::new(150, 180));
        let rows: f64 = (0..180).map(|row| raster.row(row).run(0..150)).sum();
        let pixels: f64 = (0..180).map(|row| (0..150).map(|col| raster.row(row).run(col..col + 1)).sum::<f64>()).sum();
        near(rows, raster.area(), 1e-5, "rows");
        near(pixels, raster.area(), 1e-5, "pixels");
        // The middle of the raster lies at y = 8,550,000 or so: metres by the scale of the projection there.
        let middle = transform.to_world(75.0, 90.0);
        let crs = traditional(&wkt).unwrap();
        let (inverse, _) = inverse(&crs).unwrap();
        let (mut lon, mut lat) = ([middle.x], [middle.y]);
        inverse.transform_coords(&mut lon, &mut lat, &mut []).unwrap();
        let (meridian, parallel) = Ellipsoid::WGS84.radii(lat[0].to_radians());
        // A radian of longitude is 6,378,137 units; a step to the north of one unit is cos(latitude)/6,378,137 radians.
        let (east, north) = (parallel / 6_378_137.0, meridian * lat[0].to_radians().cos() / 6_378_137.0);
        let (dx, dy) = (step * cos * east, step * sin * north);
        near(raster.steps()[0], dx.hypot(dy), 1e-5, "a step to the east");
    }

    #[test]
    fn local_crs_is_measured_in_its_own_units() {
        let local = r#"LOCAL_CS["a site",UNIT["foot",0.3048]]"#;
        let ground = ground(local, WorldPoint { x: 0.0, y: 0.0 }, [100.0, 0.0], [0.0, -100.0]);
        assert_eq!(ground, Ground::plane(0.3048));
        let place = Georeference {
            transform: GeoTransform::IDENTITY,
            crs_wkt: None,
            crs_name: None,
            geographic: false,
            metres_per_unit: 1.0,
            pixel_is_point: false,
        };
        assert_eq!(ground_of(Size::new(3, 3), Some(&place)), None);
        assert_eq!(ground_of(Size::new(3, 3), None), None);
    }

    #[test]
    fn web_mercator_on_a_sphere_is_wgs_84() {
        let old = "+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +k=1 +units=m +nadgrids=@null +wktext +no_defs";
        let (_, _, [x, y, w, h], [area, _], _) = CASES[0];
        for definition in [old, "ESRI:102113", "EPSG:3857", "ESRI:102100"] {
            let ground = ground(&wkt(definition), WorldPoint { x, y }, [w, 0.0], [0.0, h]);
            let ring = points([(x, y), (x, y + h), (x + w, y + h), (x + w, y)]);
            near(ground.area(&ring), area, 2e-5, definition);
        }
    }

    /// Corners of a world map lie beside the earth: what lies on it is measured all the same.
    #[test]
    fn positions_off_the_earth_are_ignored() {
        let (x, y) = (-18_040_095.7, 9_020_047.85);
        let ground = ground(&wkt("ESRI:54009"), WorldPoint { x, y }, [-2.0 * x, 0.0], [0.0, -2.0 * y]);
        // Mollweide keeps areas, on the sphere of the ellipsoid's major axis: only the ellipsoid's flattening is seen.
        for (left, top) in [(0.0, 0.0), (5e6, 3e6), (-8e6, -4e6)] {
            let ring = points([(left, top), (left, top - 1e5), (left + 1e5, top - 1e5), (left + 1e5, top)]);
            let area = ground.area(&ring);
            assert!((area / 1e10 - 1.0).abs() < 0.01, "{area}");
        }
        assert!(ground.area(&points([(x, y), (x, -y), (-x, -y), (-x, y)])).is_finite());
    }
}
