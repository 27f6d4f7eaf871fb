//! Scenes whose bands are files of their own: which of a folder's files are wanted, by their names alone.

use std::path::{Path, PathBuf};

use super::words::quoted;
use crate::scene::{BandFiles, Designation, Sensor, Spectrum, described, designation, sensor_of};

/// Endings of rasters with a band a file.
const EXTENSIONS: [&str; 6] = ["tif", "tiff", "jp2", "img", "vrt", "png"];
/// What is taken where a job names no bands.
const COLOURS: [&str; 3] = ["red", "green", "blue"];

/// A file whose name says which band it holds.
struct BandFile<'a> {
    path: &'a Path,
    /// The part of the name that says so: `B04`, `SR_B4`, `red`.
    band: String,
    designation: Option<Designation>,
    part: Option<Spectrum>,
    /// The rest of the name: files of one scene have the same.
    rest: String,
}

/// Why files are no scene, and the way out.
#[derive(Debug)]
pub(super) struct NotAScene {
    pub message: String,
    pub hint: String,
}

/// The wanted bands among these files; `None` where they are no band files, or not of these bands. `wanted` empty: red, green
/// and blue. `scene`: as the job names them all; `all`: every wanted band has to be there.
///
/// # Errors
/// Files of several scenes, or of a band twice.
pub(super) fn choose(
    scene: &Path,
    files: &[PathBuf],
    wanted: &[String],
    all: bool,
) -> Result<Option<BandFiles>, NotAScene> {
    let bands: Vec<BandFile<'_>> = files.iter().filter_map(|path| band_file(path)).collect();
    let own = bands.iter().find_map(|band| Sensor::named_in(&band.path.file_name()?.to_string_lossy()));
    let sensor = own.or_else(|| sensor_of(bands.iter().filter_map(|band| band.designation.as_ref())));
    let colours = COLOURS.map(str::to_owned);
    let names: &[String] = if wanted.is_empty() { &colours } else { wanted };
    let found: Vec<(&String, Vec<&BandFile<'_>>)> = names
        .iter()
        .map(|name| (name, bands.iter().filter(|band| band.is_meant_by(name, sensor)).collect::<Vec<_>>()))
        .collect();
    let shown = scene.display();
    if let Some((missing, _)) = found.iter().find(|(_, files)| files.is_empty()) {
        if !all || wanted.is_empty() || found.iter().all(|(_, files)| files.is_empty()) {
            return Ok(None);
        }
        let mut there: Vec<&str> = bands.iter().map(|band| band.band.as_str()).collect();
        there.sort_unstable();
        there.dedup();
        return Err(NotAScene {
            message: format!("{shown} has no file for the band {}", quoted(missing)),
            hint: format!("The bands in its file names are {}.", listed(there.iter())),
        });
    }
    // Of one scene are files whose names differ in the band alone; else in the resolution too, as of Sentinel-2 at 10 and 20 m.
    let exact = |band: &BandFile<'_>| band.rest.clone();
    let without_resolution = |band: &BandFile<'_>| without_resolution(&band.rest);
    let scenes = match complete(&found, exact) {
        scenes if scenes.is_empty() => complete(&found, without_resolution),
        scenes => scenes,
    };
    let all_files = || {
        let files = found.iter().flat_map(|(_, files)| files).map(|file| file.name());
        listed(files.collect::<std::collections::BTreeSet<_>>().iter())
    };
    let hint = || {
        format!(
            "A scene has one file per band. Select the files of one scene with a pattern, such as `scene: '{}'`.",
            found.first().and_then(|(_, files)| files.first()).map_or_else(String::new, |file| file.pattern())
        )
    };
    match scenes.as_slice() {
        [rest] => {
            let mut files: Vec<(String, PathBuf)> = Vec::new();
            for (name, candidates) in &found {
                let of_scene = |file: &&&BandFile<'_>| file.rest == *rest || without_resolution(file) == *rest;
                let mut of_scene = candidates.iter().filter(of_scene);
                let (Some(file), another) = (of_scene.next(), of_scene.next()) else { continue };
                if let Some(another) = another {
                    return Err(NotAScene {
                        message: format!(
                            "{shown} has several files for the band {}: {} and {}",
                            quoted(name),
                            file.name(),
                            another.name()
                        ),
                        hint: hint(),
                    });
                }
                if !files.iter().any(|(_, path)| path == file.path) {
                    files.push((file.band.clone(), file.path.to_owned()));
                }
            }
            Ok(Some(BandFiles { scene: scene.to_owned(), name: tidy(rest), files }))
        }
        [] => Err(NotAScene {
            message: format!(
                "{shown} has the bands {} in files of different scenes: {}",
                listed(names.iter()),
                all_files()
            ),
            hint: hint(),
        }),
        several => Err(NotAScene {
            message: format!(
                "{shown} has the bands {} of {} scenes: {}",
                listed(names.iter()),
                several.len(),
                listed(several.iter().map(|rest| tidy(rest)))
            ),
            hint: hint(),
        }),
    }
}

/// The scenes, by what their files' names have in common, of which every wanted band is there.
fn complete(found: &[(&String, Vec<&BandFile<'_>>)], key: impl Fn(&BandFile<'_>) -> String) -> Vec<String> {
    let Some((_, first)) = found.first() else { return Vec::new() };
    let mut keys: Vec<String> = first.iter().map(|file| key(file)).collect();
    keys.sort();
    keys.dedup();
    keys.retain(|wanted| found.iter().all(|(_, files)| files.iter().any(|file| key(file) == *wanted)));
    keys
}

impl BandFile<'_> {
    fn is_meant_by(&self, wanted: &str, sensor: Option<Sensor>) -> bool {
        if self.band.eq_ignore_ascii_case(wanted.trim()) {
            return true;
        }
        if let Some(wanted) = designation(wanted) {
            return self.designation.as_ref().is_some_and(|own| own.is_meant_by(&wanted));
        }
        let part = described(wanted).part.filter(|part| *part != Spectrum::Other);
        let numbered = || sensor?.shows(&self.designation.as_ref()?.number);
        part.is_some() && part == self.part.or_else(numbered)
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// A pattern for the files of the same scene.
    fn pattern(&self) -> String {
        let extension = self.path.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
        self.path.with_file_name(format!("{}{extension}", self.rest.replace("{}", "*"))).display().to_string()
    }
}

/// What a file's name says of its band; `None` where it names none.
fn band_file(path: &Path) -> Option<BandFile<'_>> {
    let extension = path.extension()?.to_string_lossy().to_lowercase();
    if !EXTENSIONS.contains(&extension.as_str()) {
        return None;
    }
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let parts = parts(&stem);
    parts.iter().enumerate().rev().find_map(|(index, (start, word))| {
        let end = start + word.len();
        let before = index.checked_sub(1).and_then(|index| parts.get(index));
        // `band_4`, in two parts.
        let number = word.chars().all(|c| c.is_ascii_digit());
        let start = match before {
            Some((start, before))
                if number && (before.eq_ignore_ascii_case("band") || before.eq_ignore_ascii_case("b")) =>
            {
                *start
            }
            _ => *start,
        };
        let band = stem.get(start..end)?;
        let lower = band.to_lowercase();
        let bare = lower
            .strip_prefix("band")
            .or_else(|| lower.strip_prefix('b'))
            .unwrap_or("x")
            .trim_start_matches(['_', '-', ' ']);
        let is_number = bare.starts_with(|c: char| c.is_ascii_digit()) && bare.len() <= 3;
        let said = described(word);
        // A single letter is a colour only at the end of the name.
        let is_colour = said.exact && said.part.is_some() && (word.len() > 1 || index + 1 == parts.len());
        // The product stands before the band, and belongs to the scene as well: SR_B4.
        let product = before.filter(|(_, word)| ["sr", "st", "toa", "boa"].contains(&word.to_lowercase().as_str()));
        let full = match product {
            Some((from, _)) if is_number => stem.get(*from..end)?.to_owned(),
            _ => band.to_owned(),
        };
        let designation = if is_number { designation(&full) } else { None };
        (designation.is_some() || is_colour).then(|| BandFile {
            path,
            band: full,
            designation,
            part: said.part.filter(|_| is_colour),
            rest: format!("{}{{}}{}", stem.get(..start).unwrap_or_default(), stem.get(end..).unwrap_or_default()),
        })
    })
}

/// The parts of a name between `_`, `-`, `.` and blanks, each with the span where it starts.
fn parts(stem: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let mut start = 0;
    for (at, c) in stem.char_indices().chain([(stem.len(), '_')]) {
        if matches!(c, '_' | '-' | '.' | ' ') {
            parts.extend(stem.get(start..at).filter(|part| !part.is_empty()).map(|part| (start, part)));
            start = at + c.len_utf8();
        }
    }
    parts
}

/// The rest of a name without `_10m` at its end.
fn without_resolution(rest: &str) -> String {
    let is_resolution = |part: &str| {
        let digits = part.strip_suffix('m').unwrap_or_default();
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
    };
    match rest.rsplit_once('_') {
        Some((before, last)) if is_resolution(last) => before.to_owned(),
        _ => rest.to_owned(),
    }
}

/// A name for results.
fn tidy(rest: &str) -> String {
    let mut name = rest.replace("{}", "");
    while let Some(at) = ["__", "--", "_-", "-_", "..", "_.", "._"].iter().find_map(|pair| name.find(pair)) {
        name.remove(at);
    }
    let name = name.trim_matches(['_', '-', '.', ' ']);
    if name.is_empty() { "scene".to_owned() } else { name.to_owned() }
}

fn listed(names: impl ExactSizeIterator<Item = impl ToString>) -> String {
    const SHOWN: usize = 8;
    let count = names.len();
    let mut shown: Vec<String> = names.take(SHOWN).map(|name| name.to_string()).collect();
    if count > SHOWN {
        shown.push(format!("… ({count} in all)"));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(files: &[&str], wanted: &[&str]) -> Result<Option<(String, Vec<String>)>, String> {
        let files: Vec<PathBuf> = files.iter().map(|name| Path::new("d").join(name)).collect();
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        choose(Path::new("d"), &files, &wanted, true)
            .map(|found| {
                found.map(|found| {
                    let files = found.files.iter();
                    let shown = files.map(|(band, path)| format!("{band} {}", path.file_name().unwrap().display()));
                    (found.name.clone(), shown.collect())
                })
            })
            .map_err(|error| format!("{}\n{}", error.message, error.hint))
    }

    #[track_caller]
    fn takes(files: &[&str], wanted: &[&str], name: &str, expected: &[&str]) {
        let expected = expected.iter().map(|file| (*file).to_owned()).collect();
        assert_eq!(chosen(files, wanted), Ok(Some((name.to_owned(), expected))));
    }

    const SENTINEL: [&str; 8] = [
        "T32ULC_20220130T103241_AOT_10m.jp2",
        "T32ULC_20220130T103241_B02_10m.jp2",
        "T32ULC_20220130T103241_B03_10m.jp2",
        "T32ULC_20220130T103241_B04_10m.jp2",
        "T32ULC_20220130T103241_B08_10m.jp2",
        "T32ULC_20220130T103241_TCI_10m.jp2",
        "T32ULC_20220130T103241_B04_10m.jp2.aux.xml",
        "MTD.xml",
    ];
    const LANDSAT: [&str; 7] = [
        "LC08_L2SP_224078_20200518_20200820_02_T1_QA_PIXEL.TIF",
        "LC08_L2SP_224078_20200518_20200820_02_T1_SR_B2.TIF",
        "LC08_L2SP_224078_20200518_20200820_02_T1_SR_B3.TIF",
        "LC08_L2SP_224078_20200518_20200820_02_T1_SR_B4.TIF",
        "LC08_L2SP_224078_20200518_20200820_02_T1_SR_B5.TIF",
        "LC08_L2SP_224078_20200518_20200820_02_T1_ST_B10.TIF",
        "LC08_L2SP_224078_20200518_20200820_02_T1_MTL.txt",
    ];

    #[test]
    fn band_files_are_found_by_name() {
        let (red, green, blue, nir) = (SENTINEL[3], SENTINEL[2], SENTINEL[1], SENTINEL[4]);
        let rgb = [format!("B04 {red}"), format!("B03 {green}"), format!("B02 {blue}")];
        let rgb = [rgb[0].as_str(), &rgb[1], &rgb[2]];
        let name = "T32ULC_20220130T103241_10m";
        for wanted in [["B04", "B03", "B02"], ["b4", "B3", "b02"], ["red", "green", "blue"], ["Band 4", "B03", "blue"]]
        {
            takes(&SENTINEL, &wanted, name, &rgb);
        }
        takes(&SENTINEL, &[], name, &rgb);
        takes(&SENTINEL, &["B08", "nir", "B08"], name, &[&format!("B08 {nir}")]);
        let name = "LC08_L2SP_224078_20200518_20200820_02_T1_SR";
        let rgb = [format!("SR_B4 {}", LANDSAT[3]), format!("SR_B3 {}", LANDSAT[2]), format!("SR_B2 {}", LANDSAT[1])];
        let rgb = [rgb[0].as_str(), &rgb[1], &rgb[2]];
        for wanted in [&["SR_B4", "SR_B3", "SR_B2"][..], &["B4", "B3", "B2"], &["red", "green", "blue"], &[]] {
            takes(&LANDSAT, wanted, name, &rgb);
        }
        takes(
            &["a_red.tif", "a_green.tif", "a_blue.tif"],
            &[],
            "a",
            &["red a_red.tif", "green a_green.tif", "blue a_blue.tif"],
        );
        takes(&["B.tif", "G.tif", "R.tif"], &["R", "G", "B"], "scene", &["R R.tif", "G G.tif", "B B.tif"]);
        takes(
            &["x_band_1.tif", "x_band_2.tif", "x_band_3.tif"],
            &["b1", "b2", "b3"],
            "x",
            &["band_1 x_band_1.tif", "band_2 x_band_2.tif", "band_3 x_band_3.tif"],
        );
        // At another resolution, where the band is there only once.
        takes(
            &["T_B04_10m.jp2", "T_B03_10m.jp2", "T_B11_20m.jp2"],
            &["B11", "B04", "B03"],
            "T",
            &["B11 T_B11_20m.jp2", "B04 T_B04_10m.jp2", "B03 T_B03_10m.jp2"],
        );
    }

    #[test]
    fn other_files_are_ignored_or_refused() {
        for files in [&["a.tif", "b.tif"][..], &["tile_1.tif", "tile_2.tif"], &[]] {
            assert_eq!(chosen(files, &["B04", "B03", "B02"]), Ok(None));
            assert_eq!(chosen(files, &[]), Ok(None));
        }
        // Whose numbers these are, nobody says.
        assert_eq!(chosen(&["x_B1.tif", "x_B2.tif", "x_B3.tif", "x_B4.tif"], &[]), Ok(None));
        let missing = chosen(&SENTINEL, &["B04", "B03", "B11"]).unwrap_err();
        assert!(
            missing.starts_with("d has no file for the band `B11`") && missing.contains("B02, B03, B04, B08"),
            "{missing}"
        );
        let twice = ["T_B04_10m.jp2", "T_B04_20m.jp2", "T_B03_10m.jp2", "T_B11_20m.jp2"];
        let twice = chosen(&twice, &["B11", "B04", "B03"]).unwrap_err();
        assert!(twice.contains("several files for the band `B04`: T_B04_10m.jp2 and T_B04_20m.jp2"), "{twice}");
        let two = ["a_B02.tif", "a_B03.tif", "a_B04.tif", "b_B02.tif", "b_B03.tif", "b_B04.tif"];
        let several = chosen(&two, &["B04", "B03", "B02"]).unwrap_err();
        assert!(several.contains("of 2 scenes: a, b") && several.contains("`scene: 'd/a_*.tif'`"), "{several}");
        let split = chosen(&["a_B04.tif", "b_B03.tif", "c_B02.tif"], &["B04", "B03", "B02"]).unwrap_err();
        assert!(split.contains("in files of different scenes: a_B04.tif, b_B03.tif, c_B02.tif"), "{split}");
    }
}
