//! `segearth vectorize`: vector products of a label raster.

use super::results::{Staged, command_facts, input};
use crate::cli::VectorizeArgs;
use crate::error::Result;
use crate::journal::Fingerprint;
use crate::outputs::{Existing, Product};
use crate::report::Reporter;
use crate::scene::{ClassNames, ProductOptions};
use crate::vector::{self, vectorize};

pub fn run(args: &VectorizeArgs, reporter: &Reporter) -> Result<()> {
    let options = args.options()?;
    let names = if options.layer_per_class { vector::class_names(&args.labels)? } else { ClassNames::default() };
    let facts = facts(args, &options);
    let mut products = vec![(
        "polygons",
        Product::vector(&args.output, args.recipe(), &options, &names, facts.clone())?.beside(&[&args.labels]),
    )];
    for (key, path) in [("graph", &options.graph), ("zones", &options.zone_table)] {
        products.extend(path.iter().map(|path| (key, Product::file(path, facts.clone()))));
    }
    let existing = if args.overwrite { Existing::Replace } else { Existing::Refuse };
    let staged = Staged::of_command(products, existing)?;
    let options = ProductOptions { graph: staged.path("graph"), zone_table: staged.path("zones"), ..options };
    let out = staged.path("polygons").unwrap_or_else(|| args.output.clone());
    let mut summary = vectorize(&args.labels, args.scores.as_deref(), &[], args.recipe(), &out, &options)
        .map_err(|error| staged.explain(error))?;
    summary.notes.iter_mut().for_each(|note| *note = staged.shown(note));
    staged.publish()?;
    summary.notes.iter().for_each(|note| reporter.note(note));
    reporter.products(&summary, &args.output);
    Ok(())
}

/// The flags that decide the result, by name.
fn facts(args: &VectorizeArgs, options: &ProductOptions) -> Fingerprint {
    let ProductOptions {
        classes,
        keep_background,
        diagonal,
        t_srs,
        layer_per_class,
        min_area,
        max_hole,
        opening,
        closing,
        tolerance,
        smooth,
        plain_outlines,
        least_iou,
        max_gap,
        min_length,
        min_spur,
        // The outputs' names do not decide their content.
        graph: _,
        subtract,
        zones,
        zone_field,
        zone_table: _,
        fields,
    } = options;
    let fields: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    let number = |value: &Option<f64>| value.map(|value| value.to_string());
    let flag = |value: &bool| value.then(|| "true".to_owned());
    command_facts(
        "vectorize",
        [
            ("labels", input(&args.labels)),
            ("--scores", args.scores.as_deref().and_then(input)),
            ("--recipe", Some(args.recipe().name().to_owned())),
            ("--class", (!classes.is_empty()).then(|| classes.join(", "))),
            ("--keep-background", flag(keep_background)),
            ("--diagonal", flag(diagonal)),
            ("--t-srs", t_srs.clone()),
            ("--layer-per-class", flag(layer_per_class)),
            ("--min-area", number(min_area)),
            ("--max-hole", number(max_hole)),
            ("--opening", number(opening)),
            ("--closing", number(closing)),
            ("--tolerance", number(tolerance)),
            ("--smooth", smooth.map(|smooth| smooth.to_string())),
            ("--plain-outlines", flag(plain_outlines)),
            ("--least-iou", number(least_iou)),
            ("--max-gap", number(max_gap)),
            ("--min-length", number(min_length)),
            ("--min-spur", number(min_spur)),
            ("--subtract", subtract.as_deref().and_then(input)),
            ("--zones", zones.as_deref().and_then(input)),
            ("--zone-field", zone_field.clone()),
            ("--field", (!fields.is_empty()).then(|| fields.join(", "))),
        ],
    )
}
