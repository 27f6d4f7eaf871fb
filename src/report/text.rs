//! Pieces of printed text: colour, numbers with units, columns.

use std::time::Duration;

/// Colours text, or leaves it alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub fn error(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub fn hint(self, text: &str) -> String {
        self.wrap("1;36", text)
    }

    /// A square in a class's colour; nothing without colour.
    pub fn swatch(self, [red, green, blue]: [u8; 3]) -> String {
        if self.on { format!("\x1b[38;2;{red};{green};{blue}m■\x1b[0m ") } else { String::new() }
    }
}

/// Foreign text may hold control characters; only line ends are let through.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Square metres in the unit that reads best.
pub fn area(square_metres: f64) -> String {
    match square_metres {
        m2 if m2 >= 1e5 => format!("{} km²", significant(m2 / 1e6)),
        m2 if m2 >= 1e3 => format!("{} ha", significant(m2 / 1e4)),
        m2 => format!("{} m²", significant(m2)),
    }
}

/// About four digits.
fn significant(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v >= 1000.0 => grouped(v.round() as u64),
        v if v >= 100.0 => format!("{v:.1}"),
        v if v >= 10.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

/// `12,345,678`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `0.8 s`, `12.3 s`, `4 min 05 s`, `2 h 07 min`
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Pads to a width in characters.
pub(super) fn left(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.chars().count())))
}

pub(super) fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.chars().count())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(area(0.0), "0 m²");
        assert_eq!(area(12.345), "12.35 m²");
        assert_eq!(area(4_920.0), "0.492 ha");
        assert_eq!(area(12_345_678.0), "12.35 km²");
        assert_eq!(area(8.1e9), "8,100 km²");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(duration(Duration::from_millis(830)), "0.8 s");
        assert_eq!(duration(Duration::from_secs(245)), "4 min 05 s");
        assert_eq!(duration(Duration::from_secs(7_620)), "2 h 07 min");
    }
}
