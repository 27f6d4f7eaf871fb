//! The preview image: scene and class maps side by side, a legend with each class's share, a scale bar.

use std::convert::Infallible;
use std::path::Path;

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_9X15;
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{Dimensions, DrawTarget, Drawable, OriginDimensions, Pixel, Point, RgbColor};
use embedded_graphics::primitives::{Line, PrimitiveStyle, StyledDrawable as _};
use embedded_graphics::text::{Baseline, Text};

use crate::error::Result;
use crate::geom::Size;
use crate::raster::{self, SceneReader, Thumbnail};
use crate::scene::{ClassInfo, ScaleBar};
use crate::vector::Sketch;

/// Longest side of scene and result in the picture, in pixels.
const SIDE: usize = 900;
const MARGIN: usize = 16;
const LINE: usize = 22;
const LEGEND: usize = 330;
/// Height of a scale bar.
const TICK: usize = 10;
const PAPER: [u8; 3] = [255, 255, 255];
const INK: Rgb888 = Rgb888::new(30, 30, 30);
/// Width of outlines and lines.
const STROKE: u32 = 2;
/// Pixels without data.
const NOTHING: [u8; 3] = [225, 225, 225];

/// One line of the legend.
pub struct Entry<'a> {
    pub class: &'a ClassInfo,
    pub text: String,
}

/// One of the images side by side.
pub struct Panel {
    size: Size,
    /// (row, column)
    pixels: Vec<[u8; 3]>,
}

impl Panel {
    /// The scene in few pixels.
    pub fn scene(scene: &SceneReader) -> Result<Self> {
        let Thumbnail { size, rgb, .. } = scene.thumbnail(SIDE)?;
        Ok(Self { size, pixels: rgb })
    }

    /// The same with a product's outlines and lines in the colours of their classes.
    #[must_use]
    pub fn with_vectors(&self, sketch: &Sketch, classes: &[ClassInfo]) -> Self {
        let mut canvas = Canvas { size: self.size, pixels: self.pixels.clone() };
        let scale = [
            self.size.width as f64 / sketch.size.width.max(1) as f64,
            self.size.height as f64 / sketch.size.height.max(1) as f64,
        ];
        let at = |point: &[f32; 2]| {
            let [x, y] = *point;
            Point::new((f64::from(x) * scale[0]).round() as i32, (f64::from(y) * scale[1]).round() as i32)
        };
        for shape in &sketch.shapes {
            let class = usize::try_from(shape.value).ok().and_then(|value| classes.get(value));
            let [red, green, blue] = class.map_or([0; 3], |class| class.colour);
            for part in &shape.parts {
                let mut points: Vec<Point> = part.iter().map(at).collect();
                points.extend(points.first().copied().filter(|_| shape.closed));
                let style = PrimitiveStyle::with_stroke(Rgb888::new(red, green, blue), STROKE);
                // One segment after another: joints of thick polylines overflow the library's 32 bits.
                for (from, to) in points.iter().zip(points.iter().skip(1)) {
                    let Ok(()) = Line::new(*from, *to).draw_styled(&style, &mut canvas);
                }
            }
        }
        Self { size: canvas.size, pixels: canvas.pixels }
    }

    /// A label raster in few pixels and the colours of its classes.
    pub fn labels(labels: &Path, classes: &[ClassInfo]) -> Result<Self> {
        let (size, labels) = raster::label_thumbnail(labels, SIDE)?;
        let shown = |label: &u16| classes.get(usize::from(*label)).map_or(NOTHING, |class| class.colour);
        Ok(Self { size, pixels: labels.iter().map(shown).collect() })
    }
}

/// Draws panels of one extent side by side with a legend and a scale bar below the first one, and writes them as PNG.
pub fn write(path: &Path, panels: &[Panel], legend: &[Entry<'_>], scale: Option<&ScaleBar>, title: &str) -> Result<()> {
    let lines: Vec<Vec<String>> = legend.iter().map(|entry| wrapped(&entry.text)).collect();
    let count: usize = lines.iter().map(Vec::len).sum();
    let top = MARGIN + LINE + MARGIN / 2;
    let height = panels.iter().map(|panel| panel.size.height).max().unwrap_or(0);
    let below = if scale.is_some() { LINE + MARGIN } else { 0 };
    let width = panels.iter().map(|panel| MARGIN + panel.size.width).sum::<usize>() + 2 * MARGIN + LEGEND;
    let mut canvas = Canvas::new(Size::new(width, top + (height + below).max(count * LINE) + MARGIN));
    canvas.text(MARGIN, MARGIN, title);
    let mut left = MARGIN;
    for panel in panels {
        canvas.image(left, top, panel.size, &panel.pixels);
        left += panel.size.width + MARGIN;
    }
    if let (Some(scale), Some(panel)) = (scale, panels.first()) {
        let length = (scale.share * panel.size.width as f64).round() as usize;
        canvas.scale_bar(MARGIN, top + height + MARGIN / 2, length, &scale.label);
    }
    let mut y = top;
    for (entry, lines) in legend.iter().zip(&lines) {
        canvas.image(left, y, Size::new(LINE - 4, LINE - 4), &[entry.class.colour; (LINE - 4) * (LINE - 4)]);
        for line in lines {
            canvas.text(left + LINE + 4, y + 2, line);
            y += LINE;
        }
    }
    raster::write_png(path, canvas.size, &canvas.pixels)
}

/// A text in lines that fit into the legend, broken at spaces where there are any.
fn wrapped(text: &str) -> Vec<String> {
    const LETTERS: usize = (LEGEND - LINE - 4) / 9;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        while let Some(line) = lines.last_mut() {
            let used = line.chars().count();
            let space = usize::from(used > 0);
            if used + space + word.len() <= LETTERS {
                line.extend(std::iter::repeat_n(' ', space));
                line.extend(word);
                break;
            }
            // A word longer than a line is cut.
            if used == 0 {
                let rest = word.split_off(LETTERS.min(word.len()));
                line.extend(word);
                word = rest;
            }
            lines.push(String::new());
        }
    }
    lines
}

/// The canvas, (row, column).
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

    /// A line of this length with ticks at its ends, and its label.
    fn scale_bar(&mut self, left: usize, top: usize, length: usize, label: &str) {
        let ink = [INK.r(), INK.g(), INK.b()];
        let tick = [ink; 2 * TICK];
        self.image(left, top, Size::new(2, TICK), &tick);
        self.image(left + length.saturating_sub(2), top, Size::new(2, TICK), &tick);
        self.image(left, top + TICK - 2, Size::new(length, 2), &vec![ink; 2 * length]);
        self.text(left + length + MARGIN / 2, top - 3, label);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_broken() {
        assert_eq!(wrapped("water 30.8 %  353 km²"), ["water 30.8 %  353 km²"]);
        let lines = wrapped(&format!("a class with a very long name that goes on {} 5.7 %", "x".repeat(70)));
        assert!(lines.len() >= 4 && lines.iter().all(|line| line.chars().count() <= 33), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', "").len(), 33 + 70 + 4, "{lines:?}");
    }
}
