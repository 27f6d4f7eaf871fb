//! `segearth evaluate`: class maps compared with a reference.

use std::path::PathBuf;

use super::results::{Staged, command_facts, input};
use crate::cli::EvaluateArgs;
use crate::error::Result;
use crate::evaluate::protocol::{self, TruthRule};
use crate::evaluate::{Request, evaluate, thresholds};
use crate::journal::Fingerprint;
use crate::outputs::{Existing, Product};
use crate::report::Reporter;

const JSON: &str = "json";

pub fn run(args: &EvaluateArgs, reporter: &Reporter) -> Result<()> {
    let request = args.request()?;
    let staged = match &args.json {
        Some(path) => {
            let existing = if args.overwrite { Existing::Replace } else { Existing::Refuse };
            Some((path, Staged::of_command(vec![(JSON, Product::file(path, facts(args)))], existing)?))
        }
        None => None,
    };
    if args.protocol.is_some() {
        return by_protocol(args, &request, staged, reporter);
    }
    let evaluation = evaluate(&request, &|pair| reporter.detail(&format!("{} is compared.", pair.display())))?;
    evaluation.notes.iter().for_each(|note| reporter.note(note));
    for path in &evaluation.unmatched {
        reporter.note(&format!("{} has no matching reference and is left out.", path.display()));
    }
    if let Some((path, staged)) = staged {
        let here = staged.path(JSON).unwrap_or_else(|| path.clone());
        evaluation.write_json(&here).map_err(|error| staged.explain(error))?;
        staged.publish()?;
    }
    reporter.print(&evaluation.table());
    Ok(())
}

/// Counts as the paper does.
fn by_protocol(
    args: &EvaluateArgs,
    request: &Request,
    staged: Option<(&PathBuf, Staged)>,
    reporter: &Reporter,
) -> Result<()> {
    let rule = |rule| TruthRule { threshold: args.truth_threshold, reduce_zero: args.reduce_zero_label, ..rule };
    if args.fit_thresholds {
        let (scores, truth) = (&request.prediction, &request.reference);
        let fitted = thresholds::fit(scores, truth, request.map.as_ref(), &args.background, rule)?;
        reporter.print(&fitted.text());
        return Ok(());
    }
    let evaluation = protocol::evaluate(&request.prediction, &request.reference, request.map.as_ref(), rule)?;
    for path in &evaluation.unmatched {
        reporter.note(&format!("{} has no matching file and is left out.", path.display()));
    }
    if let Some((path, staged)) = staged {
        let here = staged.path(JSON).unwrap_or_else(|| path.clone());
        evaluation.write_json(&here).map_err(|error| staged.explain(error))?;
        staged.publish()?;
    }
    reporter.print(&evaluation.figures.table());
    Ok(())
}

/// The flags that decide the result, by name.
fn facts(args: &EvaluateArgs) -> Fingerprint {
    let ignored: Vec<String> = args.ignore.iter().map(|code| format!("{code:?}")).collect();
    command_facts(
        "evaluate",
        [
            ("--prediction", input(&args.prediction)),
            ("--reference", input(&args.reference)),
            ("--map", args.map.as_deref().and_then(input)),
            ("--ignore", (!ignored.is_empty()).then(|| ignored.join(", "))),
            ("--protocol", args.protocol.map(|protocol| format!("{protocol:?}"))),
            ("--reduce-zero-label", args.reduce_zero_label.then(|| "yes".to_owned())),
            ("--truth-threshold", args.truth_threshold.map(|threshold| threshold.to_string())),
            ("--layer", args.layer.clone()),
            ("--field", args.field.clone()),
            ("--all-are", args.all_are.clone()),
            ("--outside", args.outside.clone()),
        ],
    )
}
