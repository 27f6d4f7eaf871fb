//! Scalar products of int8 numbers in the instructions that a processor has: VNNI multiplies four unsigned bytes by four signed ones and adds
//! them to an int32, in one instruction for eight or sixteen such sums.
//!
//! A value of a type that implements [`Dot`] is the proof that the processor has the instructions: only detection creates one. Kernels
//! run inside [`Dot::run`], where the compiler may use the instructions; all functions between there and the methods are
//! `#[inline(always)]`.

#![expect(unsafe_code, reason = "vector instructions of the processor")]

use segearth_upsample::Limit;

use super::packed::{GROUP, PANEL};

/// Sums of a row with a panel's channels.
pub(crate) type Sums = [i32; PANEL];

/// A computation with int8 products.
pub(crate) trait Kernel {
    /// Runs it; implementations are `#[inline(always)]`.
    fn run<D: Dot>(self, dot: D);
}

/// The int8 products of a kind of processor.
pub(crate) trait Dot: Copy {
    /// Runs a kernel with the instructions enabled.
    fn run<K: Kernel>(self, kernel: K);

    /// Returns the sums over all inputs of rows with a panel's channels. Rows have a number for each input of the panel.
    fn tile<const ROWS: usize>(self, rows: [&[i8]; ROWS], panel: &[u8]) -> [Sums; ROWS];
}

/// Plain integers, for every processor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

impl Dot for Portable {
    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) {
        kernel.run(self);
    }

    #[inline(always)]
    fn tile<const ROWS: usize>(self, rows: [&[i8]; ROWS], panel: &[u8]) -> [Sums; ROWS] {
        let mut sums = [[0; PANEL]; ROWS];
        for (row, sums) in rows.iter().zip(&mut sums) {
            for (left, right) in row.as_chunks::<GROUP>().0.iter().zip(panel.as_chunks::<{ GROUP * PANEL }>().0) {
                for (sum, right) in sums.iter_mut().zip(right.as_chunks::<GROUP>().0) {
                    for lane in 0..GROUP {
                        *sum += i32::from(left[lane]) * i32::from(right[lane]);
                    }
                }
            }
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx512Vnni, AvxVnni};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Dot, GROUP, Kernel, PANEL, Sums};

    /// Bytes of a panel that a group of inputs has.
    const LINE: usize = GROUP * PANEL;

    /// The number of groups of inputs that all rows and the panel have.
    #[inline(always)]
    fn groups<const ROWS: usize>(rows: [&[i8]; ROWS], panel: &[u8]) -> usize {
        rows.iter().fold(panel.len() / LINE, |least, row| least.min(row.len() / GROUP))
    }

    // SAFETY of every `unsafe` below: the processor has the instructions, since a value of the type exists and only `detect` creates
    // one; and no more groups are read than `groups` has counted in every slice, nor more lines stored than `sums` has.

    /// Vectors of 512 bits.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Avx512Vnni(());

    impl Avx512Vnni {
        /// Returns the proof, if the processor has the instructions.
        pub fn detect() -> Option<Self> {
            let all = is_x86_feature_detected!("avx512vnni")
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            all.then_some(Self(()))
        }
    }

    impl Dot for Avx512Vnni {
        #[inline(always)]
        fn run<K: Kernel>(self, kernel: K) {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
            fn inside<K: Kernel>(dot: Avx512Vnni, kernel: K) {
                kernel.run(dot);
            }
            // SAFETY: the processor has the instructions.
            unsafe { inside(self, kernel) }
        }

        #[inline(always)]
        fn tile<const ROWS: usize>(self, rows: [&[i8]; ROWS], panel: &[u8]) -> [Sums; ROWS] {
            let mut sums = [[0i32; PANEL]; ROWS];
            // SAFETY: the processor has the instructions; every slice has as many groups.
            unsafe {
                let mut vectors = [[_mm512_setzero_si512(); 4]; ROWS];
                for group in 0..groups(rows, panel) {
                    let line = panel.as_ptr().add(group * LINE);
                    let right = [
                        _mm512_loadu_si512(line.cast()),
                        _mm512_loadu_si512(line.add(64).cast()),
                        _mm512_loadu_si512(line.add(128).cast()),
                        _mm512_loadu_si512(line.add(192).cast()),
                    ];
                    for row in 0..ROWS {
                        let left = rows[row].as_ptr().add(group * GROUP).cast::<i32>().read_unaligned();
                        let left = _mm512_set1_epi32(left);
                        for vector in 0..4 {
                            vectors[row][vector] = _mm512_dpbusd_epi32(vectors[row][vector], right[vector], left);
                        }
                    }
                }
                for row in 0..ROWS {
                    for vector in 0..4 {
                        _mm512_storeu_si512(sums[row].as_mut_ptr().add(16 * vector).cast(), vectors[row][vector]);
                    }
                }
            }
            sums
        }
    }

    /// Vectors of 256 bits, in one of the two encodings of the same instruction.
    macro_rules! vectors_of_256_bits {
        ($(#[$attribute:meta])* $name:ident, $features:literal, $has:expr, $dot:ident) => {
            $(#[$attribute])*
            #[derive(Clone, Copy, Debug)]
            pub(crate) struct $name(());

            $(#[$attribute])*
            impl $name {
                /// Returns the proof, if the processor has the instructions.
                pub fn detect() -> Option<Self> {
                    ($has && is_x86_feature_detected!("avx2")).then_some(Self(()))
                }
            }

            $(#[$attribute])*
            impl Dot for $name {
                #[inline(always)]
                fn run<K: Kernel>(self, kernel: K) {
                    #[target_feature(enable = $features)]
                    fn inside<K: Kernel>(dot: $name, kernel: K) {
                        kernel.run(dot);
                    }
                    // SAFETY: the processor has the instructions.
                    unsafe { inside(self, kernel) }
                }

                #[inline(always)]
                fn tile<const ROWS: usize>(self, rows: [&[i8]; ROWS], panel: &[u8]) -> [Sums; ROWS] {
                    let mut sums = [[0i32; PANEL]; ROWS];
                    let groups = groups(rows, panel);
                    // Sixteen registers hold the sums of six rows with two vectors of channels.
                    for first in (0..PANEL).step_by(16) {
                        // SAFETY: the processor has the instructions; every slice has as many groups.
                        unsafe {
                            let mut vectors = [[_mm256_setzero_si256(); 2]; ROWS];
                            for group in 0..groups {
                                let line = panel.as_ptr().add(group * LINE + first * GROUP);
                                let right =
                                    [_mm256_loadu_si256(line.cast()), _mm256_loadu_si256(line.add(32).cast())];
                                for row in 0..ROWS {
                                    let left = rows[row].as_ptr().add(group * GROUP).cast::<i32>().read_unaligned();
                                    let left = _mm256_set1_epi32(left);
                                    for vector in 0..2 {
                                        vectors[row][vector] = $dot(vectors[row][vector], right[vector], left);
                                    }
                                }
                            }
                            for row in 0..ROWS {
                                for vector in 0..2 {
                                    let to = sums[row].as_mut_ptr().add(first + 8 * vector);
                                    _mm256_storeu_si256(to.cast(), vectors[row][vector]);
                                }
                            }
                        }
                    }
                    sums
                }
            }
        };
    }

    vectors_of_256_bits!(
        /// Of processors without AVX-512.
        AvxVnni,
        "avx2,avxvnni",
        is_x86_feature_detected!("avxvnni"),
        _mm256_dpbusd_avx_epi32
    );
    vectors_of_256_bits!(
        /// The same with the encoding of AVX-512: processors that can run the tests have this one more often.
        #[cfg(test)]
        Avx512VnniNarrow,
        "avx2,avx512f,avx512vl,avx512vnni",
        is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512vl"),
        _mm256_dpbusd_epi32
    );
}

/// The instructions in use.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Level {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512Vnni),
    #[cfg(all(test, target_arch = "x86_64"))]
    Avx512VnniNarrow(x86::Avx512VnniNarrow),
}

impl Level {
    /// Returns the fastest that this processor has within a limit.
    pub fn up_to(limit: Limit) -> Self {
        #[cfg(target_arch = "x86_64")]
        if limit >= Limit::Avx512 {
            let wide = Avx512Vnni::detect().map(Self::Avx512Vnni);
            if let Some(level) = wide.or_else(|| AvxVnni::detect().map(Self::AvxVnni)) {
                return level;
            }
        }
        Self::Portable(Portable)
    }

    /// Returns all that this processor has.
    #[cfg(test)]
    pub fn all() -> Vec<Self> {
        let mut levels = vec![Self::Portable(Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            levels.extend(AvxVnni::detect().map(Self::AvxVnni));
            levels.extend(x86::Avx512VnniNarrow::detect().map(Self::Avx512VnniNarrow));
            levels.extend(Avx512Vnni::detect().map(Self::Avx512Vnni));
        }
        levels
    }

    /// Returns the name of the instructions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "AVX-VNNI",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => "AVX512-VNNI",
            #[cfg(all(test, target_arch = "x86_64"))]
            Self::Avx512VnniNarrow(_) => "AVX512-VNNI of 256 bits",
        }
    }

    /// Runs a kernel.
    pub fn run<K: Kernel>(self, kernel: K) {
        match self {
            Self::Portable(dot) => dot.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(dot) => dot.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(dot) => dot.run(kernel),
            #[cfg(all(test, target_arch = "x86_64"))]
            Self::Avx512VnniNarrow(dot) => dot.run(kernel),
        }
    }
}
