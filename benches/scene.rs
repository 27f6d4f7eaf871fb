//! Whole scenes through the real program with a model that answers nothing: what reading, blending, labelling and writing take.
//!
//! `cargo bench --bench scene` runs a scene of 10,000 × 10,000 pixels; `cargo bench --bench scene -- 10000x10000 30000x3000`
//! those sizes. Fourteen queries, windows of 224 at stride 112.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking, and prints"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use gdal::DriverManager;
use gdal::raster::{Buffer, RasterCreationOptions};

/// Side of the picture that scenes repeat.
const TILE: usize = 3000;
const ROUNDS: usize = 3;

fn main() {
    let mut sizes: Vec<(usize, usize)> = std::env::args().skip(1).filter_map(|word| size(&word)).collect();
    if sizes.is_empty() {
        sizes.push((10_000, 10_000));
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    picture(&folder.path().join("tile.tif"));
    for (width, height) in sizes {
        scene(&folder.path().join("scene.vrt"), width, height);
        let mut rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| run(folder.path())).collect();
        rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (seconds, _) = rounds[ROUNDS / 2];
        let peak = rounds.iter().map(|round| round.1).fold(0.0, f64::max) / 1e9;
        let across = |side: usize| side.saturating_sub(224).div_ceil(112) + 1;
        let rate = (across(width) * across(height)) as f64 / seconds;
        let (fastest, slowest) = (rounds[0].0, rounds[ROUNDS - 1].0);
        println!(
            "{width} × {height}: {rate:.0} windows/s, {seconds:.1} s ({fastest:.1} to {slowest:.1}), {peak:.2} GB at the most"
        );
    }
}

fn size(word: &str) -> Option<(usize, usize)> {
    let (width, height) = word.split_once('x')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// Three bands of soft hills with some grain.
fn picture(path: &Path) {
    let options = RasterCreationOptions::from_iter(["TILED=YES", "COMPRESS=DEFLATE", "PHOTOMETRIC=RGB"]);
    let driver = DriverManager::get_driver_by_name("GTiff").expect("GDAL's GeoTIFF");
    let made = driver.create_with_band_type_with_options::<u8, _>(path, TILE, TILE, 3, &options);
    let dataset = made.expect("a picture");
    for band in 0..3 {
        let value = |at: usize| {
            let (row, col) = ((at / TILE) as f64, (at % TILE) as f64);
            let hills = (row / 97.0 + band as f64).sin() * (col / 61.0).cos();
            let grain = ((at as u32).wrapping_mul(2_654_435_761) >> 28) as f64;
            (110.0 + 80.0 * hills + grain) as u8
        };
        let mut pixels = Buffer::new((TILE, TILE), (0..TILE * TILE).map(value).collect());
        let mut band = dataset.rasterband(band + 1).expect("a band");
        band.write((0, 0), (TILE, TILE), &mut pixels).expect("pixels");
    }
    dataset.close().expect("a whole file");
}

/// A VRT that repeats the picture.
fn scene(path: &Path, width: usize, height: usize) {
    let mut text = format!(
        "<VRTDataset rasterXSize=\"{width}\" rasterYSize=\"{height}\"><SRS>EPSG:32632</SRS>\
         <GeoTransform>350000, 0.3, 0, 5650000, 0, -0.3</GeoTransform>"
    );
    for (band, colour) in (1..).zip(["Red", "Green", "Blue"]) {
        let _ = write!(text, "<VRTRasterBand dataType=\"Byte\" band=\"{band}\"><ColorInterp>{colour}</ColorInterp>");
        for (row, col) in (0..height).step_by(TILE).flat_map(|row| (0..width).step_by(TILE).map(move |col| (row, col)))
        {
            let _ = write!(
                text,
                "<SimpleSource><SourceFilename relativeToVRT=\"1\">tile.tif</SourceFilename><SourceBand>{band}</SourceBand>\
                 <SourceProperties RasterXSize=\"{TILE}\" RasterYSize=\"{TILE}\" DataType=\"Byte\" BlockXSize=\"256\" \
                 BlockYSize=\"256\"/><SrcRect xOff=\"0\" yOff=\"0\" xSize=\"{TILE}\" ySize=\"{TILE}\"/>\
                 <DstRect xOff=\"{col}\" yOff=\"{row}\" xSize=\"{TILE}\" ySize=\"{TILE}\"/></SimpleSource>"
            );
        }
        text.push_str("</VRTRasterBand>");
    }
    text.push_str("</VRTDataset>");
    std::fs::write(path, text).expect("a scene");
}

/// Seconds of a run from beginning to end, and the bytes that it took at the most.
fn run(folder: &Path) -> (f64, f64) {
    let classes = ('a'..='n').map(String::from).collect::<Vec<_>>().join(", ");
    let job = format!("model: fake:null\nscene: scene.vrt\nclasses: [{classes}]\noutputs: {{folder: out}}\n");
    std::fs::write(folder.join("job.yaml"), job).expect("a job");
    let start = Instant::now();
    let ended = Command::new(env!("CARGO_BIN_EXE_segearth"))
        .args(["run", "job.yaml", "--overwrite", "--quiet", "--metrics", "run.prom"])
        .current_dir(folder)
        .output()
        .expect("the program starts");
    let seconds = start.elapsed().as_secs_f64();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let metrics = std::fs::read_to_string(folder.join("run.prom")).expect("metrics");
    let peak = metrics.lines().find(|line| line.starts_with("segearth_peak_memory_bytes"));
    (seconds, peak.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(f64::NAN))
}
