//! A picture of a result: the scene, its classes beside it, and a legend with each class's share.

use std::convert::Infallible;
use std::path::Path;

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_9X15;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{Dimensions, DrawTarget, Drawable, OriginDimensions, Pixel, Point, RgbColor};
use embedded_graphics::text::{Baseline, Text};

use crate::error::Result;
use crate::geom::Size;
use crate::raster::{self, SceneReader};
use crate::scene::ClassInfo;

/// Longest side of scene and result in the picture, in pixels.
const SIDE: usize = 900;
const MARGIN: usize = 16;
const LINE: usize = 22;
const LEGEND: usize = 330;
const PAPER: [u8; 3] = [255, 255, 255];
const INK: Rgb888 = Rgb888::new(30, 30, 30);
/// Pixels without data.
const NOTHING: [u8; 3] = [225, 225, 225];

/// One line of the legend.
pub struct Entry<'a> {
    pub class: &'a ClassInfo,
    pub text: String,
}

/// Draws scene and labels side by side with a legend, and writes them as PNG.
pub fn write(path: &Path, scene: &SceneReader, labels: &Path, legend: &[Entry<'_>], title: &str) -> Result<()> {
    let thumbnail = scene.thumbnail(SIDE)?;
    let (size, labels) = raster::label_thumbnail(labels, SIDE)?;
    let shown = |label: u16| legend.get(usize::from(label)).map_or(NOTHING, |entry| entry.class.colour);
    let result: Vec<[u8; 3]> = labels.iter().map(|&label| shown(label)).collect();

    let top = MARGIN + LINE + MARGIN / 2;
    let legend_height = legend.len() * LINE;
    let width = 4 * MARGIN + thumbnail.size.width + size.width + LEGEND;
    let mut canvas = Canvas::new(Size::new(width, top + size.height.max(legend_height) + MARGIN));
    canvas.text(MARGIN, MARGIN, title);
    canvas.image(MARGIN, top, thumbnail.size, &thumbnail.rgb);
    canvas.image(2 * MARGIN + thumbnail.size.width, top, size, &result);
    let left = 3 * MARGIN + thumbnail.size.width + size.width;
    for (index, entry) in legend.iter().enumerate() {
        let y = top + index * LINE;
        canvas.image(left, y, Size::new(LINE - 4, LINE - 4), &[entry.class.colour; (LINE - 4) * (LINE - 4)]);
        canvas.text(left + LINE + 4, y + 2, &entry.text);
    }
    raster::write_png(path, canvas.size, &canvas.pixels)
}

/// Paper to draw on, (row, column).
struct Canvas {
    size: Size,
    pixels: Vec<[u8; 3]>,
}

impl Canvas {
    fn new(size: Size) -> Self {
        Self { size, pixels: vec![PAPER; size.pixels()] }
    }

    fn set(&mut self, col: usize, row: usize, colour: [u8; 3]) {
        if col < self.size.width
            && let Some(pixel) = self.pixels.get_mut(row * self.size.width + col)
        {
            *pixel = colour;
        }
    }

    fn image(&mut self, left: usize, top: usize, size: Size, pixels: &[[u8; 3]]) {
        for (index, &colour) in pixels.iter().enumerate() {
            self.set(left + index % size.width, top + index / size.width, colour);
        }
    }

    /// Letters outside ISO 8859-1 appear as the font's replacement.
    fn text(&mut self, left: usize, top: usize, text: &str) {
        let style = MonoTextStyle::new(&FONT_9X15, INK);
        let Ok(_) = Text::with_baseline(text, Point::new(left as i32, top as i32), style, Baseline::Top).draw(self);
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> embedded_graphics::geometry::Size {
        embedded_graphics::geometry::Size::new(self.size.width as u32, self.size.height as u32)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let inside = self.bounding_box();
        for Pixel(point, colour) in pixels {
            if embedded_graphics::primitives::ContainsPoint::contains(&inside, point) {
                self.set(point.x as usize, point.y as usize, [colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}
