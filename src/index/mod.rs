//! Conditions on bands: `ndwi > 0.2`, `(b4 - b1) / (b4 + b1) > 0.3 and nir < 900`. Plain data in, plain data out: names of bands are
//! resolved by whoever reads them.
//!
//! ```text
//!  or         = and ("or" and)*                     comparison = sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)?
//!  and        = not ("and" not)*                    sum        = product (("+" | "-") product)*
//!  not        = "not" not | comparison              product    = sign (("*" | "/") sign)*
//!  sign       = "-" sign | "+" sign | value         value      = number | band | index | function | "(" or ")"
//!  index      = "ndvi" | "ndwi" | "mndwi" | "ndbi"  function   = ("abs" | "sqrt" | "min" | "max") "(" sum ("," sum)* ")"
//! ```

mod evaluate;
mod parse;
mod token;

use std::fmt;

/// Normalised differences by their names: the bands of which each is (first − second) / (first + second).
const INDICES: [(&str, &str, &str); 4] = [
    // Rouse et al. 1974, McFeeters 1996, Xu 2006, Zha et al. 2003.
    ("ndvi", "nir", "red"),
    ("ndwi", "green", "nir"),
    ("mndwi", "green", "swir16"),
    ("ndbi", "swir16", "nir"),
];

/// A condition that a pixel meets or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// As it was written.
    text: String,
    /// The names of its bands, each once.
    bands: Vec<String>,
    root: Node,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong, and where: text that is no condition, a number where a condition is needed, or one too long or too deep.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (root, bands) = parse::parse(text)?;
        Ok(Self { text: text.trim().to_owned(), bands, root })
    }

    /// The names of the bands that it needs, in the order in which [`holds`](Self::holds) takes them.
    pub fn bands(&self) -> &[String] {
        &self.bands
    }

    /// Whether it holds for each pixel. `bands`: the values of each band, NaN where there is no data. A pixel about which it cannot be
    /// decided (no data, division by zero) does not meet it.
    pub fn holds(&self, bands: &[&[f32]], pixels: usize) -> Vec<bool> {
        evaluate::evaluate(&self.root, bands, pixels).into_iter().map(|value| value == 1.0).collect()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What is wrong with a condition: the characters and sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// In characters.
    pub offset: usize,
    pub len: usize,
    pub message: String,
    pub hint: String,
}

/// A part of a condition: a number, or 1, 0 and NaN for true, false and unknown.
#[derive(Clone, Debug, PartialEq)]
enum Node {
    Number(f64),
    /// Index into the bands.
    Band(usize),
    Negative(Box<Node>),
    Not(Box<Node>),
    Two(Operator, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Plus,
    Minus,
    Times,
    Over,
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Unequal,
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Abs,
    Sqrt,
    Min,
    Max,
}

#[cfg(test)]
mod tests;
