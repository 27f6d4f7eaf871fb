//! The two layers of a transformer's MLP, some rows at a time.

use segearth_error::{Error, Result};

use super::Instructions;
use super::activation::Activation;
use super::dot::{Dot, Kernel};
use super::linear::{Linear, Pieces};
use super::rows::Rows;

/// Two linear layers with an activation between them.
#[derive(Debug)]
pub struct Mlp {
    expand: Linear,
    activation: Activation,
    shrink: Linear,
}

impl Mlp {
    /// # Errors
    /// The second layer does not take what the first gives.
    pub fn new(expand: Linear, activation: Activation, shrink: Linear) -> Result<Self> {
        if expand.outputs() != shrink.inputs() {
            return Err(Error::input(format!(
                "a layer of {} output channels stands before one of {} input channels",
                expand.outputs(),
                shrink.inputs()
            )));
        }
        Ok(Self { expand, activation, shrink })
    }

    /// Returns the number of input channels.
    pub fn inputs(&self) -> usize {
        self.expand.inputs()
    }

    /// Returns the number of output channels.
    pub fn outputs(&self) -> usize {
        self.shrink.outputs()
    }

    /// Computes `out` (row, output) of `x` (row, input), where `window` rows at a time belong together.
    ///
    /// # Errors
    /// The arrays do not have as many rows, or not those of whole windows.
    pub fn forward(&self, instructions: Instructions, x: &[f32], window: usize, out: &mut [f32]) -> Result<()> {
        let pieces = Pieces::new([x.len(), self.inputs()], [out.len(), self.outputs()], window)?;
        instructions.0.run(Forward { mlp: self, pieces, x, out });
        Ok(())
    }
}

struct Forward<'a> {
    mlp: &'a Mlp,
    pieces: Pieces,
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<D: Dot>(self, dot: D) {
        let Self { mlp: Mlp { expand, activation, shrink }, pieces, x, out } = self;
        let mut hidden = vec![0f32; pieces.rows * expand.outputs()];
        let mut rows = [Rows::default(), Rows::default()];
        for (x, out) in pieces.of([expand.inputs(), shrink.outputs()], x, out) {
            let hidden = &mut hidden[..x.len() / expand.inputs() * expand.outputs()];
            rows[0].quantise(x, expand.inputs());
            expand.multiply(dot, &rows[0], *activation, hidden);
            rows[1].quantise(hidden, shrink.inputs());
            shrink.multiply(dot, &rows[1], Activation::None, out);
        }
    }
}
