//! The code of a class in a label raster or polygon: a number, a colour or a text.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};

/// A class code as a file contains it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    Value(i64),
    /// Red, green, blue.
    Colour([u8; 3]),
    Text(String),
}

impl FromStr for Code {
    type Err = String;

    /// Reads `7`, `#RRGGBB` or any other text.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(value) = text.parse() {
            return Ok(Self::Value(value));
        }
        match text.strip_prefix('#') {
            Some(digits) if digits.len() == 6 => u32::from_str_radix(digits, 16)
                .map(Self::from_rgb)
                .map_err(|_| format!("{text:?} is not a colour: write it as '#RRGGBB'")),
            Some(_) => Err(format!("{text:?} is not a colour: write it as '#RRGGBB'")),
            None if text.is_empty() => Err("an empty text is not a class".into()),
            None => Ok(Self::Text(text.to_owned())),
        }
    }
}

impl Code {
    /// A colour from its number 0xRRGGBB.
    pub fn from_rgb(number: u32) -> Self {
        let [_, red, green, blue] = number.to_be_bytes();
        Self::Colour([red, green, blue])
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "value {value}"),
            Self::Colour([red, green, blue]) => write!(f, "colour #{red:02X}{green:02X}{blue:02X}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_yaml::Value::deserialize(deserializer)? {
            serde_yaml::Value::Number(number) => {
                number.as_i64().map(Self::Value).ok_or_else(|| D::Error::custom(format!("{number} is not an integer")))
            }
            serde_yaml::Value::String(text) => text.parse().map_err(D::Error::custom),
            // YAML takes an unquoted # for a comment.
            serde_yaml::Value::Null => Err(D::Error::custom("the value is missing; a colour needs quotes: '#RRGGBB'")),
            _ => Err(D::Error::custom("expected a number, a '#RRGGBB' colour, a text or a list of these")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_colours_and_texts_are_distinguished() {
        assert_eq!("-3".parse(), Ok(Code::Value(-3)));
        assert_eq!("#3C1098".parse(), Ok(Code::Colour([0x3c, 0x10, 0x98])));
        assert_eq!(" house ".parse(), Ok(Code::Text("house".into())));
        assert!("#3C10".parse::<Code>().is_err() && "#zzzzzz".parse::<Code>().is_err() && "".parse::<Code>().is_err());
        assert_eq!(Code::from_rgb(0x3C1098).to_string(), "colour #3C1098");
    }
}
