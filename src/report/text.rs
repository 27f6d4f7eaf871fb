//! Pieces of printed text: colour, numbers with units, columns.

use std::time::Duration;

pub(super) use crate::printable::{printable, printable_line};

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

/// Square metres with as many digits as anybody can know.
pub(super) fn to_millimetres(square_metres: f64) -> f64 {
    (square_metres * 1e3).round() / 1e3
}

/// Areas of one table: all in the unit, and with the digits, that suit the whole of it.
#[derive(Clone, Copy, Debug)]
pub struct AreaScale {
    /// Square metres of the unit.
    unit: f64,
    name: &'static str,
    decimals: usize,
}

impl AreaScale {
    /// `whole`: the largest area to be shown, in square metres.
    pub fn new(whole: f64) -> Self {
        let (unit, name) = match whole {
            m2 if m2 >= 1e6 => (1e6, "km²"),
            m2 if m2 >= 1e4 => (1e4, "ha"),
            _ => (1.0, "m²"),
        };
        // Four digits for the whole: the parts are known no better.
        let digits = (whole / unit).max(1.0).log10().floor() as usize;
        Self { unit, name, decimals: 3usize.saturating_sub(digits) }
    }

    pub fn show(self, square_metres: f64) -> String {
        format!("{} {}", self.number(square_metres), self.name)
    }

    pub fn unit(self) -> &'static str {
        self.name
    }

    /// The number alone.
    pub fn number(self, square_metres: f64) -> String {
        let text = format!("{:.*}", self.decimals, square_metres / self.unit);
        let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
        let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
        format!("{whole}{rest}")
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

/// An estimate: whole seconds, and nothing finer.
pub(super) fn time_left(left: Duration) -> String {
    match left.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        _ => duration(left),
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
    fn numbers_are_formatted_with_units() {
        let area = |square_metres| AreaScale::new(square_metres).show(square_metres);
        assert_eq!(area(0.0), "0.000 m²");
        assert_eq!(area(12.345), "12.35 m²");
        assert_eq!(area(4_920.0), "4,920 m²");
        assert_eq!(area(249_999.0), "25.00 ha");
        assert_eq!(area(12_345_678.0), "12.35 km²");
        assert_eq!(area(8.1e9), "8,100 km²");
        assert_eq!(AreaScale::new(250_000.0).show(0.0), "0.00 ha");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(duration(Duration::from_millis(830)), "0.8 s");
        assert_eq!(duration(Duration::from_secs(245)), "4 min 05 s");
        assert_eq!(duration(Duration::from_secs(7_620)), "2 h 07 min");
    }
}
