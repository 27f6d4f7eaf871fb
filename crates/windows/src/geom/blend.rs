//! Weights of overlapping windows.

/// The weight of a window's pixels by their distance from its middle. No weight is zero: a pixel in a single window
/// keeps its value, so that a scene's border has no ring of nodata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blend {
    /// Equal weights: the paper's blending.
    Average,
    /// Hann's window, sampled at pixel centres: the default for scenes, without visible seams.
    #[default]
    Hann,
    /// A Gaussian with a standard deviation of a quarter of the window.
    Gaussian,
}

impl Blend {
    /// The name by which jobs ask for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Average => "average",
            Self::Hann => "hann",
            Self::Gaussian => "gaussian",
        }
    }
}
