//! The images of windows from which local descriptors are computed: red, green and blue as the model sees them, and further bands.

use crate::error::Result;
use crate::geom::Window;
use crate::learn::{COLOURS, LocalImage};
use crate::pipeline::ScenePlan;
use crate::raster::{PhysicalReader, SceneReader};
use crate::scene::{StretchMethod, StretchPlan, Tile, ValueRange};

/// Reads the further bands of a scene's windows. One thread at a time may use it.
#[derive(Default)]
pub struct LocalImages {
    /// Three bands each, of the last one some twice.
    stretched: Vec<SceneReader>,
    /// Red, green, blue and the further bands.
    physical: Option<PhysicalReader>,
    count: usize,
}

/// The further bands of a window.
#[derive(Default)]
pub struct FurtherBands {
    /// (band, row, column) in 0..=255
    values: Vec<f32>,
    /// (channel, row, column)
    physical: Vec<f32>,
}

impl LocalImages {
    /// Opens the further bands of a scene, if it has some, and estimates their stretch.
    ///
    /// # Errors
    /// The scene cannot be read.
    pub fn open(scene: &ScenePlan) -> Result<Self> {
        let further: Vec<usize> = scene.further_bands.iter().map(|(_, number)| *number).collect();
        if further.is_empty() {
            return Ok(Self::default());
        }
        let stretch = own_stretch(&scene.stretch);
        let reader = |three: &[usize]| {
            let last = three.last().copied().unwrap_or(1);
            let of = |index: usize| three.get(index).copied().unwrap_or(last);
            SceneReader::open_even_empty(&scene.info, [of(0), of(1), of(2)], &stretch)
        };
        let all: Vec<usize> = scene.bands.iter().chain(&further).copied().collect();
        Ok(Self {
            stretched: further.chunks(COLOURS).map(reader).collect::<Result<_>>()?,
            physical: Some(PhysicalReader::open(&scene.info, &all, false)?),
            count: further.len(),
        })
    }

    /// Reads the further bands of a window inside the scene.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(&self, window: Window) -> Result<FurtherBands> {
        let Some(physical) = &self.physical else { return Ok(FurtherBands::default()) };
        let mut values = Vec::new();
        for reader in &self.stretched {
            values.extend(reader.read(window)?.rgb);
        }
        values.truncate(self.count * window.size().pixels());
        let mut physical = physical.read(window)?;
        physical.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = 0.0);
        Ok(FurtherBands { values, physical })
    }

    /// The image of a window, whose colours are known.
    ///
    /// # Errors
    /// The further bands cannot be read.
    pub fn image(&self, tile: &Tile) -> Result<LocalImage> {
        Ok(self.read(tile.window)?.beside(tile.rgb.clone()))
    }
}

impl FurtherBands {
    /// The image with these colours, (channel, row, column) in 0..=255.
    pub fn beside(self, mut rgb: Vec<f32>) -> LocalImage {
        rgb.extend(self.values);
        LocalImage { values: rgb, physical: self.physical }
    }
}

/// The stretch of a band that is none of red, green and blue: estimated from its own values; of given ones, the widest range.
fn own_stretch(plan: &StretchPlan) -> StretchPlan {
    let method = match plan.method {
        StretchMethod::Given(ranges) => {
            let low = ranges.iter().map(|range| range.low).fold(f64::INFINITY, f64::min);
            let high = ranges.iter().map(|range| range.high).fold(f64::NEG_INFINITY, f64::max);
            StretchMethod::Given([ValueRange { low, high }; 3])
        }
        ref method => method.clone(),
    };
    StretchPlan { method, joint: false, gamma: plan.gamma }
}
