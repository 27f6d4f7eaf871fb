//! README and guides: their commands run, their jobs are valid, their links lead somewhere, and the pages that the program
//! prints are up to date.
//!
//! A fenced block needs no mark. One in `sh` is run, one in `yaml` is a job or the keys of one and is checked, one in `json` is
//! parsed, one in `text` is shown. A comment on the line above the fence says otherwise:
//!
//! | comment | meaning |
//! |---|---|
//! | `<!-- not run: REASON -->` | commands are parsed only: they need a download, a GPU, Slurm … |
//! | `<!-- exit N -->` | commands end with this exit code |
//! | `<!-- prints -->` | the text is what the commands before it print; `make reference` renews it |
//! | `<!-- file NAME -->` | the block is this file, and later commands of the page name it |
//! | `<!-- given: NAME … -->` | (anywhere) the page's commands find these files and folders, see [`given`] |

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{CommandFactory as _, Parser as _};
use gdal::vector::LayerAccess as _;
use gdal::{Dataset, DriverManager, Metadata as _};
use rayon::prelude::*;
use segearth::cli::Cli;

use crate::reproduce::write;
use crate::scenes::noise_scene;
use crate::workdir::{Workdir, files_below, repository};

/// With it, the tests write what they would compare.
const RENEW: &str = "SEGEARTH_RENEW_DOCS";
const STALE: &str = "is not what the program prints: `make reference` renews it";

/// Pages that the program prints, and with which arguments.
const GENERATED: [(&str, [&str; 2]); 2] = [
    ("docs/src/reference/jobs.md", ["reference", "jobs"]),
    ("docs/src/reference/commands.md", ["reference", "commands"]),
];

/// Programs that commands of the pages may call without being run.
const OTHERS: &[&str] = &[
    "sbatch",
    "cd",
    "export",
    "git",
    "sudo",
    "make",
    "cargo",
    "kubectl",
    "qgis",
    "gdalinfo",
    "gdalwarp",
    "gdal_translate",
    "docker",
    "apptainer",
    "pip",
    "tar",
];

fn renewing() -> bool {
    std::env::var_os(RENEW).is_some()
}

fn is_generated(page: &Path) -> bool {
    GENERATED.iter().any(|(name, _)| page == repository(name))
}

/// All Markdown files below a folder.
fn markdown(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of pages") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            markdown(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// README and all pages of the book.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![repository("README.md")];
    markdown(&repository("docs/src"), &mut pages);
    pages.sort();
    pages
}

fn shown(page: &Path) -> String {
    page.strip_prefix(repository("")).unwrap_or(page).display().to_string()
}

/// A fenced block.
struct Block {
    /// Of the opening fence, from 1.
    line: usize,
    language: String,
    /// What the comment above it says.
    mark: Option<String>,
    body: String,
}

/// The text between `<!--` and `-->` of a line that is a comment.
fn comment(line: &str) -> Option<&str> {
    Some(line.trim().strip_prefix("<!--")?.strip_suffix("-->")?.trim())
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // Blocks in lists are indented, and so are all their lines.
    let (mut above, mut open, mut indent) = ("", false, 0);
    for (index, line) in text.lines().enumerate() {
        match line.trim_start().strip_prefix("```") {
            Some(_) if open => open = false,
            Some(language) => {
                (open, indent) = (true, line.len() - line.trim_start().len());
                let mark = comment(above).map(str::to_owned);
                blocks.push(Block { line: index + 1, language: language.trim().to_owned(), mark, body: String::new() });
            }
            None if open => {
                if let Some(block) = blocks.last_mut() {
                    block.body.push_str(line.get(indent..).unwrap_or_default());
                    block.body.push('\n');
                }
            }
            None => {}
        }
        above = line;
    }
    blocks
}

/// Lines of a shell, joined where they end in a backslash, without comments.
fn lines(body: &str) -> Vec<String> {
    let whole = body.replace("\\\n", " ");
    let lines = whole.lines().map(|line| line.split(" # ").next().unwrap_or(line).trim().to_owned());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The words of the commands in a line of shell, as far as the pages use it: quotes, `;`, `&`, `|`, and no redirection.
fn commands(line: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let (mut quote, mut to_file) = (None, false);
    for c in line.chars().chain([';']) {
        if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '\'' | '"') {
            quote = Some(c);
            word.get_or_insert_default();
        } else if quote.is_some() || !" ;&|>".contains(c) {
            word.get_or_insert_default().push(c);
        } else {
            if let Some(word) = word.take()
                && !std::mem::take(&mut to_file)
            {
                words.push(word);
            }
            to_file |= c == '>';
            if matches!(c, ';' | '&' | '|') && !words.is_empty() {
                commands.push(std::mem::take(&mut words));
            }
        }
    }
    commands
}

/// What is wrong with a line that is not run.
fn parse(line: &str, targets: &BTreeSet<String>) -> Result<(), String> {
    for words in commands(line) {
        let first = words.first().map(String::as_str).unwrap_or_default();
        match first {
            "segearth" => parsed(&words)?,
            "segearth-model-bench" => {
                let all = ["segearth", "bench", "--model-only"].into_iter().map(str::to_owned);
                parsed(&all.chain(words.into_iter().skip(1)).collect::<Vec<_>>())?;
            }
            "make" => {
                for word in words.iter().skip(1).filter(|word| !word.contains('=')) {
                    if !targets.contains(word) {
                        return Err(format!("the Makefile has no target {word}"));
                    }
                }
            }
            first if OTHERS.contains(&first) || first.contains('=') => {}
            other => return Err(format!("{other} is a program that the pages do not use elsewhere")),
        }
    }
    Ok(())
}

/// Fails where clap refuses the words; help and version are no refusal.
fn parsed(words: &[String]) -> Result<(), String> {
    match Cli::try_parse_from(words) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// The targets of the Makefile.
fn targets() -> BTreeSet<String> {
    let text = fs::read_to_string(repository("Makefile")).expect("the Makefile");
    let names = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name);
    names.filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-')).map(str::to_owned).collect()
}

/// A rectangle on the piece of the sample scene.
const AREA: &str = "{\"type\":\"FeatureCollection\",\"features\":[{\"type\":\"Feature\",\"properties\":{\"name\":\"north\"},\
                    \"geometry\":{\"type\":\"Polygon\",\"coordinates\":[[[-54.63,-25.40],[-54.50,-25.40],[-54.50,-25.36],\
                    [-54.63,-25.36],[-54.63,-25.40]]]}}]}";

/// Files that pages are given, made once: a scene of each name, and what one run makes of it.
fn given() -> Workdir {
    let work = Workdir::new();
    // Lake, forest, fields and a little of the city; the second date is a piece beside it in the same place.
    for (name, col, row) in [("scene.tif", 250, 800), ("before.tif", 250, 800), ("after.tif", 270, 790)] {
        cut(&work.path(name), col, row);
    }
    work.ok([
        "segment",
        "scene.tif",
        "--classes",
        "water,lake; forest,trees; fields,farmland; building,city; road",
        "-o",
        "labels.tif",
        "--scores",
        "scores.tif",
    ]);
    fs::copy(work.path("labels.tif"), work.path("truth.tif")).expect("a copy of the labels");
    for name in ["rivers.geojson", "districts.geojson"] {
        work.write(name, AREA);
    }
    loveda(&work.path("LoveDA"));
    work
}

/// A data set in LoveDA's folders: the two halves of the village.
fn loveda(folder: &Path) {
    let part = |name: &str, bands: usize, col: usize| -> Vec<Vec<u8>> {
        let dataset = Dataset::open(repository("sample_data").join(name)).expect("sample data");
        let side = (512, 512);
        let read = |band| dataset.rasterband(band).and_then(|band| band.read_as((col as isize, 0), side, side, None));
        (1..=bands).map(|band| read(band).expect("pixels").data().to_vec()).collect()
    };
    for (name, col) in [("2522.png", 0), ("2523.png", 512)] {
        let rural = folder.join("Val/Rural");
        write(&rural.join("images_png").join(name), (512, 512), &part("village.tif", 3, col));
        let of = |name: &str| part(name, 1, col).remove(0);
        // 0 is no data, 1 the background, 2 buildings, 3 roads.
        let truth = of("village_buildings.tif").into_iter().zip(of("village_roads.tif"));
        let truth = truth.map(|found| match found {
            (1, _) => 2,
            (_, 1) => 3,
            _ => 1,
        });
        write(&rural.join("masks_png").join(name), (512, 512), &[truth.collect()]);
    }
}

/// A piece of 192 × 160 pixels of the sample scene, at the place of the first one.
fn cut(path: &Path, col: usize, row: usize) {
    let source = repository("sample_data/itaipu.tif");
    let scene = Dataset::open(&source).expect("the sample scene");
    let [left, width, _, top, _, height] = scene.geo_transform().expect("a geotransform");
    let (left, top) = (left + 250.0 * width, top + 800.0 * height);
    let mut bands = String::new();
    for (index, colour) in ["Blue", "Green", "Red"].into_iter().enumerate() {
        let _ = write!(
            bands,
            "<VRTRasterBand dataType=\"UInt16\" band=\"{band}\"><NoDataValue>0</NoDataValue><ColorInterp>{colour}</ColorInterp>\
             <SimpleSource><SourceFilename>{}</SourceFilename><SourceBand>{band}</SourceBand>\
             <SrcRect xOff=\"{col}\" yOff=\"{row}\" xSize=\"192\" ySize=\"160\"/>\
             <DstRect xOff=\"0\" yOff=\"0\" xSize=\"192\" ySize=\"160\"/></SimpleSource></VRTRasterBand>",
            source.display(),
            band = index + 1
        );
    }
    let vrt = format!(
        "<VRTDataset rasterXSize=\"192\" rasterYSize=\"160\"><SRS>EPSG:32621</SRS>\
         <GeoTransform>{left},{width},0,{top},0,{height}</GeoTransform>{bands}</VRTDataset>"
    );
    let piece = Dataset::open(vrt).expect("a piece of the sample scene");
    let driver = DriverManager::get_driver_by_name("GTiff").expect("the GeoTIFF driver");
    piece.create_copy(&driver, path, &Default::default()).expect("a copy").close().expect("a whole scene");
}

/// A page with a folder of its own, in which its commands are run one after another.
struct Run<'a> {
    page: &'a Path,
    given: &'a Workdir,
    text: String,
    work: Workdir,
    /// What the last commands printed.
    printed: Option<String>,
    faults: String,
    /// Lines of the page that are to be replaced: the first, how many, by what.
    renewed: Vec<(usize, usize, String)>,
}

impl<'a> Run<'a> {
    fn new(page: &'a Path, given: &'a Workdir) -> Self {
        let text = fs::read_to_string(page).expect("a page");
        let work = Workdir::new();
        for folder in ["sample_data", "pipelines"] {
            std::os::unix::fs::symlink(repository(folder), work.path(folder)).expect("a link");
        }
        let mut run = Run { page, given, text, work, printed: None, faults: String::new(), renewed: Vec::new() };
        let names = run.text.lines().filter_map(comment).filter_map(|comment| comment.strip_prefix("given:"));
        let names: Vec<String> = names.flat_map(str::split_whitespace).map(str::to_owned).collect();
        for name in names.iter().map(String::as_str).chain(["scene.tif"]) {
            let from = given.path(name);
            if from.is_dir() {
                for (path, (content, _)) in files_below(&from) {
                    let below = path.strip_prefix(given.path("")).expect("a path below");
                    run.work.write(&below.to_string_lossy(), content);
                }
            } else if from.is_file() {
                fs::copy(&from, run.work.path(name)).expect("a copy of what is given");
            } else {
                run.report(1, &format!("the tests give no file {name}"));
            }
        }
        run
    }

    fn report(&mut self, line: usize, what: &str) {
        let _ = writeln!(self.faults, "{}:{line}: {what}", shown(self.page));
    }

    /// Runs, checks or parses every block.
    fn blocks(&mut self) {
        let blocks = blocks(&self.text);
        let targets = targets();
        for (index, block) in blocks.iter().enumerate() {
            let mark = block.mark.as_deref().unwrap_or_default();
            let mark = if mark.starts_with("given:") { "" } else { mark };
            let (kind, rest) = mark.split_once([' ', ':']).unwrap_or((mark, ""));
            match (block.language.as_str(), kind) {
                ("sh", "not") => {
                    for line in lines(&block.body) {
                        if let Err(error) = parse(&line, &targets) {
                            self.report(block.line, &format!("{line}\n{error}"));
                        }
                    }
                }
                ("sh", "") => self.shell(block, 0),
                ("sh", "exit") => self.shell(block, rest.trim().parse().unwrap_or(-1)),
                ("text", "prints") => self.prints(block),
                ("text" | "yaml" | "json", "file") => {
                    self.work.write(rest, &block.body);
                    let later = blocks.get(index + 1..).unwrap_or_default();
                    let run = |block: &&Block| {
                        block.language == "sh" && !block.mark.as_deref().is_some_and(|mark| mark.starts_with("not"))
                    };
                    if !later.iter().filter(run).any(|block| block.body.contains(rest)) {
                        self.report(block.line, &format!("no command that is run names the file {rest}"));
                    }
                }
                ("yaml", "") => self.job(block),
                ("json", "") => {
                    if let Err(error) = serde_json::from_str::<serde_json::Value>(&block.body) {
                        self.report(block.line, &format!("not JSON: {error}"));
                    }
                }
                ("text", "") => {
                    let command =
                        |line: &str| ["segearth ", "make ", "$ "].iter().any(|start| line.trim().starts_with(start));
                    if block.body.lines().any(command) {
                        self.report(block.line, "a command in a block of text is not run: make it `sh`");
                    }
                }
                (language, _) => {
                    let message = format!(
                        "a block in {language:?} marked {mark:?} is not known to tests/it/docs.rs: it is `sh`, `yaml`, `json` or `text`"
                    );
                    self.report(block.line, &message);
                }
            }
        }
    }

    fn shell(&mut self, block: &Block, code: i32) {
        let mut command = Command::new("bash");
        let model = self.work.command(["--version"]);
        command.current_dir(self.work.path("")).args(["-euo", "pipefail", "-c", &block.body]);
        command.envs(model.get_envs().filter_map(|(name, value)| Some((name, value?))));
        for (name, _) in model.get_envs().filter(|(_, value)| value.is_none()) {
            command.env_remove(name);
        }
        // The same on machines with a GPU and without.
        command.env("CUDA_VISIBLE_DEVICES", "");
        // One cache for all pages: the model is unpacked once.
        command.env("SEGEARTH_CACHE", self.given.path("cache"));
        let binary = Path::new(env!("CARGO_BIN_EXE_segearth"));
        let folders = binary.parent().map(Path::to_owned).into_iter();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = folders.chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).expect("folders of programs"));
        let output = command.output().expect("bash starts");
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&self.work.path("").display().to_string(), "/data/");
        let printed = text(&output.stdout) + &text(&output.stderr);
        if output.status.code() != Some(code) {
            let message = format!("exit code {:?} in place of {code}\n{}{printed}", output.status.code(), block.body);
            self.report(block.line, &message);
        }
        self.printed = Some(printed);
    }

    /// The text is what was printed, but for times.
    fn prints(&mut self, block: &Block) {
        let Some(printed) = self.printed.clone() else {
            return self.report(block.line, "no commands before this print anything");
        };
        if timeless(&printed) == timeless(&block.body) {
            return;
        }
        if renewing() {
            let text = printed.trim_end_matches('\n').to_owned();
            self.renewed.push((block.line, block.body.lines().count(), text));
        } else {
            self.report(block.line, &format!("this {STALE}\n{printed}"));
        }
    }

    /// Keys that a block leaves out are those of a small job.
    fn job(&mut self, block: &Block) {
        let mut job = block.body.clone();
        for (key, line) in [
            ("model", "model: mini"),
            ("scene", "scene: scene.tif"),
            ("classes", "classes: [water, 'forest,trees', fields, road, 'building,roof']"),
        ] {
            if !block.body.lines().any(|line| line.starts_with(&format!("{key}:"))) {
                let _ = writeln!(job, "{line}");
            }
        }
        self.work.write("block.yaml", job);
        let ran = self.work.run_with(
            ["check", "block.yaml", "--overwrite"],
            &[("SEGEARTH_CACHE", &self.given.path("cache").display().to_string())],
        );
        if ran.code != 0 {
            self.report(block.line, &format!("not a valid job\n{}", ran.stderr));
        }
    }

    fn renew(&self) {
        if self.renewed.is_empty() {
            return;
        }
        let mut lines: Vec<&str> = self.text.lines().collect();
        for (first, count, text) in self.renewed.iter().rev() {
            lines.splice(*first..*first + *count, [text.as_str()]);
        }
        fs::write(self.page, lines.join("\n") + "\n").expect("a page");
    }
}

/// A text without what differs from run to run and between machines: times, rates, amounts of memory, and the blanks around
/// them.
fn timeless(text: &str) -> String {
    let mut words: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let unit = word.trim_end_matches([',', '.', ';', ')']);
        if matches!(unit, "s" | "ms" | "min" | "MB" | "GB" | "windows/s")
            && words.last().is_some_and(|last| last.parse::<f64>().is_ok())
        {
            words.pop();
        }
        words.push(word);
    }
    words.join(" ")
}

#[test]
fn pages_run_as_written() {
    let pages: Vec<PathBuf> = pages().into_iter().filter(|page| !is_generated(page)).collect();
    let given = given();
    // Most of a short command's time is spent on loading libtorch, which waits more than it computes.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().expect("four threads");
    let runs: Vec<Run<'_>> = pool.install(|| {
        let run = pages.par_iter().with_max_len(1).map(|page| {
            let mut run = Run::new(page, &given);
            run.blocks();
            run
        });
        run.collect()
    });
    runs.iter().for_each(Run::renew);
    let faults: String = runs.iter().map(|run| run.faults.as_str()).collect();
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn generated_pages_are_current() {
    let work = Workdir::new();
    for (page, args) in GENERATED {
        let printed = work.ok(args).stdout;
        if renewing() {
            fs::write(repository(page), &printed).expect("a page");
        }
        let committed = fs::read_to_string(repository(page)).unwrap_or_default();
        assert!(committed == printed, "{page} {STALE}");
    }
}

/// Every variable that the program reads is on the page, and no other of its own.
#[test]
fn environment_page_lists_every_variable() {
    let page = fs::read_to_string(repository("docs/src/reference/environment.md")).expect("the page");
    let listed: BTreeSet<String> = own_variables(&page);
    let mut sources = Vec::new();
    for folder in ["src", "crates"] {
        rust(&repository(folder), &mut sources);
    }
    let mut read = BTreeSet::new();
    for text in sources {
        // Tags of results have the same beginning and stand in the page of files.
        let program = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&text).to_owned();
        read.extend(own_variables(&program));
    }
    let tags = fs::read_to_string(repository("docs/src/reference/files.md")).expect("the page");
    let tags = own_variables(&tags);
    let missing: Vec<&String> = read.iter().filter(|name| !(listed.contains(*name) || tags.contains(*name))).collect();
    assert!(missing.is_empty(), "neither a variable nor a tag of the reference: {missing:?}");
    let gone: Vec<&String> = listed.iter().filter(|name| !read.contains(*name)).collect();
    assert!(gone.is_empty(), "the program reads none of {gone:?}");
}

/// Events and keys of a log, metrics and their labels: those of a run are on the page.
#[test]
fn logs_page_lists_every_key() {
    let page = fs::read_to_string(repository("docs/src/reference/logs.md")).expect("the page");
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 60, 40);
    work.write("job.yaml", "model: fake:null\nscene: scene.tif\nclasses: [a, b]\n");
    let ran = work.ok(["run", "job.yaml", "-v", "--log", "json", "--metrics", "m.prom"]);
    let mut names = BTreeSet::new();
    for line in ran.stdout.lines().chain(ran.stderr.lines()) {
        let object: serde_json::Value = serde_json::from_str(line).expect("an object a line");
        names.extend(object["event"].as_str().map(str::to_owned));
        let inner = ["classes", "outputs"].into_iter().filter_map(|key| object[key].as_array()).flatten();
        let objects = std::iter::once(&object).chain(inner).filter_map(serde_json::Value::as_object);
        names.extend(objects.flat_map(|object| object.keys().cloned()));
    }
    let metrics = fs::read_to_string(work.path("m.prom")).expect("metrics");
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once('{').expect("a label");
        names.insert(name.to_owned());
        names.extend(labels.split('"').skip(1).step_by(2).filter(|value| *value != "m").map(str::to_owned));
    }
    let missing: Vec<&String> = names.iter().filter(|name| !page.contains(&format!("`{name}"))).collect();
    assert!(missing.is_empty() && names.len() > 30, "not on the page: {missing:?} of {names:?}");
}

/// Layers, fields, tags and keys of what the program writes are on the page of files.
#[test]
fn files_page_lists_every_field() {
    let page = fs::read_to_string(repository("docs/src/reference/files.md")).expect("the page");
    let work = Workdir::new();
    noise_scene(&work.path("scene.tif"), 60, 40);
    work.write("zones.geojson", AREA);
    work.write(
        "job.yaml",
        "model: fake:identity\nscene: scene.tif\nclasses: [building, road, water]\noutputs: {folder: out}\n",
    );
    for line in [
        "segment scene.tif --model fake:identity -c building;road;water -o labels.tif --scores scores.tif",
        "vectorize labels.tif --scores scores.tif --recipe buildings --min-area 0 -o buildings.gpkg",
        "vectorize labels.tif --scores scores.tif --recipe roads --min-area 0 --min-length 0 --graph g.graphml -o roads.gpkg",
        "vectorize labels.tif --recipe water --zones zones.geojson -o water.gpkg",
        "change labels.tif labels.tif -o change",
        "evaluate --prediction labels.tif --reference labels.tif --json figures.json",
        "run job.yaml --shard 1/2",
    ] {
        work.ok(line.split(' '));
    }
    let read = |name: &str| fs::read_to_string(work.path(name)).expect("a file");
    let mut names = BTreeSet::new();
    for file in ["buildings.gpkg", "roads.gpkg", "water.gpkg"] {
        let dataset = Dataset::open(work.path(file)).expect("a GeoPackage");
        for layer in dataset.layers() {
            names.extend(Some(layer.name()).filter(|name| !file.starts_with(name.as_str())));
            names.extend(layer.defn().fields().map(|field| field.name()));
        }
    }
    let labels = Dataset::open(work.path("labels.tif")).expect("labels");
    let change = Dataset::open(work.path("change/change.tif")).expect("transitions");
    let tags = [&labels, &change].into_iter().flat_map(|dataset| dataset.metadata_domain("").unwrap_or_default());
    names.extend(
        tags.filter_map(|tag| Some(tag.split_once('=')?.0.to_owned())).filter(|tag| tag.starts_with("SEGEARTH")),
    );
    for table in ["water_zones.csv", "change/change.csv"] {
        names.extend(read(table).lines().next().unwrap_or_default().split(',').map(str::to_owned));
    }
    names.extend(
        read("g.graphml").split("attr.name=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())),
    );
    for file in ["change/change.json", "figures.json"] {
        json_keys(&serde_json::from_str(&read(file)).expect("JSON"), &mut names);
    }
    // The facts of a run are named by what they are.
    let mut record: serde_json::Value = serde_json::from_str(&read(".segearth/labels.tif.json")).expect("a record");
    record["writes"][0]["run"] = serde_json::Value::Null;
    let mut journal: serde_json::Value = serde_yaml(&read("out/scene_labels.tif.unfinished/journal.yaml"));
    journal["run"] = serde_json::Value::Null;
    let mut card = serde_yaml(&work.ok(["model", "inspect", "mini"]).stdout);
    card["files"] = serde_json::Value::Null;
    card["provenance"]["sources"] = serde_json::Value::Null;
    for value in [record, journal, card] {
        json_keys(&value, &mut names);
    }
    let missing: Vec<&String> = names.iter().filter(|name| !page.contains(&format!("`{name}"))).collect();
    assert!(missing.is_empty() && names.len() > 70, "not on the page: {missing:?} of {names:?}");
}

fn serde_yaml(text: &str) -> serde_json::Value {
    serde_yaml::from_str(text).expect("YAML")
}

fn json_keys(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(keys) => {
            found.extend(keys.keys().cloned());
            keys.values().for_each(|value| json_keys(value, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|value| json_keys(value, found)),
        _ => {}
    }
}

/// All names such as `SEGEARTH_CACHE` in a text.
fn own_variables(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| -> String {
        let end =
            rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default().to_owned()
    };
    let names = text.match_indices("SEGEARTH_").map(|(at, _)| name(text.get(at..).unwrap_or_default()));
    names.filter(|name| !name.ends_with('_')).collect()
}

/// The texts of all Rust files below a folder, tests left out.
fn rust(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["tests", "testing"].contains(&name.as_str()) {
                rust(&path, found);
            }
        } else if name.ends_with(".rs") && !["tests.rs", "testing.rs"].contains(&name.as_str()) {
            found.push(fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// Links to files and to headings, and paths of sources, in the pages and in the other papers of the repository.
#[test]
fn links_lead_somewhere() {
    let mut all = pages();
    for name in ["CONTRIBUTING.md", "ARCHITECTURE.md", "BENCHMARKS.md", "CHANGELOG.md", "models/README.md"] {
        all.extend(Some(repository(name)).filter(|path| path.exists()));
    }
    let mut faults = String::new();
    let summary = fs::read_to_string(repository("docs/src/SUMMARY.md")).expect("the summary");
    for page in &all {
        let text = fs::read_to_string(page).expect("a page");
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            let Ok(there) = fs::read_to_string(&target).or_else(|_| fs::metadata(&target).map(|_| String::new()))
            else {
                let _ = writeln!(faults, "{}: {link} leads nowhere", shown(page));
                continue;
            };
            if !anchor.is_empty() && !there.lines().any(|line| line.starts_with('#') && heading(line) == anchor) {
                let _ = writeln!(faults, "{}: {link} names no heading", shown(page));
            }
        }
        for path in text.split('`').skip(1).step_by(2).filter(|code| is_source(code)) {
            if !repository(path).exists() && !repository("src").join(path).exists() {
                let _ = writeln!(faults, "{}: there is no file {path}", shown(page));
            }
        }
        let of_book = page.strip_prefix(repository("docs/src")).ok().filter(|page| !page.ends_with("SUMMARY.md"));
        if let Some(page) = of_book
            && !summary.contains(&format!("({})", page.display()))
        {
            let _ = writeln!(faults, "docs/src/SUMMARY.md does not list {}", page.display());
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

/// Whether inline code is the path of a source file, such as `pipeline/spec.rs` or `scripts/docs.sh`.
fn is_source(code: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "/._-".contains(c);
    code.contains('/') && [".rs", ".sh", ".toml"].iter().any(|end| code.ends_with(end)) && code.chars().all(plain)
}

/// Targets of `[…](…)` outside of fenced blocks and inline code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            open = !open;
        }
        let mut rest = if open { "" } else { line };
        while let Some((_, after)) = rest.split_once("](") {
            let Some((link, after)) = after.split_once(')') else { break };
            found.push(link.to_owned());
            rest = after;
        }
    }
    found
}

/// The anchor of a heading, as mdBook and GitHub make it.
fn heading(line: &str) -> String {
    let text = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|c| c.is_alphanumeric() || "_-".contains(*c)).collect()
}

/// Options in inline code exist, and commands there have a name.
#[test]
fn inline_options_exist() {
    let mut known = BTreeSet::new();
    options(&Cli::command(), &mut known);
    let mut faults = String::new();
    for page in pages().iter().filter(|page| !is_generated(page)) {
        let text = fs::read_to_string(page).expect("a page");
        let mut open = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                open = !open;
            }
            let codes = if open { "" } else { line }.split('`').skip(1).step_by(2);
            for code in codes.filter(|code| code.starts_with("--") || code.starts_with("segearth ")) {
                let used = code.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
                for option in used.map(|word| word.split(['=', '…', ',']).next().unwrap_or(word)) {
                    if !known.contains(option) {
                        let _ = writeln!(faults, "{}:{}: there is no option {option}", shown(page), index + 1);
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
}

fn options(command: &clap::Command, found: &mut BTreeSet<String>) {
    found.extend(command.get_arguments().filter_map(|arg| Some(format!("--{}", arg.get_long()?))));
    found.extend(["--help", "--version"].map(str::to_owned));
    command.get_subcommands().for_each(|command| options(command, found));
}

#[test]
fn blocks_are_told_by_language_and_mark() {
    let text = "a\n<!-- exit 1 -->\n```sh\nx\ny\n```\n\n```yaml\nk: v\n```\n";
    let found: Vec<_> =
        blocks(text).into_iter().map(|block| (block.line, block.language, block.mark, block.body)).collect();
    let expected = [
        (3, "sh".to_owned(), Some("exit 1".to_owned()), "x\ny\n".to_owned()),
        (8, "yaml".to_owned(), None, "k: v\n".to_owned()),
    ];
    assert_eq!(found, expected);
    assert_eq!(commands("segearth a 'b; c' > out.yaml & make x"), [vec!["segearth", "a", "b; c"], vec!["make", "x"]]);
    assert_eq!(timeless("in 3.3 s, 94.5 windows/s on cpu"), timeless("in 7 s, 8 windows/s on cpu"));
}
