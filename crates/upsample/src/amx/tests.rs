//! Products of tiles against sums in float64.

use half::bf16;

use super::tile::{AmxTiles, BLOCK, Line, Operand, TILE, TileContext, TileKernel};

/// Multiplies, and adds the product once more.
struct MultiplyTwice<'a> {
    a: &'a [Line],
    b: &'a [Line],
    count: usize,
    out: &'a mut [f32; BLOCK],
}

impl TileKernel for MultiplyTwice<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self, context: &TileContext) {
        let second = self.count * TILE;
        let [a, b] = [self.a, self.b].map(|lines| Operand { lines, next: TILE, second });
        let start = std::array::from_fn(|column| column as f32);
        context.multiply(a, b, self.count, &start, self.out);
        context.accumulate(a, b, self.count, self.out);
    }
}

#[test]
fn multiply_and_accumulate_sum_products_of_bfloat16() {
    let Some(tiles) = AmxTiles::detect() else {
        segearth_testing::skipped("no AMX");
        return;
    };
    for count in [1, 2, 5] {
        let depth = 32 * count;
        let number = |index: usize| bf16::from_f32(((index * 7919 + 13) % 1009) as f32 / 500.0 - 1.0);
        let (left, right) = (|row, k| number(row * depth + k), |k, column| number(k * 32 + column + 77));
        let mut a = vec![Line::default(); 2 * TILE * count];
        let mut b = a.clone();
        for k in 0..depth {
            for other in 0..32 {
                let tile = other / 16 * count + k / 32;
                a[tile * TILE + other % 16].0[k % 32] = left(other, k).to_bits();
                b[tile * TILE + k % 32 / 2].0[other % 16 * 2 + k % 2] = right(k, other).to_bits();
            }
        }
        let mut out = [f32::NAN; BLOCK];
        tiles.run(MultiplyTwice { a: &a, b: &b, count, out: &mut out });
        for (index, &got) in out.iter().enumerate() {
            let (row, column) = (index / 32, index % 32);
            let product = |k| left(row, k).to_f64() * right(k, column).to_f64();
            let want = column as f64 + 2.0 * (0..depth).map(product).sum::<f64>();
            // Sums of float32, up to 320 numbers below 2.
            assert!((f64::from(got) - want).abs() < 2e-4, "{count} tiles, {row}, {column}: {got} for {want}");
        }
    }
}

#[test]
#[should_panic(expected = "tiles beyond the end")]
fn operands_with_too_few_tiles_panic() {
    let Some(tiles) = AmxTiles::detect() else { panic!("tiles beyond the end, of which there are none thread_bound") };
    let lines = vec![Line::default(); 2 * TILE - 1];
    tiles.run(MultiplyTwice { a: &lines, b: &lines, count: 1, out: &mut [0.0; BLOCK] });
}
