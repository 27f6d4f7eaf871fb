//! Validation of the parts that a journal lists: the file may have been edited or damaged.

use crate::geom::{Size, Window};

/// Whether the parts, band by band and from left to right, cover a scene of this size without overlap.
pub(super) fn cover(parts: &[Window], size: Size) -> bool {
    let mut row = 0;
    for band in parts.chunk_by(|a, b| a.row == b.row) {
        let height = band.first().map_or(0, |part| part.height);
        let mut col = 0;
        for part in band {
            let placed = (part.col, part.row, part.height) == (col, row, height);
            if !placed || part.width == 0 || part.width > size.width - col {
                return false;
            }
            col += part.width;
        }
        if col != size.width || height == 0 || height > size.height - row {
            return false;
        }
        row += height;
    }
    row == size.height
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_with_gaps_or_overlaps_are_rejected() {
        let part = |col, row, width, height| Window { col, row, width, height };
        let sound = [part(0, 0, 4, 3), part(4, 0, 3, 3), part(0, 3, 4, 2), part(4, 3, 3, 2)];
        let size = Size::new(7, 5);
        assert!(cover(&sound, size) && cover(&[part(0, 0, 7, 5)], size));
        assert!(!cover(&sound[..3], size) && !cover(&[], size));
        for at in 0..4 {
            for change in [
                |part: &mut Window| part.col = usize::MAX,
                |part: &mut Window| part.row += 1,
                |part: &mut Window| part.width = usize::MAX,
                |part: &mut Window| part.width -= 1,
                |part: &mut Window| part.width = 0,
                |part: &mut Window| part.height = usize::MAX,
                |part: &mut Window| part.height = 0,
            ] {
                let mut parts = sound;
                change(&mut parts[at]);
                assert!(!cover(&parts, size), "{parts:?}");
            }
        }
    }
}
