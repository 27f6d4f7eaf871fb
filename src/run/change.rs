//! `segearth change`: class transitions between two maps.

#![expect(clippy::indexing_slicing, reason = "cells of a matrix of classes × classes")]

use std::path::{Path, PathBuf};

use super::change_report;
use super::results::{Staged, command_facts, input};
use crate::atomic;
use crate::change::{Change, ChangedPieces, Comparison, Tolerance};
use crate::cli::ChangeArgs;
use crate::error::{Context, Error, Result};
use crate::evaluate::ClassMap;
use crate::outputs::{Existing, Product};
use crate::preview::{self, Panel};
use crate::report::{AreaScale, Output, Reporter, grouped};
use crate::scene::{ClassInfo, ClassNames, ProductOptions, Recipe};
use crate::{crs, raster, vector};

/// Changes in the legend of the picture.
const LISTED: usize = 16;

pub fn run(args: &ChangeArgs, reporter: &Reporter) -> Result<()> {
    let map = args.map.as_deref().map(ClassMap::read).transpose()?;
    let comparison = Comparison::open(&args.before, &args.after, map.as_ref())?;
    let chosen = comparison.select(&args.transitions)?;
    let named = Paths::new(args);
    if let Some(polygons) = &named.polygons {
        vector::validate(comparison.crs_wkt(), polygons, &ProductOptions::default())?;
    }
    if args.min_area.is_some() && named.polygons.is_none() && args.tolerance.is_none() {
        return Err(Error::input("--min-area is for polygons and pieces, and neither are asked for")
            .with_hint("Give --polygons or --tolerance too, or leave it out."));
    }
    named.ready(args)?;
    let staged = named.staged(args)?;
    let here = |key: &str, named: &Path| staged.path(key).unwrap_or_else(|| named.to_owned());
    let paths = Paths {
        folder: named.folder.clone(),
        raster: here("raster", &named.raster),
        csv: here("csv", &named.csv),
        json: here("json", &named.json),
        picture: here("picture", &named.picture),
        report: here("report", &named.report),
        polygons: staged.path("polygons"),
        changed: staged.path("changed"),
    };
    let pieces = args.pieces();
    let made =
        make(args, &comparison, &chosen, &paths, pieces.as_ref(), reporter).map_err(|error| staged.explain(error))?;
    staged.publish()?;
    let Made { change, polygons, changed, notes } = made;
    notes.iter().for_each(|note| reporter.note(note));
    raster::take_warnings().iter().for_each(|warning| reporter.detail(warning));

    let output = |what, path| Output { what, path, detail: String::new() };
    let mut outputs = vec![output("transitions", named.raster.as_path())];
    if let (Some(path), Some(count)) = (&named.polygons, polygons) {
        let unit = if count == 1 { "polygon" } else { "polygons" };
        outputs.push(Output { detail: format!("{} {unit}", grouped(count)), ..output("polygons", path) });
    }
    if let (Some(path), Some(ChangedPieces { gone, new, .. })) = (&named.changed, changed) {
        let detail = format!("{} pieces gone, {} new", grouped(gone), grouped(new));
        outputs.push(Output { detail, ..output("changed", path) });
    }
    outputs.extend([
        output("table", &named.csv),
        output("figures", &named.json),
        output("picture", &named.picture),
        output("report", &named.report),
    ]);
    reporter.change(&change, &outputs);
    Ok(())
}

/// The result of a comparison.
struct Made {
    change: Change,
    /// Number of polygons, where they were requested.
    polygons: Option<u64>,
    /// Whole pieces that changed, where they were requested.
    changed: Option<ChangedPieces>,
    notes: Vec<String>,
}

/// Compares the maps and writes everything to `paths`.
fn make(
    args: &ChangeArgs,
    comparison: &Comparison,
    chosen: &[usize],
    paths: &Paths,
    pieces: Option<&Tolerance>,
    reporter: &Reporter,
) -> Result<Made> {
    let progress = reporter.progress("comparing", comparison.rows(), "rows");
    let change = comparison.run(&paths.raster, |rows| progress.advance(rows))?;
    drop(progress);
    let transitions = comparison.transitions();
    let (mut polygons, mut notes, mut sketch) = (None, Vec::new(), None);
    if let Some(path) = &paths.polygons {
        let skip: Vec<i64> =
            (0..transitions.len()).filter(|value| !chosen.contains(value)).map(|value| value as i64).collect();
        let options = vector::Options {
            min_area: args.min_area.unwrap_or(0.0),
            // As everywhere, those of one pixel are left out unless the user says otherwise.
            speck: u64::from(args.min_area.is_none()),
            ..vector::Options::default()
        };
        let summary = vector::polygonize(&paths.raster, None, &transitions, &skip, path, &options)?;
        notes = summary.notes;
        polygons = Some(summary.polygons);
        sketch = Some(summary.sketch);
    }
    let mut changed = None;
    if let (Some(path), Some(tolerance)) = (&paths.changed, pieces) {
        let progress = reporter.progress("comparing pieces", 2 * comparison.rows(), "rows");
        changed = Some(comparison.changed(path, tolerance, |rows| progress.advance(rows))?);
    }
    atomic::write_file(&paths.csv, change.csv().as_bytes())?;
    atomic::write_file(&paths.json, change.json()?.as_bytes())?;
    picture(&change, &transitions, paths)?;
    change_report::write(&paths.report, &paths.raster, &change, &transitions, sketch.as_ref())?;
    notes.extend(change.notes.iter().cloned());
    Ok(Made { change, polygons, changed, notes })
}

struct Paths {
    folder: PathBuf,
    raster: PathBuf,
    csv: PathBuf,
    json: PathBuf,
    picture: PathBuf,
    report: PathBuf,
    polygons: Option<PathBuf>,
    changed: Option<PathBuf>,
}

impl Paths {
    fn new(args: &ChangeArgs) -> Self {
        let folder = args.output.clone();
        let name = args.polygons.as_deref().or((!args.transitions.is_empty()).then_some(Path::new("change.gpkg")));
        let here = |name: &str| folder.join(name);
        Self {
            raster: here("change.tif"),
            csv: here("change.csv"),
            json: here("change.json"),
            picture: here("change.png"),
            report: here("change.html"),
            polygons: name.map(|name| folder.join(name)),
            changed: args.tolerance.map(|_| here("changed.tif")),
            folder,
        }
    }

    /// Begins all outputs, each in a hidden folder.
    fn staged(&self, args: &ChangeArgs) -> Result<Staged> {
        let mut facts = command_facts(
            "change",
            [
                ("before", input(&args.before)),
                ("after", input(&args.after)),
                ("--map", args.map.as_deref().and_then(input)),
            ],
        );
        let mut products = vec![
            ("raster", Product::labels(&self.raster, facts.clone())),
            ("csv", Product::file(&self.csv, facts.clone())),
            ("json", Product::file(&self.json, facts.clone())),
            ("picture", Product::raster(&self.picture, facts.clone())),
            ("report", Product::file(&self.report, facts.clone())),
        ];
        if let (Some(path), Some(tolerance)) = (&self.changed, args.pieces()) {
            let mut facts = facts.clone();
            facts.set("--tolerance", format!("{tolerance:?}"));
            products.push(("changed", Product::labels(path, facts)));
        }
        if let Some(path) = &self.polygons {
            facts.set("--transition", args.transitions.join(", "));
            if let Some(area) = args.min_area {
                facts.set("--min-area", area.to_string());
            }
            let options = ProductOptions::default();
            products.push((
                "polygons",
                Product::vector(path, Recipe::Plain, &options, &ClassNames::default(), facts)?.beside(&[&self.raster]),
            ));
        }
        Staged::of_command(products, if args.overwrite { Existing::Replace } else { Existing::Refuse })
    }

    /// Makes the folder and checks, before any work, that all outputs can be written and none of them is an input.
    fn ready(&self, args: &ChangeArgs) -> Result<()> {
        let style = self.raster.with_extension("qml");
        let all = [&self.raster, &style, &self.csv, &self.json, &self.picture, &self.report];
        if let Some(taken) = self.polygons.as_ref().filter(|polygons| all.contains(polygons)) {
            return Err(Error::input(format!(
                "the polygons and another result would both write to {}",
                taken.display()
            ))
            .with_hint("Give the polygons another name."));
        }
        for path in all.into_iter().chain(&self.polygons).chain(&self.changed) {
            for input in [Some(&args.before), Some(&args.after), args.map.as_ref()].into_iter().flatten() {
                if path.canonicalize().is_ok_and(|path| input.canonicalize().is_ok_and(|input| input == path)) {
                    return Err(Error::input(format!("the result would overwrite {}", input.display()))
                        .with_hint("Write to another folder with -o."));
                }
            }
        }
        std::fs::create_dir_all(&self.folder)
            .input(|| format!("cannot make the output folder {}", self.folder.display()))
            .map_err(|error| error.with_hint("Choose a folder in which you may write."))?;
        all.into_iter().chain(&self.polygons).chain(&self.changed).try_for_each(|path| atomic::check_writable(path))
    }
}

/// The map of transitions with a legend: the largest changes, then what stayed.
fn picture(change: &Change, transitions: &[ClassInfo], paths: &Paths) -> Result<()> {
    let info = raster::inspect(&paths.raster)?;
    let scale = crs::ground_of(info.size, info.georeference.as_ref()).and_then(|ground| ground.scale_bar());
    let classes = change.classes.len().max(1);
    let mut values = change.largest();
    values.truncate(LISTED);
    values.extend((0..change.cells.len()).filter(|v| v / classes == v % classes && change.cells[*v].pixels > 0));
    let whole = change.sum(|_, _| true);
    let legend: Vec<preview::Entry<'_>> = values
        .into_iter()
        .filter_map(|value| {
            let (class, cell) = (transitions.get(value)?, change.cells[value]);
            let share = 100.0 * cell.pixels as f64 / whole.pixels.max(1) as f64;
            let area = if change.has_areas {
                format!("  {}", AreaScale::new(whole.area).show(cell.area))
            } else {
                String::new()
            };
            // The preview's font has no arrow.
            let name = class.name.replace('→', "to");
            Some(preview::Entry { class, text: format!("{name} {share:.1} %{area}") })
        })
        .collect();
    let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let title = format!("{} to {}", file(&change.before), file(&change.after));
    let panels = [Panel::labels(&paths.raster, transitions)?];
    preview::write(&paths.picture, &panels, &legend, scale.as_ref(), &title)
}
