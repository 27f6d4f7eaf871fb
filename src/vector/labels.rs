//! Labels of 16 bits, and the raster values for which they stand.

/// The label of pixels without a label.
pub const NO_LABEL: u16 = u16::MAX;

/// The assignment of raster values to labels of 16 bits.
#[derive(Clone, Debug)]
pub enum Values {
    /// Every label equals its value.
    Same,
    /// The sorted values; a label is an index into them.
    Numbered(Vec<i64>),
}

impl Values {
    /// The value of a label.
    pub fn value(&self, label: u16) -> i64 {
        match self {
            Self::Same => i64::from(label),
            Self::Numbered(values) => values.get(usize::from(label)).copied().unwrap_or(i64::from(label)),
        }
    }

    /// The label of a value; `None` where no pixel has the value.
    pub fn label(&self, value: i64) -> Option<u16> {
        let label = match self {
            Self::Same => u16::try_from(value).ok(),
            Self::Numbered(values) => values.binary_search(&value).ok().and_then(|label| u16::try_from(label).ok()),
        };
        label.filter(|label| *label != NO_LABEL)
    }

    /// All values with a label.
    pub fn all(&self) -> Vec<i64> {
        match self {
            Self::Same => (0..i64::from(NO_LABEL)).collect(),
            Self::Numbered(values) => values.clone(),
        }
    }
}
