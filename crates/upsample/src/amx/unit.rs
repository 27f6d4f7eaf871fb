//! The processor's tiles (AMX): registers of sixteen lines of 64 bytes, and products of bfloat16 in them.
//!
//! A value of [`Tiles`] is the proof that the processor has them and that Linux lets this process use them: detection alone
//! makes one. They are used inside [`Tiles::run`], which hands a kernel the proof that they are set up, [`Ready`].
//!
//! All tiles have the same shape. A *line* holds 32 numbers of a row on the left side of a product, or two rows of 16 numbers
//! interleaved on its right side; sums are sixteen rows of 16 float32.

#![expect(unsafe_code, reason = "AMX instructions and the system call that allows them")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::cell::Cell;
use std::marker::PhantomData;

use crate::simd::{Avx512, Simd};

/// 64 bytes of bfloat16.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Line(pub [u16; 32]);

impl Line {
    /// All lines' numbers in one row.
    pub fn numbers(lines: &[Self]) -> &[u16] {
        // SAFETY: a line is 32 numbers and nothing else, and lines follow each other without gaps.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), 32 * lines.len()) }
    }
}

/// Lines of a tile.
pub(super) const TILE: usize = 16;

/// Numbers of [`Ready::multiply`]'s sums.
pub(super) const BLOCK: usize = 32 * 32;

/// The processor has tiles of bfloat16, and this process may use them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles(Avx512);

/// Something to compute with tiles.
pub(super) trait TileKernel {
    type Output;
    /// To be marked `#[inline(always)]`.
    fn run(self, ready: &Ready) -> Self::Output;
}

/// Tiles are set up on this thread.
pub(super) struct Ready {
    pub lanes: Avx512,
    /// No other thread's.
    here: PhantomData<*const ()>,
}

/// Two rows or columns of tiles.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a> {
    pub lines: &'a [Line],
    /// Lines from one tile of a sum to the next one's.
    pub next: usize,
    /// Lines to the second row or column.
    pub second: usize,
}

impl Operand<'_> {
    /// Whether there are so many tiles of each.
    fn holds(&self, count: usize) -> bool {
        let last = count.checked_sub(1).and_then(|last| last.checked_mul(self.next)?.checked_add(self.second + TILE));
        last.is_some_and(|last| last <= self.lines.len())
    }
}

thread_local! {
    /// Whether tiles are set up on this thread.
    static SET_UP: Cell<bool> = const { Cell::new(false) };
}

/// Eight tiles of 16 lines of 64 bytes (palette 1), as the processor reads it.
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

/// Gives tiles back when a kernel ends, however it does.
struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        SET_UP.set(false);
        // SAFETY: only computed after tiles were set up on this thread, so the processor has the instruction.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

impl Tiles {
    pub fn detect() -> Option<Self> {
        const TILE_BF16: u32 = 1 << 22;
        const TILE_TILE: u32 = 1 << 24;
        /// Asks Linux for the state of tiles, number 18, which it saves for those only who asked.
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        let lanes = Avx512::detect()?;
        let vectors = is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bf16");
        // SAFETY: a processor with AVX-512 has the instruction; leaf 7 is there since AVX2.
        #[allow(unused_unsafe, reason = "safe in later compilers")]
        let features = unsafe { __cpuid_count(7, 0) }.edx;
        if !vectors || features & TILE_BF16 == 0 || features & TILE_TILE == 0 {
            return None;
        }
        // SAFETY: the call takes two numbers and changes nothing but what the process may use.
        let denied = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
        (denied == 0).then_some(Self(lanes))
    }

    pub fn lanes(self) -> Avx512 {
        self.0
    }

    pub fn run<K: TileKernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,avx2,fma")]
        fn inside<K: TileKernel>(ready: &Ready, kernel: K) -> K::Output {
            kernel.run(ready)
        }
        // A kernel inside a kernel finds them set up, and leaves them so.
        let _release = (!SET_UP.replace(true)).then(|| {
            // SAFETY: the processor has tiles, since a value of the type exists; the shapes are 64 bytes and fit palette 1.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly)) };
            Release
        });
        let ready = Ready { lanes: self.0, here: PhantomData };
        // SAFETY: the processor has the instructions: `detect` looked for all of them.
        unsafe { inside(&ready, kernel) }
    }
}

impl Ready {
    /// out = start + a · b, of 32 × 32 numbers: `a` has two rows of tiles, `b` two columns, `count` products of tiles are
    /// summed. `start`: added to each row.
    #[inline(always)]
    pub fn multiply(&self, a: Operand<'_>, b: Operand<'_>, count: usize, start: &[f32; 32], out: &mut [f32; BLOCK]) {
        // SAFETY: 32 numbers from `start` on are read again and again, with a stride of 0.
        unsafe { self.sums(a, b, count, [start.as_ptr(); 2], 0, out.as_mut_ptr()) }
    }

    /// As [`Self::multiply`], added to what `out` holds.
    #[inline(always)]
    pub fn accumulate(&self, a: Operand<'_>, b: Operand<'_>, count: usize, out: &mut [f32; BLOCK]) {
        let (out, half) = (out.as_mut_ptr(), BLOCK / 2);
        // SAFETY: rows of 32 numbers, of which there are 32 in `out`.
        unsafe { self.sums(a, b, count, [out, out.wrapping_add(half)].map(<*mut f32>::cast_const), 128, out) }
    }

    /// # Safety
    /// From each of `starts` 16 rows of 32 numbers can be read, `stride` bytes apart; `out` is that of 32 × 32 numbers.
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
        // SAFETY: tiles are set up, since `self` exists. Both operands hold `count` tiles of 16 lines, next to each other
        // as told; the caller vouches for the sums. Tiles are lost at the end, and nobody keeps any.
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

    /// Sixteen numbers each as bfloat16, a number of `even` before one of `odd`.
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

    /// The first numbers of `from` under `loaded`, put in an order, those not under `kept` zero.
    #[inline(always)]
    pub fn spread(&self, from: &[u16], loaded: u32, order: &Line, kept: u32, to: &mut Line) {
        assert!(from.len() as u32 >= u32::BITS - loaded.leading_zeros(), "numbers beyond the end");
        // SAFETY: the processor has the instructions; numbers not under the mask are not touched, the others are there.
        unsafe {
            let numbers = _mm512_maskz_loadu_epi16(loaded, from.as_ptr().cast());
            let order = _mm512_load_si512((&raw const *order).cast());
            _mm512_store_si512((&raw mut *to).cast(), _mm512_maskz_permutexvar_epi16(kept, order, numbers));
        }
    }

    /// As they are, 64 bytes.
    #[inline(always)]
    pub fn store_bits(&self, from: __m512, to: &mut Line) {
        // SAFETY: the processor has the instructions; lines are of 64 bytes and lie at multiples of 64.
        unsafe { _mm512_store_ps((&raw mut *to).cast(), from) };
    }

    #[inline(always)]
    pub fn load_bits(&self, from: &Line) -> __m512 {
        // SAFETY: the processor has the instructions; lines are of 64 bytes and lie at multiples of 64.
        unsafe { _mm512_load_ps((&raw const *from).cast()) }
    }

    /// 1 / √x, to float32's accuracy.
    #[inline(always)]
    pub fn inverse_root(&self, x: __m512) -> __m512 {
        // SAFETY: the processor has the instructions.
        unsafe { _mm512_div_ps(_mm512_set1_ps(1.0), _mm512_sqrt_ps(x)) }
    }

    /// Rows to columns, sixteen by sixteen words.
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

    /// The sum of each row's numbers.
    #[inline(always)]
    pub fn row_sums(&self, rows: [__m512; 16]) -> __m512 {
        let columns = self.transpose(rows);
        let mut sums = columns[0];
        let mut column = 1;
        while column < 16 {
            sums = self.lanes.add(sums, columns[column]);
            column += 1;
        }
        sums
    }
}
