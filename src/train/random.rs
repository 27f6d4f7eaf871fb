//! Pseudo-random numbers that are the same on every machine (SplitMix64).

/// A generator; cheap to fork for each worker and step.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed ^ 0x9E37_79B9_7F4A_7C15);
        random.draw();
        random
    }

    /// A generator of its own for a worker, a step or a picture.
    pub fn fork(&self, stream: u64) -> Self {
        Self::new(self.0 ^ stream.wrapping_add(1).wrapping_mul(0xD134_2543_DE82_EF95))
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f32 {
        (self.draw() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// In [low, high).
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// In [low, high), evenly in the logarithm.
    pub fn log_between(&mut self, low: f32, high: f32) -> f32 {
        self.between(low.ln(), high.ln()).exp()
    }

    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// In 0..count; `count` must not be 0.
    pub fn below(&mut self, count: usize) -> usize {
        (((self.draw() >> 32) * count as u64) >> 32) as usize
    }

    /// Any of them; `None` of none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        if items.is_empty() { None } else { items.get(self.below(items.len())) }
    }

    /// Standard normal, by the sum of twelve (exact enough for noise and initial weights).
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}
