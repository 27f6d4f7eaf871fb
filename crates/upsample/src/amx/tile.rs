//! Intel AMX: tile registers of sixteen lines of 64 bytes, and products of bfloat16 in them.
//!
//! A value of [`AmxTiles`] is the proof that the processor has tiles and that Linux allows this process to use them: only detection
//! creates one. [`AmxTiles::run`] configures them and gives a kernel the proof of that, [`TileContext`].
//!
//! All tiles have the same shape. A *line* (a tile's row in Intel's manuals) holds 32 numbers of a matrix row in the left operand of
//! a product, or two rows of 16 numbers interleaved in the right operand; sums are sixteen rows of 16 float32.

#![expect(unsafe_code, reason = "AMX instructions and the system call that allows them")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::cell::Cell;
use std::marker::PhantomData;

use crate::simd::{Avx512, Simd};

/// A line of a tile: 32 bfloat16.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Line(pub [u16; 32]);

impl Line {
    /// Returns the numbers of all lines as one slice.
    pub fn numbers(lines: &[Self]) -> &[u16] {
        // SAFETY: a line is 32 numbers and nothing else, and lines follow each other without gaps.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), 32 * lines.len()) }
    }
}

/// Lines of a tile.
pub(super) const TILE: usize = 16;

/// Numbers of a sum of [`TileContext::multiply`].
pub(super) const BLOCK: usize = 32 * 32;

/// Proof that the processor has AMX for bfloat16 and this process may use it.
#[derive(Clone, Copy, Debug)]
pub(super) struct AmxTiles(Avx512);

/// A computation with tiles.
pub(super) trait TileKernel {
    type Output;
    /// Runs it; implementations are `#[inline(always)]`.
    fn run(self, context: &TileContext) -> Self::Output;
}

/// Proof that tiles are configured on this thread.
pub(super) struct TileContext {
    pub simd: Avx512,
    /// Keeps the proof on its thread.
    thread_bound: PhantomData<*const ()>,
}

/// An operand of a product: two rows (left) or columns (right) of tiles.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub lines: &'a [Line],
    /// Lines from one tile to the next along the inner dimension.
    pub next: usize,
    /// Lines from the first row or column of tiles to the second.
    pub second: usize,
}

impl Operand<'_> {
    /// Returns whether both rows or columns have `count` tiles.
    fn holds(&self, count: usize) -> bool {
        let last = count.checked_sub(1).and_then(|last| last.checked_mul(self.next)?.checked_add(self.second + TILE));
        last.is_some_and(|last| last <= self.lines.len())
    }
}

thread_local! {
    /// Whether tiles are configured on this thread.
    static CONFIGURED: Cell<bool> = const { Cell::new(false) };
}

/// The tile configuration (palette 1): eight tiles of 16 lines of 64 bytes.
#[repr(C, align(64))]
struct Shapes([u8; 64]);

static SHAPES: Shapes = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = TILE as u8;
        tile += 1;
    }
    Shapes(bytes)
};

/// Releases the tiles when a kernel ends, also by a panic.
struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        CONFIGURED.set(false);
        // SAFETY: only created after tiles were configured on this thread, so the processor has the instruction.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

impl AmxTiles {
    /// Returns the proof, if the processor and Linux allow AMX.
    pub fn detect() -> Option<Self> {
        const TILE_BF16: u32 = 1 << 22;
        const TILE_TILE: u32 = 1 << 24;
        /// Requests the tile state (component 18), which Linux saves only for processes that requested it.
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        let simd = Avx512::detect()?;
        let vectors = is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bf16");
        // SAFETY: a processor with AVX-512 has the instruction; leaf 7 is there since AVX2.
        #[allow(unused_unsafe, reason = "safe in later compilers")]
        let features = unsafe { __cpuid_count(7, 0) }.edx;
        if !vectors || features & TILE_BF16 == 0 || features & TILE_TILE == 0 {
            return None;
        }
        // SAFETY: the call takes two numbers and changes only what the process may use.
        let status = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
        (status == 0).then_some(Self(simd))
    }

    /// Returns the vector instructions that come with AMX.
    pub fn simd(self) -> Avx512 {
        self.0
    }

    /// Runs a kernel with tiles configured.
    pub fn run<K: TileKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,avx2,fma")]
        fn inside<K: TileKernel>(context: &TileContext, kernel: K) -> K::Output {
            kernel.run(context)
        }
        // A nested kernel leaves the configuration to the outer one.
        let _release = (!CONFIGURED.replace(true)).then(|| {
            // SAFETY: the processor has tiles, since a value of the type exists; the shapes are 64 bytes and fit palette 1.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly)) };
            Release
        });
        let context = TileContext { simd: self.0, thread_bound: PhantomData };
        // SAFETY: the processor has the instructions: `detect` looked for all of them.
        unsafe { inside(&context, kernel) }
    }
}

impl TileContext {
    /// Computes out = start + a · b, 32 × 32 numbers: `a` has two rows of tiles, `b` two columns, of `count` tiles each. `start` is
    /// added to each row.
    #[inline(always)]
    pub fn multiply(&self, a: Operand<'_>, b: Operand<'_>, count: usize, start: &[f32; 32], out: &mut [f32; BLOCK]) {
        // SAFETY: the 32 numbers of `start` are read for every row, with a stride of 0.
        unsafe { self.sums(a, b, count, [start.as_ptr(); 2], 0, out.as_mut_ptr()) }
    }

    /// Computes out += a · b, as [`Self::multiply`].
    #[inline(always)]
    pub fn accumulate(&self, a: Operand<'_>, b: Operand<'_>, count: usize, out: &mut [f32; BLOCK]) {
        let (out, half) = (out.as_mut_ptr(), BLOCK / 2);
        // SAFETY: `out` has 32 rows of 32 numbers.
        unsafe { self.sums(a, b, count, [out, out.wrapping_add(half)].map(<*mut f32>::cast_const), 128, out) }
    }

    /// # Safety
    /// 16 rows of 32 numbers, `stride` bytes apart, can be read from each of `starts`; 32 × 32 numbers can be written to `out`.
    #[inline(always)]
    unsafe fn sums(
        &self,
        a: Operand<'_>,
        b: Operand<'_>,
        count: usize,
        starts: [*const f32; 2],
        stride: usize,
        out: *mut f32,
    ) {
        assert!(a.holds(count) && b.holds(count), "tiles beyond the end");
        let line = size_of::<Line>();
        // SAFETY: tiles are configured, since `self` exists. Both operands hold `count` tiles of 16 lines at the given distances, and
        // the caller guarantees the sums. No tile is used after the block.
        unsafe {
            asm!(
                "tileloadd tmm0, [{start} + {stride}*1]",
                "tileloadd tmm1, [{start} + {stride}*1 + 64]",
                "tileloadd tmm2, [{start2} + {stride}*1]",
                "tileloadd tmm3, [{start2} + {stride}*1 + 64]",
                "mov {stride:e}, 64",
                "2:",
                "tileloadd tmm4, [{a} + {stride}*1]",
                "tileloadd tmm6, [{b} + {stride}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{b2} + {stride}*1]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{a2} + {stride}*1]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, {a_next}",
                "add {a2}, {a_next}",
                "add {b}, {b_next}",
                "add {b2}, {b_next}",
                "dec {count}",
                "jnz 2b",
                "mov {stride:e}, 128",
                "tilestored [{out} + {stride}*1], tmm0",
                "tilestored [{out} + {stride}*1 + 64], tmm1",
                "tilestored [{out} + {stride}*1 + 2048], tmm2",
                "tilestored [{out} + {stride}*1 + 2112], tmm3",
                start = in(reg) starts[0],
                start2 = in(reg) starts[1],
                stride = inout(reg) stride => _,
                a = inout(reg) a.lines.as_ptr() => _,
                a2 = inout(reg) a.lines.as_ptr().wrapping_add(a.second) => _,
                a_next = in(reg) a.next * line,
                b = inout(reg) b.lines.as_ptr() => _,
                b2 = inout(reg) b.lines.as_ptr().wrapping_add(b.second) => _,
                b_next = in(reg) b.next * line,
                count = inout(reg) count => _,
                out = in(reg) out,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }

    /// Converts two vectors to bfloat16 and interleaves them: a number of `even`, then one of `odd`.
    #[inline(always)]
    pub fn interleave(&self, even: __m512, odd: __m512, to: &mut Line) {
        static ORDER: Line = {
            let mut order = [0; 32];
            let mut at = 0;
            while at < 32 {
                order[at] = (at / 2 + 16 * (at % 2)) as u16;
                at += 1;
            }
            Line(order)
        };
        // SAFETY: the processor has the instructions; lines are of 64 bytes and lie at multiples of 64.
        unsafe {
            let both: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(odd, even));
            let order = _mm512_load_si512((&raw const ORDER).cast());
            _mm512_store_si512((&raw mut *to).cast(), _mm512_permutexvar_epi16(order, both));
        }
    }

    /// Loads the numbers of `from` that the mask `loaded` selects and permutes them by `order`; those outside the mask `kept` are zero.
    #[inline(always)]
    pub fn permute(&self, from: &[u16], loaded: u32, order: &Line, kept: u32, to: &mut Line) {
        assert!(from.len() as u32 >= u32::BITS - loaded.leading_zeros(), "numbers beyond the end");
        // SAFETY: the processor has the instructions; only numbers under the mask are read, and the slice has them.
        unsafe {
            let numbers = _mm512_maskz_loadu_epi16(loaded, from.as_ptr().cast());
            let order = _mm512_load_si512((&raw const *order).cast());
            _mm512_store_si512((&raw mut *to).cast(), _mm512_maskz_permutexvar_epi16(kept, order, numbers));
        }
    }

    /// Stores the 64 bytes of a vector unchanged.
    #[inline(always)]
    pub fn store_bits(&self, from: __m512, to: &mut Line) {
        // SAFETY: the processor has the instructions; lines are of 64 bytes and lie at multiples of 64.
        unsafe { _mm512_store_ps((&raw mut *to).cast(), from) };
    }

    /// Loads 64 bytes unchanged.
    #[inline(always)]
    pub fn load_bits(&self, from: &Line) -> __m512 {
        // SAFETY: the processor has the instructions; lines are of 64 bytes and lie at multiples of 64.
        unsafe { _mm512_load_ps((&raw const *from).cast()) }
    }

    /// Returns 1 / √x with float32's accuracy.
    #[inline(always)]
    pub fn inverse_root(&self, x: __m512) -> __m512 {
        // SAFETY: the processor has the instructions.
        unsafe { _mm512_div_ps(_mm512_set1_ps(1.0), _mm512_sqrt_ps(x)) }
    }

    /// Transposes 16 × 16 words of 32 bits.
    #[inline(always)]
    pub fn transpose(&self, mut rows: [__m512; 16]) -> [__m512; 16] {
        // SAFETY: the processor has the instructions.
        unsafe {
            let zero = _mm512_setzero_ps();
            let mut other = [zero; 16];
            // Within quarters of 128 bits, four rows at a time.
            let mut four = 0;
            while four < 16 {
                let (a, b) =
                    (_mm512_unpacklo_ps(rows[four], rows[four + 1]), _mm512_unpackhi_ps(rows[four], rows[four + 1]));
                let (c, d) = (
                    _mm512_unpacklo_ps(rows[four + 2], rows[four + 3]),
                    _mm512_unpackhi_ps(rows[four + 2], rows[four + 3]),
                );
                other[four] = _mm512_shuffle_ps::<0b01_00_01_00>(a, c);
                other[four + 1] = _mm512_shuffle_ps::<0b11_10_11_10>(a, c);
                other[four + 2] = _mm512_shuffle_ps::<0b01_00_01_00>(b, d);
                other[four + 3] = _mm512_shuffle_ps::<0b11_10_11_10>(b, d);
                four += 4;
            }
            // Then the quarters themselves.
            let mut column = 0;
            while column < 4 {
                let [a, b, c, d] = [other[column], other[column + 4], other[column + 8], other[column + 12]];
                let (low, high) =
                    (_mm512_shuffle_f32x4::<0b10_00_10_00>(a, b), _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b));
                let (low2, high2) =
                    (_mm512_shuffle_f32x4::<0b10_00_10_00>(c, d), _mm512_shuffle_f32x4::<0b11_01_11_01>(c, d));
                rows[column] = _mm512_shuffle_f32x4::<0b10_00_10_00>(low, low2);
                rows[column + 8] = _mm512_shuffle_f32x4::<0b11_01_11_01>(low, low2);
                rows[column + 4] = _mm512_shuffle_f32x4::<0b10_00_10_00>(high, high2);
                rows[column + 12] = _mm512_shuffle_f32x4::<0b11_01_11_01>(high, high2);
                column += 1;
            }
            rows
        }
    }

    /// Returns the sum of each row.
    #[inline(always)]
    pub fn row_sums(&self, rows: [__m512; 16]) -> __m512 {
        let columns = self.transpose(rows);
        let mut sums = columns[0];
        let mut column = 1;
        while column < 16 {
            sums = self.simd.add(sums, columns[column]);
            column += 1;
        }
        sums
    }
}
