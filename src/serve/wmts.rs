//! The capabilities document of a web map tile service (WMTS 1.0.0, RESTful), by which QGIS and others find the layers.

use std::fmt::Write as _;

use super::tile_grid::{TILE, TileGrid};

/// A layer of the service.
pub struct Layer<'a> {
    /// In the address of its tiles.
    pub name: String,
    pub title: String,
    pub grid: &'a TileGrid,
}

/// Pixels of 0.28 mm: WMTS's scale denominators are for these.
const PIXEL: f64 = 0.000_28;

/// The document, for a server at `origin`; `query` follows the address of each tile. Scenes without a CRS have no place in it.
pub fn capabilities(origin: &str, query: &str, layers: &[Layer<'_>]) -> String {
    let mapped = layers.iter().filter(|layer| layer.grid.crs.is_some());
    let mut content = String::new();
    let mut last = 0;
    for Layer { name, title, grid } in mapped.clone() {
        last = last.max(grid.max_zoom);
        let [left, bottom, right, top] = degrees(grid.bounds);
        let _ = write!(
            content,
            "<Layer><ows:Title>{}</ows:Title><ows:WGS84BoundingBox><ows:LowerCorner>{left:.7} {bottom:.7}</ows:LowerCorner>\
             <ows:UpperCorner>{right:.7} {top:.7}</ows:UpperCorner></ows:WGS84BoundingBox><ows:Identifier>{}</ows:Identifier>\
             <Style isDefault=\"true\"><ows:Identifier>default</ows:Identifier></Style><Format>image/png</Format>\
             <TileMatrixSetLink><TileMatrixSet>EPSG:3857</TileMatrixSet></TileMatrixSetLink>\
             <ResourceURL format=\"image/png\" resourceType=\"tile\" template=\"{}/tiles/{}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}.png{}\"/></Layer>",
            escaped(title),
            escaped(name),
            escaped(origin),
            escaped(name),
            escaped(query),
        );
    }
    let mut matrices = String::new();
    if let Some(Layer { grid, .. }) = mapped.clone().next() {
        for zoom in 0..=last {
            let tiles = 1u64 << zoom.min(40);
            let resolution = grid.resolution / tiles as f64;
            let [x, y] = grid.origin;
            let _ = write!(
                matrices,
                "<TileMatrix><ows:Identifier>{zoom}</ows:Identifier><ScaleDenominator>{}</ScaleDenominator>\
                 <TopLeftCorner>{x} {y}</TopLeftCorner><TileWidth>{TILE}</TileWidth><TileHeight>{TILE}</TileHeight>\
                 <MatrixWidth>{tiles}</MatrixWidth><MatrixHeight>{tiles}</MatrixHeight></TileMatrix>",
                resolution / PIXEL
            );
        }
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Capabilities xmlns=\"http://www.opengis.net/wmts/1.0\" \
         xmlns:ows=\"http://www.opengis.net/ows/1.1\" version=\"1.0.0\"><ows:ServiceIdentification><ows:Title>segearth</ows:Title>\
         <ows:ServiceType>OGC WMTS</ows:ServiceType><ows:ServiceTypeVersion>1.0.0</ows:ServiceTypeVersion></ows:ServiceIdentification>\
         <Contents>{content}<TileMatrixSet><ows:Identifier>EPSG:3857</ows:Identifier>\
         <ows:SupportedCRS>urn:ogc:def:crs:EPSG::3857</ows:SupportedCRS>{matrices}</TileMatrixSet></Contents></Capabilities>\n"
    )
}

/// Bounds in Web Mercator as longitude and latitude.
fn degrees([left, bottom, right, top]: [f64; 4]) -> [f64; 4] {
    const RADIUS: f64 = 6_378_137.0;
    let longitude = |x: f64| (x / RADIUS).to_degrees();
    let latitude = |y: f64| (2.0 * (y / RADIUS).exp().atan() - std::f64::consts::FRAC_PI_2).to_degrees();
    [longitude(left), latitude(bottom), longitude(right), latitude(top)]
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
        escaped
    })
}
