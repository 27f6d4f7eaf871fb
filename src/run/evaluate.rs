//! Class maps held against a reference.

use crate::cli::EvaluateArgs;
use crate::error::Result;
use crate::evaluate::evaluate;
use crate::report::Reporter;

pub fn run(args: &EvaluateArgs, reporter: &Reporter) -> Result<()> {
    let request = args.request()?;
    let evaluation = evaluate(&request, &|pair| reporter.detail(&format!("{} is compared.", pair.display())))?;
    for path in &evaluation.without_partner {
        reporter.note(&format!("{} has no partner and is left out.", path.display()));
    }
    evaluation.notes.iter().for_each(|note| reporter.note(note));
    if let Some(path) = &args.json {
        evaluation.write_json(path)?;
    }
    reporter.print(&evaluation.table());
    Ok(())
}
