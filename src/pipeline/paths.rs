//! How people write paths: `~/`, `{a,b}`, patterns, and variables that only a shell knows.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern, PatternError};

use crate::location::{is_raster_name, is_sidecar, normalized};

/// What one `{a,b}` pattern may stand for.
const MAX_ALTERNATIVES: usize = 10_000;

/// The path with a leading `~/` as the user's home directory, as a shell has it.
pub(super) fn home(path: &str) -> Cow<'_, str> {
    let rest = match path.trim_start().strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => return path.into(),
    };
    match std::env::var("HOME") {
        Ok(home) if !home.is_empty() => format!("{}{rest}", home.trim_end_matches('/')).into(),
        _ => path.into(),
    }
}

/// The first environment variable in a text, `$DATA` or `${DATA}`, as it is written.
pub(super) fn variable(text: &str) -> Option<&str> {
    text.match_indices('$').find_map(|(at, _)| {
        let rest = text.get(at..)?;
        let name = rest.get(1..)?;
        if let Some(inside) = name.strip_prefix('{') {
            return rest.get(..inside.find('}')? + 3);
        }
        let end =
            name.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')).unwrap_or(name.len());
        (end > 0 && name.starts_with(|c: char| c.is_ascii_uppercase())).then(|| rest.get(..=end)).flatten()
    })
}

/// A path from the root, without `.` and `..`: as it is written, whatever links lie on the way.
pub(super) fn from_root(path: &Path) -> PathBuf {
    normalized(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

/// Whether a name stands for several files.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?']) || (name.contains('[') && name.contains(']')) || alternatives(name).len() > 1
}

/// All that a text with `{a,b}` stands for, in the order in which it is written; the text itself where it has none.
pub(super) fn alternatives(text: &str) -> Vec<String> {
    let Some((before, inside, after)) = group(text) else { return vec![text.to_owned()] };
    let mut found = Vec::new();
    for choice in inside {
        for rest in alternatives(&format!("{choice}{after}")) {
            if found.len() < MAX_ALTERNATIVES {
                found.push(format!("{before}{rest}"));
            }
        }
    }
    found
}

/// The first `{a,b}` with a comma: what stands before it, its choices, what follows.
fn group(text: &str) -> Option<(&str, Vec<&str>, &str)> {
    for (open, _) in text.match_indices('{') {
        let (mut depth, mut start, mut choices) = (0usize, open + 1, Vec::new());
        for (at, c) in text.get(open..)?.char_indices().map(|(at, c)| (open + at, c)) {
            match c {
                '{' => depth += 1,
                ',' if depth == 1 => {
                    choices.push(text.get(start..at)?);
                    start = at + 1;
                }
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        choices.push(text.get(start..at)?);
                        if choices.len() > 1 {
                            return Some((text.get(..open)?, choices, text.get(at + 1..)?));
                        }
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    None
}

/// The files that match a pattern, sorted by name, at most `most`: none that is hidden or belongs to a raster beside it.
///
/// Folders in front that are there under this very name are no patterns: `data [2020]/*.tif`.
pub(super) fn matching(pattern: &Path, most: usize) -> Result<Vec<PathBuf>, PatternError> {
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
    let found = glob::glob_with(&escaped(pattern), options)?;
    // A folder that cannot be read holds nothing for us.
    let found = found.filter_map(Result::ok).filter(|path| path.is_file() && !is_sidecar(path));
    Ok(found.take(most).collect())
}

fn escaped(pattern: &Path) -> String {
    let (mut there, mut text) = (PathBuf::new(), String::new());
    let mut literal = true;
    for component in pattern.components() {
        let name = component.as_os_str().to_string_lossy();
        literal = literal && there.join(component).is_dir();
        there.push(component);
        if !text.is_empty() && !text.ends_with('/') {
            text.push('/');
        }
        match component {
            Component::Normal(_) if literal => text.push_str(&Pattern::escape(&name)),
            _ => text.push_str(&name),
        }
    }
    text
}

/// The rasters that lie in a folder, by their endings, sorted by name; none that is hidden. At most `most`.
pub(super) fn rasters_in(folder: &Path, most: usize) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && is_raster_name(&path) && path.is_file() {
            found.push(path);
        }
        if found.len() > most {
            break;
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a folder is a Sentinel-2 product as ESA distributes it: `….SAFE`, with a folder of granules.
pub(super) fn is_sentinel_product(folder: &Path) -> bool {
    folder.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safe")) && folder.join(GRANULES).is_dir()
}

const GRANULES: &str = "GRANULE";
/// Where the bands of a granule are: at 10, 20 and 60 m in products of level 2A, together in those of level 1C.
const BAND_FOLDERS: [&str; 4] = ["IMG_DATA/R10m", "IMG_DATA/R20m", "IMG_DATA/R60m", "IMG_DATA"];

/// The bands of a Sentinel-2 product, each at its finest resolution.
pub(super) fn rasters_of_sentinel_product(folder: &Path, most: usize) -> std::io::Result<Vec<PathBuf>> {
    let mut granules = std::fs::read_dir(folder.join(GRANULES))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    granules.sort();
    let mut found: Vec<PathBuf> = Vec::new();
    let mut bands = std::collections::BTreeSet::new();
    for folder in granules.iter().flat_map(|granule| BAND_FOLDERS.map(|bands| granule.join(bands))) {
        if folder.is_dir() {
            let finest = |path: &PathBuf| {
                let stem = path.file_stem().unwrap_or_default().to_string_lossy();
                bands.insert(
                    ["_10m", "_20m", "_60m"].iter().find_map(|end| stem.strip_suffix(end)).unwrap_or(&stem).to_owned(),
                )
            };
            found.extend(rasters_in(&folder, most)?.into_iter().filter(finest));
        }
    }
    Ok(found)
}

/// Whether a name is a path: GDAL's virtual files and URLs are not, nothing can be joined to them and only GDAL finds them.
pub(super) fn is_local(name: &str) -> bool {
    !name.starts_with("/vsi") && !name.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_of_a_sentinel_product_are_found_at_their_finest() {
        let folder = tempfile::tempdir().unwrap();
        let product = folder.path().join("S2A_MSIL2A_20220130T103241_N0400_R108_T32ULC_20220130T140000.SAFE");
        let images = product.join("GRANULE/L2A_T32ULC/IMG_DATA");
        for name in ["R10m/T_B04_10m", "R10m/T_B03_10m", "R20m/T_B04_20m", "R20m/T_B11_20m", "R60m/T_B11_60m"] {
            let path = images.join(format!("{name}.jp2"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        assert!(is_sentinel_product(&product) && !is_sentinel_product(&images));
        let found = rasters_of_sentinel_product(&product, 100).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["T_B03_10m.jp2", "T_B04_10m.jp2", "T_B11_20m.jp2"]);
    }

    #[test]
    fn braces_expand_to_alternatives() {
        for (text, expected) in [
            ("t_{a,b}.tif", &["t_a.tif", "t_b.tif"][..]),
            ("{x,y}/t{1,2}.tif", &["x/t1.tif", "x/t2.tif", "y/t1.tif", "y/t2.tif"]),
            ("{a,b{c,d}}", &["a", "bc", "bd"]),
            ("{a}", &["{a}"]),
            ("{a_{b,c}", &["{a_b", "{a_c"]),
            ("a,b}", &["a,b}"]),
            ("t{,_x}.tif", &["t.tif", "t_x.tif"]),
        ] {
            assert_eq!(alternatives(text), expected, "{text}");
        }
        assert_eq!(alternatives(&"{a,b}".repeat(20)).len(), MAX_ALTERNATIVES);
    }

    #[test]
    fn environment_variables_are_detected() {
        for (text, expected) in [
            ("$DATA/a.tif", Some("$DATA")),
            ("/d/${DATA}_x", Some("${DATA}")),
            ("/d/$DATA_2", Some("$DATA_2")),
            ("cash$.tif", None),
            ("a$b.tif", None),
            ("${", None),
            ("é$A", Some("$A")),
        ] {
            assert_eq!(variable(text), expected, "{text}");
        }
    }

    #[test]
    fn patterns_match_in_folders_with_special_characters() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("data [2020] {x}");
        std::fs::create_dir(&inside).unwrap();
        for name in ["b c.tif", "a.tif", "._a.tif", "a.tif.aux.xml", "a.tfw", "a.txt", "n.TIFF"] {
            std::fs::write(inside.join(name), "").unwrap();
        }
        let at = |name: &str| inside.join(name);
        assert_eq!(matching(&at("*.tif"), 9).unwrap(), [at("a.tif"), at("b c.tif")]);
        assert_eq!(matching(&at("[ab]*.t[if]*"), 9).unwrap(), [at("a.tif"), at("b c.tif")]);
        assert_eq!(matching(&folder.path().join("data*/a.*"), 9).unwrap(), [at("a.tif"), at("a.txt")]);
        assert_eq!(rasters_in(&inside, 9).unwrap(), [at("a.tif"), at("b c.tif"), at("n.TIFF")]);
    }
}
