//! The settings that a model is best run with, as its card says: used where a job is silent.

use serde::{Deserialize, Serialize};

use super::Pooling;

/// Recommended settings; what is not given is as without a recommendation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recommended {
    /// Of `method.threshold`, for jobs with a background class; 0..=1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Of `method.debias`, 0..=1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debias: Option<f64>,
    /// Of `method.logit_scale`, above 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_scale: Option<f64>,
    /// Of `method.pooling`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<Pooling>,
    /// Of `tiling.stride`, in pixels, for the model's own window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// Least and largest ground sample distance of the images that it was trained on, in metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ground_sample_distance: Option<[f64; 2]>,
}

/// Pixels so much smaller or larger than those of the training are still near them.
const NEAR: f64 = 1.5;

impl Recommended {
    /// No recommendation.
    pub const NONE: Self = Self {
        threshold: None,
        debias: None,
        logit_scale: None,
        pooling: None,
        stride: None,
        ground_sample_distance: None,
    };

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with the values: the key, the value and those allowed.
    pub fn error(&self, window: usize) -> Option<String> {
        let share = |key: &str, value: Option<f64>| {
            let value = value.filter(|value| !(0.0..=1.0).contains(value))?;
            Some(format!("recommended.{key} is {value}; 0 to 1 is allowed"))
        };
        let positive = |value: &f64| *value > 0.0 && value.is_finite();
        let scale = self.logit_scale.filter(|scale| !positive(scale) || *scale > 1000.0);
        let scale = scale.map(|scale| format!("recommended.logit_scale is {scale}; above 0 to 1000 is allowed"));
        let stride = self.stride.filter(|stride| !(1..=window).contains(stride));
        let stride =
            stride.map(|stride| format!("recommended.stride is {stride}; 1 to the window, {window}, is allowed"));
        let distances = self
            .ground_sample_distance
            .filter(|[least, largest]| !positive(least) || !positive(largest) || least > largest);
        let distances = distances.map(|[least, largest]| {
            format!("recommended.ground_sample_distance is [{least}, {largest}]; two positive numbers, the smaller first, are allowed")
        });
        share("threshold", self.threshold).or_else(|| share("debias", self.debias)).or(scale).or(stride).or(distances)
    }

    /// The distance of the training that is nearest to a pixel of `metres`, where that is far from all of them.
    pub fn nearest_distance(&self, metres: f64) -> Option<f64> {
        let [least, largest] = self.ground_sample_distance?;
        match () {
            () if metres < least / NEAR => Some(least),
            () if metres > largest * NEAR => Some(largest),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_no_setting_can_have_are_named() {
        let fine = Recommended {
            threshold: Some(0.4),
            debias: Some(0.0),
            logit_scale: Some(50.0),
            pooling: Some(Pooling::Sum),
            stride: Some(192),
            ground_sample_distance: Some([0.1, 30.0]),
        };
        assert_eq!(fine.error(256), None);
        assert_eq!(Recommended::default().error(256), None);
        for (wrong, what) in [
            (Recommended { threshold: Some(1.5), ..fine }, "recommended.threshold is 1.5; 0 to 1 is allowed"),
            (Recommended { debias: Some(f64::NAN), ..fine }, "recommended.debias is NaN"),
            (Recommended { logit_scale: Some(0.0), ..fine }, "recommended.logit_scale is 0"),
            (Recommended { stride: Some(257), ..fine }, "recommended.stride is 257; 1 to the window, 256,"),
            (Recommended { ground_sample_distance: Some([3.0, 1.0]), ..fine }, "ground_sample_distance is [3, 1]"),
        ] {
            let error = wrong.error(256).unwrap_or_default();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn only_distances_far_from_the_trained_ones_are_far() {
        let model = Recommended { ground_sample_distance: Some([0.1, 30.0]), ..Default::default() };
        assert_eq!(
            [0.05, 0.08, 0.3, 40.0, 60.0].map(|metres| model.nearest_distance(metres)),
            [Some(0.1), None, None, None, Some(30.0)]
        );
        assert_eq!(Recommended::default().nearest_distance(1000.0), None);
    }
}
