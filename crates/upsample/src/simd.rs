//! SIMD vectors of float32 behind one trait, in the widest form that the processor has, so that kernels are written once.
//!
//! A value of a type that implements [`Simd`] is the proof that the processor has the instructions: only detection creates one.
//! Kernels take it as an argument and run inside [`Simd::run`], where the compiler may use the instructions. For that, every
//! function between there and these methods must be `#[inline(always)]`, and none may be a closure.
//!
//! The crate `pulp` (0.22) has the same design, with detection at run time and masked loads and stores, but not all that is needed
//! here: its trait has neither a fast reciprocal nor 2ⁿ (both in the soft-max and the GELU of every pixel), it loads vectors at any
//! offset only through raw pointers or by parts, and it has neither the bfloat16 conversions of AVX-512 nor AMX. Half of the layer
//! would remain as `unsafe` intrinsics beside it. This module can go when a version of `pulp`, or `std::simd` in stable Rust, has
//! these operations.

#![expect(unsafe_code, reason = "vector instructions of the processor")]

use std::array;

use super::limit::Limit;

/// A computation with SIMD vectors.
pub(super) trait Kernel {
    type Output;
    /// Runs it; implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The vector instructions of a kind of processor.
pub(super) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of float32.
    type V: Copy;
    /// A vector of half as many float64.
    type Wide: Copy;
    /// Numbers in a vector.
    const WIDTH: usize;
    /// Vectors that can be accumulated in registers for each of four pixels.
    const CHANNEL_VECTORS: usize;
    /// Whether the scores of two rows of neighbours fit into the registers.
    const TWO_ROWS: bool;

    /// Runs a kernel with the instructions enabled.
    fn run<K: Kernel>(self, kernel: K) -> K::Output;
    /// Returns a vector of equal numbers.
    fn splat(self, value: f32) -> Self::V;
    /// Loads the first numbers of a slice.
    fn load(self, from: &[f32]) -> Self::V;
    /// Stores to the first numbers of a slice.
    fn store(self, vector: Self::V, to: &mut [f32]);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// a · b + c
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// 1 / a, with float32's accuracy.
    fn recip(self, a: Self::V) -> Self::V;
    /// 2ⁿ for integers n from -126 to 127.
    fn exp2(self, n: Self::V) -> Self::V;
    fn zero_wide(self) -> Self::Wide;
    fn load_wide(self, from: &[f64]) -> Self::Wide;
    fn store_wide(self, vector: Self::Wide, to: &mut [f64]);
    /// a · b + c
    fn fma_wide(self, a: Self::Wide, b: Self::Wide, c: Self::Wide) -> Self::Wide;

    #[inline(always)]
    fn abs(self, a: Self::V) -> Self::V {
        self.max(a, self.sub(self.splat(0.0), a))
    }

    /// Returns the sum of the numbers of a vector.
    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        let mut numbers = [0f32; 16];
        self.store(a, &mut numbers[..Self::WIDTH]);
        let mut half = 8;
        while half > 0 {
            let mut at = 0;
            while at < half {
                numbers[at] += numbers[at + half];
                at += 1;
            }
            half /= 2;
        }
        numbers[0]
    }

    /// Returns the sum of the numbers of a vector of float64.
    #[inline(always)]
    fn sum_wide(self, a: Self::Wide) -> f64 {
        let mut numbers = [0f64; 8];
        self.store_wide(a, &mut numbers[..Self::WIDTH / 2]);
        ((numbers[0] + numbers[4]) + (numbers[2] + numbers[6]))
            + ((numbers[1] + numbers[5]) + (numbers[3] + numbers[7]))
    }
}

/// Arrays, for every processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portable;

impl Simd for Portable {
    type V = [f32; 8];
    type Wide = [f64; 4];
    const WIDTH: usize = 8;
    const CHANNEL_VECTORS: usize = 1;
    const TWO_ROWS: bool = false;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; 8]
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::V {
        let mut vector = [0.0; 8];
        vector.copy_from_slice(&from[..8]);
        vector
    }
    #[inline(always)]
    fn store(self, vector: Self::V, to: &mut [f32]) {
        to[..8].copy_from_slice(&vector);
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        array::from_fn(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        array::from_fn(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        array::from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn recip(self, a: Self::V) -> Self::V {
        array::from_fn(|i| 1.0 / a[i])
    }
    #[inline(always)]
    fn exp2(self, n: Self::V) -> Self::V {
        array::from_fn(|i| f32::from_bits(((n[i] as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    fn zero_wide(self) -> Self::Wide {
        [0.0; 4]
    }
    #[inline(always)]
    fn load_wide(self, from: &[f64]) -> Self::Wide {
        let mut vector = [0.0; 4];
        vector.copy_from_slice(&from[..4]);
        vector
    }
    #[inline(always)]
    fn store_wide(self, vector: Self::Wide, to: &mut [f64]) {
        to[..4].copy_from_slice(&vector);
    }
    #[inline(always)]
    fn fma_wide(self, a: Self::Wide, b: Self::Wide, c: Self::Wide) -> Self::Wide {
        array::from_fn(|i| a[i] * b[i] + c[i])
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Kernel, Simd};

    /// Vectors of 512 bits, with fused multiply-add.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct Avx512(());

    impl Avx512 {
        /// Returns the proof, if the processor has the instructions.
        pub fn detect() -> Option<Self> {
            (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma")).then_some(Self(()))
        }
    }

    // SAFETY of every `unsafe` below: the processor has the instructions, since a value of the type exists and only `detect`
    // creates one; loads and stores stay inside slices whose length is checked just before.
    impl Simd for Avx512 {
        type V = __m512;
        type Wide = __m512d;
        const WIDTH: usize = 16;
        const CHANNEL_VECTORS: usize = 6;
        const TWO_ROWS: bool = true;

        #[inline(always)]
        fn run<K: Kernel>(self, kernel: K) -> K::Output {
            #[target_feature(enable = "avx512f,avx2,fma")]
            fn inside<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
                kernel.run(simd)
            }
            // SAFETY: the processor has the instructions.
            unsafe { inside(self, kernel) }
        }
        #[inline(always)]
        fn splat(self, value: f32) -> __m512 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        fn load(self, from: &[f32]) -> __m512 {
            let from = &from[..Self::WIDTH];
            // SAFETY: the processor has the instructions; the slice has as many numbers.
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        }
        #[inline(always)]
        fn store(self, vector: __m512, to: &mut [f32]) {
            let to = &mut to[..Self::WIDTH];
            // SAFETY: the processor has the instructions; the slice has as many numbers.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), vector) }
        }
        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        fn mul(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        fn max(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn recip(self, a: __m512) -> __m512 {
            // SAFETY: the processor has the instructions.
            let estimate = unsafe { _mm512_rcp14_ps(a) };
            // One step of Newton's method: 14 bits become 28.
            let rest = self.sub(self.splat(1.0), self.mul(a, estimate));
            self.fma(rest, estimate, estimate)
        }
        #[inline(always)]
        fn exp2(self, n: __m512) -> __m512 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), n) }
        }
        #[inline(always)]
        fn zero_wide(self) -> __m512d {
            // SAFETY: the processor has the instructions.
            unsafe { _mm512_set1_pd(0.0) }
        }
        #[inline(always)]
        fn load_wide(self, from: &[f64]) -> __m512d {
            let from = &from[..Self::WIDTH / 2];
            // SAFETY: the processor has the instructions; the slice has as many numbers.
            unsafe { _mm512_loadu_pd(from.as_ptr()) }
        }
        #[inline(always)]
        fn store_wide(self, vector: __m512d, to: &mut [f64]) {
            let to = &mut to[..Self::WIDTH / 2];
            // SAFETY: the processor has the instructions; the slice has as many numbers.
            unsafe { _mm512_storeu_pd(to.as_mut_ptr(), vector) }
        }
        #[inline(always)]
        fn fma_wide(self, a: __m512d, b: __m512d, c: __m512d) -> __m512d {
            // SAFETY: the processor has the instructions.
            unsafe { _mm512_fmadd_pd(a, b, c) }
        }
    }

    /// Vectors of 256 bits, with fused multiply-add.
    #[derive(Clone, Copy, Debug)]
    pub(in super::super) struct Avx2(());

    impl Avx2 {
        /// Returns the proof, if the processor has the instructions.
        pub fn detect() -> Option<Self> {
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
        }
    }

    impl Simd for Avx2 {
        type V = __m256;
        type Wide = __m256d;
        const WIDTH: usize = 8;
        const CHANNEL_VECTORS: usize = 2;
        const TWO_ROWS: bool = false;

        #[inline(always)]
        fn run<K: Kernel>(self, kernel: K) -> K::Output {
            #[target_feature(enable = "avx2,fma")]
            fn inside<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
                kernel.run(simd)
            }
            // SAFETY: the processor has the instructions.
            unsafe { inside(self, kernel) }
        }
        #[inline(always)]
        fn splat(self, value: f32) -> __m256 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        fn load(self, from: &[f32]) -> __m256 {
            let from = &from[..Self::WIDTH];
            // SAFETY: the processor has the instructions; the slice has as many numbers.
            unsafe { _mm256_loadu_ps(from.as_ptr()) }
        }
        #[inline(always)]
        fn store(self, vector: __m256, to: &mut [f32]) {
            let to = &mut to[..Self::WIDTH];
            // SAFETY: the processor has the instructions; the slice has as many numbers.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), vector) }
        }
        #[inline(always)]
        fn add(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        fn sub(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        fn mul(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        fn max(self, a: __m256, b: __m256) -> __m256 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        fn recip(self, a: __m256) -> __m256 {
            // SAFETY: the processor has the instructions.
            unsafe { _mm256_div_ps(_mm256_set1_ps(1.0), a) }
        }
        #[inline(always)]
        fn exp2(self, n: __m256) -> __m256 {
            // SAFETY: the processor has the instructions.
            unsafe {
                let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
            }
        }
        #[inline(always)]
        fn zero_wide(self) -> __m256d {
            // SAFETY: the processor has the instructions.
            unsafe { _mm256_set1_pd(0.0) }
        }
        #[inline(always)]
        fn load_wide(self, from: &[f64]) -> __m256d {
            let from = &from[..Self::WIDTH / 2];
            // SAFETY: the processor has the instructions; the slice has as many numbers.
            unsafe { _mm256_loadu_pd(from.as_ptr()) }
        }
        #[inline(always)]
        fn store_wide(self, vector: __m256d, to: &mut [f64]) {
            let to = &mut to[..Self::WIDTH / 2];
            // SAFETY: the processor has the instructions; the slice has as many numbers.
            unsafe { _mm256_storeu_pd(to.as_mut_ptr(), vector) }
        }
        #[inline(always)]
        fn fma_wide(self, a: __m256d, b: __m256d, c: __m256d) -> __m256d {
            // SAFETY: the processor has the instructions.
            unsafe { _mm256_fmadd_pd(a, b, c) }
        }
    }
}

/// The vector instructions in use.
#[derive(Clone, Copy, Debug)]
pub(super) enum Level {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Level {
    /// Returns all that this processor has, the fastest last.
    pub fn all() -> Vec<Self> {
        let mut levels = vec![Self::Portable(Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(Avx2::detect().map(Self::Avx2));
            levels.extend(Avx512::detect().map(Self::Avx512));
        }
        levels
    }

    /// Returns the fastest.
    #[cfg(test)]
    pub fn best() -> Self {
        Self::up_to(Limit::None)
    }

    /// Returns the fastest within a limit.
    pub fn up_to(limit: Limit) -> Self {
        Self::all().into_iter().rfind(|level| level.needs() <= limit).unwrap_or(Self::Portable(Portable))
    }

    /// Returns the lowest limit that allows the instructions.
    fn needs(self) -> Limit {
        match self {
            Self::Portable(_) => Limit::Portable,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Limit::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Limit::Avx512,
        }
    }

    /// Returns the name of the instructions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "AVX-512",
        }
    }

    /// Returns the number of float32 in a vector.
    pub fn width(self) -> usize {
        match self {
            Self::Portable(_) => Portable::WIDTH,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => Avx2::WIDTH,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Avx512::WIDTH,
        }
    }

    /// Runs a kernel.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Portable(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => simd.run(kernel),
        }
    }
}

/// Returns eˣ to a few units in the last place; below -87 that of -87 (1e-38).
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::V) -> S::V {
    /// Adding and subtracting it rounds to integers.
    const ROUND: f32 = 12_582_912.0;
    let x = simd.max(x, simd.splat(-87.0));
    let scaled = simd.fma(x, simd.splat(std::f32::consts::LOG2_E), simd.splat(ROUND));
    let n = simd.sub(scaled, simd.splat(ROUND));
    // ln 2 in two parts; the first has so few bits that its product with n is exact.
    let rest = simd.fma(n, simd.splat(-0.693_359_4), x);
    let rest = simd.fma(n, simd.splat(2.121_944_4e-4), rest);
    let mut value = simd.splat(1.0 / 5040.0);
    value = simd.fma(value, rest, simd.splat(1.0 / 720.0));
    value = simd.fma(value, rest, simd.splat(1.0 / 120.0));
    value = simd.fma(value, rest, simd.splat(1.0 / 24.0));
    value = simd.fma(value, rest, simd.splat(1.0 / 6.0));
    value = simd.fma(value, rest, simd.splat(0.5));
    value = simd.fma(value, rest, simd.splat(1.0));
    value = simd.fma(value, rest, simd.splat(1.0));
    simd.mul(value, simd.exp2(n))
}

/// Returns the exact GELU, x · Φ(x), with the error function to 2e-7 (Abramowitz and Stegun, 7.1.26).
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::V) -> S::V {
    let magnitude = simd.abs(x);
    let z = simd.mul(magnitude, simd.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = simd.recip(simd.fma(z, simd.splat(0.327_591_1), simd.splat(1.0)));
    let mut tail = simd.splat(1.061_405_4);
    tail = simd.fma(tail, t, simd.splat(-1.453_152));
    tail = simd.fma(tail, t, simd.splat(1.421_413_8));
    tail = simd.fma(tail, t, simd.splat(-0.284_496_74));
    tail = simd.fma(tail, t, simd.splat(0.254_829_6));
    let bell = exp(simd, simd.mul(z, simd.sub(simd.splat(0.0), z)));
    // 1 - erf(z)
    let beyond = simd.mul(simd.mul(tail, t), bell);
    let half = simd.mul(magnitude, simd.splat(-0.5));
    simd.fma(half, beyond, simd.max(x, simd.splat(0.0)))
}
