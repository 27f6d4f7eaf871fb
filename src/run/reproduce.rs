//! `segearth reproduce`: a data set of the paper from its published folder to a row beside the paper's figure.
//!
//! Tiles are virtual rasters below the output folder, so that images are neither copied nor changed; their labels are those of an
//! ordinary job over them, which resumes as every job does. A shard computes every N-th tile and counts nothing.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::job::{self, Purpose};
use super::partition::Share;
use super::prepared::{Options, PreparedJob};
use super::run_metrics::RunMetrics;
use super::stop::Stop;
use super::watch::Watch;
use crate::atomic;
use crate::cli::ReproduceArgs;
use crate::error::{Context, Error, Result};
use crate::evaluate::protocol::{self, Figures, Histograms, Pair};
use crate::geom::Window;
use crate::model;
use crate::pipeline::{self, ScenePlan};
use crate::raster;
use crate::report::Reporter;
use crate::reproduce::{self, DataSet, Found, JobOptions, Row, Sample};

/// The result of a data set, below its folder.
const ROW: &str = "row.json";

/// A tile of an image.
struct Tile {
    /// Name of the virtual raster without extension.
    name: String,
    sample: usize,
    window: Window,
}

pub fn run(
    args: &ReproduceArgs,
    trust: bool,
    options: Options,
    metrics: &RunMetrics,
    reporter: &Reporter,
) -> Result<()> {
    let set = DataSet::named(&args.data_set)?;
    let wanted = JobOptions { model: &args.model, pool: args.pool };
    let Some(data) = args.data.as_deref().filter(|_| !args.print_job) else {
        reporter.print(&set.job("images/*", wanted)?);
        return Ok(());
    };
    if args.options.workers.is_some() {
        return Err(Error::input("`reproduce` does not start workers itself").with_hint(
            "Start several processes with --shard 1/N to N/N, and the same command without --shard at the end.",
        ));
    }
    if options.memory.is_some() {
        model::memory::use_single_arena();
    }
    let mut found = set.find(data)?;
    let some: Vec<String> = found.samples.iter().take(3).map(|sample| sample.name.clone()).collect();
    found.samples.retain(|sample| args.takes(&sample.name));
    if found.samples.is_empty() {
        return Err(Error::input(format!("no image of {} has {} in its name", set.title, args.only.join(" or ")))
            .with_hint(format!("Names of images are such as {}.", some.join(", "))));
    }
    notes(set, &found, args).iter().for_each(|note| reporter.note(note));
    let folder = folder(set, args);
    let tiles = tiles(set, &found.samples, &folder.join("tiles"), reporter)?;
    if let Some(published) = set.tiles.filter(|count| args.only.is_empty() && *count != tiles.len()) {
        reporter.note(&format!("{} has {published} images in the paper; {} were found.", set.title, tiles.len()));
    }
    let job = write_job(set, wanted, &folder)?;
    let spec = pipeline::load(&job, &args.overrides(&folder.join("labels").to_string_lossy()))?;
    // Thousands of small images would each be told of.
    let silent = Reporter::silent();
    let existing = options.existing(args.options.shard.is_some());
    let job = job::prepare(&spec, trust, Purpose::Run, existing, &silent)?;
    segment(&job, args, options, Watch { stop: &Stop::listen()?, metrics, reporter: &silent }, reporter)?;
    if let Some(shard) = args.options.shard {
        reporter.note(&format!(
            "Shard {}/{} is finished; give the command without --shard when all are, to count.",
            shard.index, shard.count
        ));
        return Ok(());
    }
    let (counts, names) = count(set, &job, &found.samples, &tiles, reporter)?;
    let figures = counts.figures(&names);
    let row = row(set, args, &found, &tiles, &figures);
    let text = serde_json::to_vec_pretty(&row).internal(|| "a row cannot be written".into())?;
    atomic::write_file(&folder.join(ROW), &text)?;
    let rows = reproduce::rows(&args.output, ROW)?;
    atomic::write_file(&args.output.join("results.md"), reproduce::markdown(&rows).as_bytes())?;
    atomic::write_file(&args.output.join("results.csv"), reproduce::csv(&rows).as_bytes())?;
    reporter.print(&(figures.table() + "\n" + &reproduce::markdown(std::slice::from_ref(&row))));
    Ok(())
}

/// Where the results of a data set are: models and pools beside each other.
fn folder(set: &DataSet, args: &ReproduceArgs) -> PathBuf {
    let plain = |text: &str| text.trim_matches(['.', '/']).replace(|c: char| !c.is_alphanumeric() && c != '-', "_");
    let pool = if args.pool { "_pool" } else { "" };
    args.output.join(format!("{}_{}{pool}", set.name, plain(&args.model)))
}

/// What a reader of the figures should know of the images.
fn notes(set: &DataSet, found: &Found, args: &ReproduceArgs) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some((image, truth)) = found.without_truth.first() {
        let (count, example) = match found.without_truth.len() {
            1 => (format!("1 image of {} has no truth and is left out", set.title), ""),
            count => (format!("{count} images of {} have no truth and are left out", set.title), "for example "),
        };
        notes.push(format!(
            "{count}: {example}{}, for which there is no {}. The figure is not of the whole set.",
            image.display(),
            truth.display()
        ));
    }
    if found.missing > 0 {
        notes.push(format!(
            "The list of {} has {} more than the folder. The figure is not of the whole set.",
            set.title,
            images(found.missing)
        ));
    }
    if !args.only.is_empty() {
        notes.push(format!("--only takes {}: the paper's figure is of all.", images(found.samples.len())));
    }
    notes
}

fn images(count: usize) -> String {
    if count == 1 { "1 image".to_owned() } else { format!("{count} images") }
}

/// Cuts the images: writes their tiles, those that are there already excepted, and removes others.
fn tiles(set: &DataSet, samples: &[Sample], folder: &Path, reporter: &Reporter) -> Result<Vec<Tile>> {
    std::fs::create_dir_all(folder).input(|| format!("cannot make the folder {}", folder.display()))?;
    let progress = reporter.progress(&format!("reading {}", set.name), samples.len(), "images");
    let cut = samples
        .par_iter()
        .enumerate()
        .map(|(index, sample)| {
            let (info, truth) = (raster::inspect(&sample.image)?, raster::inspect(&sample.truth)?);
            if truth.size != info.size {
                return Err(Error::input(format!(
                    "{} has {} pixels and its truth {} has {}",
                    sample.image.display(),
                    info.size,
                    sample.truth.display(),
                    truth.size
                ))
                .with_hint("Unpack the data set again: one of the files is another one's."));
            }
            let windows = set.tiles_of(info.size);
            let single = windows.len() == 1;
            let tiles = windows.into_iter().map(|window| {
                let name = match single {
                    true => sample.name.clone(),
                    false => format!("{}_{}_{}", sample.name, window.row, window.col),
                };
                let path = folder.join(format!("{name}.vrt"));
                let text = raster::tile_vrt(&sample.image, &info, window)?;
                // A file that is written again would be another scene to a run that resumes.
                if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
                    atomic::write_file(&path, text.as_bytes())?;
                }
                Ok(Tile { name, sample: index, window })
            });
            let tiles = tiles.collect::<Result<Vec<_>>>();
            progress.advance(1);
            tiles
        })
        .collect::<Result<Vec<_>>>()?;
    let tiles: Vec<Tile> = cut.into_iter().flatten().collect();
    let names: BTreeSet<String> = tiles.iter().map(|tile| format!("{}.vrt", tile.name)).collect();
    if names.len() < tiles.len() {
        return Err(Error::internal(format!("two tiles of {} have one name", set.title)));
    }
    let unreadable = || format!("cannot list the folder {}", folder.display());
    for entry in std::fs::read_dir(folder).input(unreadable)? {
        let entry = entry.input(unreadable)?;
        // What an earlier run with other images has made.
        if entry.path().extension().is_some_and(|ending| ending == "vrt")
            && !names.contains(&*entry.file_name().to_string_lossy())
        {
            std::fs::remove_file(entry.path()).input(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(tiles)
}

/// Writes the job beside its tiles.
fn write_job(set: &DataSet, wanted: JobOptions<'_>, folder: &Path) -> Result<PathBuf> {
    // The folder of a bundle is meant from the current folder, the job's own is another.
    let bundle = Path::new(wanted.model).is_dir().then(|| std::path::absolute(wanted.model));
    let bundle = bundle.transpose().input(|| "cannot find the current folder".into())?;
    let model = bundle.map_or_else(|| wanted.model.to_owned(), |path| path.to_string_lossy().into_owned());
    let path = folder.join("job.yaml");
    atomic::write_file(&path, set.job("tiles/*.vrt", JobOptions { model: &model, ..wanted })?.as_bytes())?;
    Ok(path)
}

/// Segments the tiles, or this shard's.
fn segment(
    job: &PreparedJob,
    args: &ReproduceArgs,
    options: Options,
    watch: Watch<'_>,
    reporter: &Reporter,
) -> Result<()> {
    let own = |index: usize| args.options.shard.is_none_or(|shard| index % shard.count == shard.index - 1);
    let all = job.plan.scenes.iter().enumerate();
    let mine: Vec<(&ScenePlan, Share)> =
        all.filter(|(index, _)| own(*index)).map(|(_, scene)| (scene, Share::All)).collect();
    let progress = reporter.progress(&format!("segmenting {}", args.data_set), mine.len(), "tiles");
    let mut segmenter = job::loaded(job, watch.reporter)?;
    job::segment_shares(job, segmenter.as_mut(), options, mine, watch, &|_| progress.advance(1))
}

/// Counts all tiles; with the names of the classes.
fn count(
    set: &DataSet,
    job: &PreparedJob,
    samples: &[Sample],
    tiles: &[Tile],
    reporter: &Reporter,
) -> Result<(Histograms, Vec<String>)> {
    let rule = set.rule();
    let names: Vec<String> = job.classes.iter().map(|class| class.name.clone()).collect();
    let progress = reporter.progress(&format!("counting {}", set.name), tiles.len(), "tiles");
    let by_name: HashMap<&str, &Tile> = tiles.iter().map(|tile| (tile.name.as_str(), tile)).collect();
    let counts = job
        .plan
        .scenes
        .par_iter()
        .map(|scene| {
            let name = scene.info.path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let tile = by_name.get(name.as_str());
            let known = tile.and_then(|tile| Some((tile, samples.get(tile.sample)?)));
            let (tile, sample) = known.ok_or_else(|| Error::internal(format!("no tile is called {name}")))?;
            let pair =
                Pair { prediction: scene.outputs.labels.clone(), truth: sample.truth.clone(), part: Some(tile.window) };
            let counts = protocol::count(&pair, &rule, names.len());
            progress.advance(1);
            counts
        })
        .collect::<Result<Vec<_>>>()?;
    let mut all = Histograms::new(names.len());
    counts.iter().for_each(|counts| all.merge(counts));
    Ok((all, names))
}

fn row(set: &DataSet, args: &ReproduceArgs, found: &Found, tiles: &[Tile], figures: &Figures) -> Row {
    let percent = |share: Option<f64>| share.map(|share| 100.0 * share);
    Row {
        data_set: set.name.to_owned(),
        model: args.model.clone(),
        pool: args.pool,
        set: args.set.clone(),
        images: found.samples.len(),
        tiles: tiles.len(),
        only: args.only.clone(),
        miou: percent(figures.miou),
        mean_accuracy: percent(figures.mean_accuracy),
        overall_accuracy: percent(figures.overall_accuracy),
        foreground_iou: percent(figures.foreground_iou),
        classes: figures.classes.iter().map(|class| (class.class.clone(), percent(class.iou))).collect(),
    }
}
