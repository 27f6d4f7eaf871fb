//! `segearth change`: class transitions between two maps.

#![expect(clippy::indexing_slicing, reason = "cells of a matrix of classes × classes")]

use std::path::{Path, PathBuf};

use super::change_report;
use super::results::{Staged, command_facts, input};
use crate::atomic;
use crate::change::{Change, ChangedPieces, Comparison, ScorePair, Tolerance};
use crate::cli::ChangeArgs;
use crate::error::{Context, Error, Result};
use crate::evaluate::ClassMap;
use crate::location::is_remote;
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
        return Err(Error::input("--min-area is for polygons and pieces, and neither is asked for")
            .with_hint("Give --transition FROM:TO, --polygons NAME or --tolerance N too, or leave it out."));
    }
    if !args.foreground.is_empty() && args.tolerance.is_none() && !args.energy {
        return Err(Error::input("--foreground is for changed pieces and scores, and neither is asked for")
            .with_hint("Give --tolerance or --energy too, or leave it out."));
    }
    let scores = scores(args, &comparison)?;
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
    let made = make(args, &comparison, &chosen, &paths, Compared { pieces, scores }, reporter)
        .map_err(|error| staged.explain(error))?;
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
    if let (Some(path), Some(ChangedPieces { gone, new, pixels, .. })) = (&named.changed, changed) {
        let pieces = format!("{} pieces gone, {} new", grouped(gone), grouped(new));
        let detail = match (args.tolerance.is_some(), args.energy) {
            (true, false) => pieces,
            (true, true) => format!("{pieces}; {} pixels of them by their scores", grouped(pixels)),
            _ => format!("{} pixels", grouped(pixels)),
        };
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

/// What is compared besides the labels of pixels.
struct Compared {
    pieces: Option<Tolerance>,
    scores: Option<ScorePair>,
}

/// Opens the score rasters, where they were requested.
fn scores(args: &ChangeArgs, comparison: &Comparison) -> Result<Option<ScorePair>> {
    let Some([before, after]) = args.score_rasters() else { return Ok(None) };
    if args.scores.is_empty() {
        for (map, scores) in [(&args.before, &before), (&args.after, &after)] {
            if !is_remote(scores) && !scores.exists() {
                return Err(Error::input(format!(
                    "--energy compares scores, and beside {} there is no {}",
                    map.display(),
                    scores.display()
                ))
                .with_hint(
                    "Write scores with the map (`segment --scores FILE`, or `outputs: {scores: true}` in a job), or name both score rasters with --scores.",
                ));
            }
        }
    }
    comparison.scores(&before, &after, &args.foreground).map(Some)
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
    Compared { pieces, scores }: Compared,
    reporter: &Reporter,
) -> Result<Made> {
    let progress = reporter.progress("comparing", comparison.rows(), "rows");
    let mut change = comparison.run(&paths.raster, |rows| progress.advance(rows))?;
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
            transitions: comparison.ends(),
            ..vector::Options::default()
        };
        let summary = vector::polygonize(&paths.raster, None, &transitions, &skip, path, &options)?;
        notes = summary.notes;
        polygons = Some(summary.polygons);
        sketch = Some(summary.sketch);
    }
    let mut energy = None;
    if let Some(scores) = scores {
        notes.extend(scores.notes().iter().cloned());
        let progress = reporter.progress("comparing scores", 2 * comparison.rows(), "rows");
        let found = scores.energy(|rows| progress.advance(rows))?;
        change.thresholds = found.thresholds().to_vec();
        energy = Some(found);
    }
    let mut changed = None;
    if let Some(path) = &paths.changed {
        let scans = if pieces.is_some() { 2 } else { 1 };
        let progress = reporter.progress("marking changes", scans * comparison.rows(), "rows");
        let found = comparison.changed(path, pieces.as_ref(), energy.as_ref(), |rows| progress.advance(rows))?;
        if found.without_scores > 0 {
            let count = grouped(found.without_scores);
            notes.push(format!(
                "{count} pixels have labels but no scores at one of the dates: changed.tif has nodata there."
            ));
        }
        changed = Some(found);
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
            changed: (args.tolerance.is_some() || args.energy).then(|| here("changed.tif")),
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
        if let Some(path) = &self.changed {
            let mut facts = facts.clone();
            if let Some(tolerance) = args.pieces() {
                facts.set("--tolerance", format!("{tolerance:?}"));
            }
            if let Some(scores) = args.score_rasters() {
                facts.set("--scores", scores.iter().filter_map(|path| input(path)).collect::<Vec<_>>().join(", "));
                facts.set("--foreground", args.foreground.join(", "));
            }
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
        let scores = args.score_rasters().into_iter().flatten().collect::<Vec<_>>();
        let inputs: Vec<&PathBuf> =
            [&args.before, &args.after].into_iter().chain(args.map.as_ref()).chain(&scores).collect();
        for path in all.into_iter().chain(&self.polygons).chain(&self.changed) {
            for input in &inputs {
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
