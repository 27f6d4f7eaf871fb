//! Half-open rectangles of pixels.

use std::fmt;
use std::ops::Range;

/// Largest side of a window in pixels: the attention over all its patches grows with the fourth power of the side.
pub const MAX_WINDOW: usize = 4096;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    pub width: usize,
    pub height: usize,
}

impl Size {
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height }
    }

    /// Number of pixels.
    pub fn pixels(self) -> usize {
        self.width * self.height
    }

    /// The window that covers all of it.
    pub fn window(self) -> Window {
        Window { col: 0, row: 0, width: self.width, height: self.height }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.width, self.height)
    }
}

/// A rectangle of pixels: columns `col..col + width`, rows `row..row + height`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    pub col: usize,
    pub row: usize,
    pub width: usize,
    pub height: usize,
}

impl Window {
    pub fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }

    pub fn cols(&self) -> Range<usize> {
        self.col..self.col + self.width
    }

    pub fn rows(&self) -> Range<usize> {
        self.row..self.row + self.height
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "columns {} to {}, rows {} to {}", self.col, self.col + self.width, self.row, self.row + self.height)
    }
}
