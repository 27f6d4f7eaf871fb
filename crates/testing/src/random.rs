//! Random inputs of the upsampler's kernels.

use std::collections::BTreeMap;

/// Numbers that look random and are the same everywhere.
pub struct Numbers(pub u64);

impl Numbers {
    /// Returns the next number, in −1..1.
    pub fn next_value(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
    }

    /// Returns the next `count` numbers, multiplied by `scale`.
    pub fn take(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| scale * self.next_value()).collect()
    }
}

/// Values of the upsampler's weights by name.
pub type Tensors = BTreeMap<String, Vec<f32>>;

/// Random weights of `steps` doublings with kernels of `radius`, for `keys` channels of guidance and features of `depth`.
pub fn tensors(steps: usize, radius: usize, keys: usize, depth: usize, seed: u64) -> Tensors {
    let mut numbers = Numbers(seed);
    let taps = (2 * radius + 1) * (2 * radius + 1);
    let mut tensors = Tensors::new();
    for index in 1..=steps {
        let mut put = |name: &str, values: Vec<f32>| tensors.insert(format!("up{index}.{name}"), values);
        put("range_temp", numbers.take(1, 1.0));
        put("sigma_spatial", vec![0.7 + 0.2 * numbers.next_value()]);
        put("range_proj.0.weight", numbers.take(keys * 3, 1.0));
        put("range_proj.0.bias", numbers.take(keys, 0.3));
        put("range_proj.3.weight", numbers.take(keys * keys, 0.4));
        put("range_proj.3.bias", numbers.take(keys, 0.3));
        put("fixup_proj.0.weight", numbers.take(taps * (taps + 3), 0.5));
        put("fixup_proj.0.bias", numbers.take(taps, 0.3));
        put("fixup_proj.3.weight", numbers.take(taps * taps, 0.3));
        put("fixup_proj.3.bias", numbers.take(taps, 0.1));
    }
    tensors.insert("fixup_proj.1.bias".into(), numbers.take(depth, 0.5));
    tensors
}
