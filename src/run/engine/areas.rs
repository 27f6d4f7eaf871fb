//! How much ground each class covers.

use crate::crs;
use crate::geom::PixelGround;
use crate::pipeline::ScenePlan;

/// Square metres by class, summed up pixel by pixel: a projection's scale changes over a scene.
#[derive(Clone, Debug, PartialEq)]
pub struct Areas {
    pub classes: Vec<f64>,
    pub nodata: f64,
}

impl Areas {
    /// Of the whole raster.
    pub fn whole(&self) -> f64 {
        self.classes.iter().sum::<f64>() + self.nodata
    }
}

/// Sums up areas while labels are written.
pub(super) struct AreaSums {
    ground: PixelGround,
    areas: Areas,
}

impl AreaSums {
    /// `None` where no CRS says how large pixels are.
    pub fn new(scene: &ScenePlan, classes: usize) -> Option<Self> {
        let (size, place) = scene.output_grid();
        Some(Self { ground: crs::ground_of(size, place)?, areas: Areas { classes: vec![0.0; classes], nodata: 0.0 } })
    }

    /// Adds whole rows of labels, from `first_row` on.
    pub fn add(&mut self, first_row: usize, labels: &[u16]) {
        for (row, labels) in labels.chunks_exact(self.ground.size.width.max(1)).enumerate() {
            let areas = self.ground.row(first_row + row);
            let mut start = 0;
            for run in labels.chunk_by(|a, b| a == b) {
                let area = areas.run(start..start + run.len());
                let label = run.first().copied().unwrap_or_default();
                *self.areas.classes.get_mut(usize::from(label)).unwrap_or(&mut self.areas.nodata) += area;
                start += run.len();
            }
        }
    }

    pub fn finish(self) -> Areas {
        self.areas
    }
}
