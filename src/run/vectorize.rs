//! Label rasters to vector products.

use crate::cli::VectorizeArgs;
use crate::error::Result;
use crate::report::Reporter;

pub fn run(args: &VectorizeArgs, reporter: &Reporter) -> Result<()> {
    let summary = args.run()?;
    summary.notes.iter().for_each(|note| reporter.note(note));
    reporter.products(&summary, &args.output);
    Ok(())
}
