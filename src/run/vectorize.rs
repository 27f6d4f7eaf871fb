//! Label rasters to vector products.

use crate::cli::VectorizeArgs;
use crate::error::Result;
use crate::report::Reporter;
use crate::vector::vectorize;

pub fn run(args: &VectorizeArgs, reporter: &Reporter) -> Result<()> {
    let options = args.options()?;
    let summary = vectorize(&args.labels, args.scores.as_deref(), &[], args.recipe(), &args.output, &options)?;
    summary.notes.iter().for_each(|note| reporter.note(note));
    reporter.products(&summary, &args.output);
    Ok(())
}
