//! Finds the images of a data set and their truth in a folder, by the names under which the set is published.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};

/// Two patterns below the folder of a data set. Each folder or name of a pattern may have a `*`; what the stars of both patterns
/// stand for pairs an image with its truth.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub images: &'static str,
    pub truth: &'static str,
}

/// Which of the pairs count.
#[derive(Clone, Copy, Debug)]
pub enum Names {
    All,
    /// Those whose last star stands for one of these.
    Listed(&'static [&'static str]),
    /// Those whose last star stands for `prefix` and one of these numbers.
    Numbered {
        prefix: &'static str,
        numbers: &'static [u16],
    },
    /// Those in the first of these files below the folder: a file name a line.
    File(&'static [&'static str]),
}

/// An image and its truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What the stars stand for, joined by `_`.
    pub name: String,
    pub image: PathBuf,
    pub truth: PathBuf,
}

/// What a folder holds of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// By name.
    pub samples: Vec<Sample>,
    /// Images that count and have no truth: they, and the truth that was looked for.
    pub without_truth: Vec<(PathBuf, PathBuf)>,
    /// Names of a list that the folder lacks.
    pub missing: usize,
}

/// Entries of a folder that are shown where nothing was found.
const SHOWN: usize = 12;

/// Folders of a wrong one that are searched for the data set.
const SEARCHED: usize = 50;

/// More files than any of the data sets has.
const MAX_FILES: usize = 1_000_000;

/// Finds the pairs of the first layout that has any. `otherwise` may know what a folder without any is.
///
/// # Errors
/// The folder cannot be read, or has no pair of any layout: the message says what was looked for and what was found.
pub fn find(
    title: &str,
    folder: &Path,
    layouts: &[Layout],
    names: Names,
    otherwise: impl Fn() -> Option<String>,
) -> Result<Found> {
    if folder.is_file() {
        return Err(Error::input(format!("{} is a file, not a folder", folder.display()))
            .with_hint(format!("Unpack {title}, and give its folder with --data.")));
    }
    if !folder.is_dir() {
        return Err(Error::input(format!("there is no folder {}", folder.display()))
            .with_hint(format!("Give the folder of {title} as it is published, with --data.")));
    }
    let looked = match pairs(folder, layouts, names)? {
        Ok(found) => return Ok(found),
        Err(looked) => looked,
    };
    let is_there = looked.iter().any(|looked| looked.images > 0 || looked.truth > 0);
    let looked: Vec<String> = looked.iter().map(|looked| format!("  {looked}")).collect();
    let near = near(folder, layouts, names).map(|other| format!("{} holds it: give that folder.", other.display()));
    let hint = near.or_else(otherwise).unwrap_or_else(|| {
        let what = match is_there {
            true => "Put images and truth into folders and under names as they are published.",
            false => "Unpack the data set and give the folder that holds these names.",
        };
        format!("{what} `*` stands for any text in a name.")
    });
    Err(Error::input(format!(
        "{} does not hold {title}; looked for\n{}\nfound {}",
        folder.display(),
        looked.join("\n"),
        entries(folder)
    ))
    .with_hint(hint))
}

/// Whether a folder has any pair.
pub fn holds(folder: &Path, layouts: &[Layout], names: Names) -> bool {
    pairs(folder, layouts, names).is_ok_and(|found| found.is_ok())
}

/// The folder around this one, or in it, that holds the data set: one that was given a level too low or too high.
fn near(folder: &Path, layouts: &[Layout], names: Names) -> Option<PathBuf> {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let above = whole.ancestors().skip(1).take(2).filter(|above| above.parent().is_some()).map(Path::to_owned);
    let mut below: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    below.retain(|path| path.is_dir());
    below.sort();
    below.into_iter().take(SEARCHED).chain(above).find(|other| holds(other, layouts, names))
}

/// The pairs of the first layout that has any, or what was looked for.
fn pairs(folder: &Path, layouts: &[Layout], names: Names) -> Result<std::result::Result<Found, Vec<Looked>>> {
    let wanted = wanted(folder, names)?;
    let mut looked = Vec::new();
    for layout in layouts {
        let (images, mut truth) = (matching(folder, layout.images)?, matching(folder, layout.truth)?);
        let (all_images, all_truth) = (images.len(), truth.len());
        let other_truth = truth.values().next().cloned();
        let mut found = Found { samples: Vec::new(), without_truth: Vec::new(), missing: 0 };
        for (stars, image) in images {
            if wanted.as_ref().is_some_and(|wanted| !wanted.hold(&stars, &image)) {
                continue;
            }
            match truth.remove(&stars) {
                Some(truth) => found.samples.push(Sample { name: stars.join("_"), image, truth }),
                None => found.without_truth.push((image, folder.join(filled(layout.truth, &stars)))),
            }
        }
        if !found.samples.is_empty() {
            let count = wanted.as_ref().map_or(0, |wanted| wanted.names.len());
            found.missing = count.saturating_sub(found.samples.len() + found.without_truth.len());
            return Ok(Ok(found));
        }
        let first = found.without_truth.into_iter().next();
        let why = match (all_images, all_truth) {
            (0, 0) => None,
            (0, _) => Some(format!("no images; {}", deepest(folder, layout.images))),
            (_, 0) => Some(format!("no truth; {}", deepest(folder, layout.truth))),
            _ => Some(match (first, other_truth) {
                (Some((image, truth)), Some(other)) => format!(
                    "no image has its truth: {} needs {}, not {}",
                    below(folder, &image),
                    below(folder, &truth),
                    below(folder, &other)
                ),
                _ => "none of the images is in the list of the protocol".to_owned(),
            }),
        };
        looked.push(Looked { layout: *layout, images: all_images, truth: all_truth, why });
    }
    Ok(Err(looked))
}

/// A path as seen from a folder.
fn below(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).display().to_string()
}

/// A pattern with its stars replaced.
fn filled(pattern: &str, stars: &[String]) -> String {
    let mut stars = stars.iter();
    let parts = pattern.split('*').enumerate();
    parts
        .map(|(at, part)| if at == 0 { part.to_owned() } else { stars.next().cloned().unwrap_or_default() + part })
        .collect()
}

/// What the last folder of a pattern that is there has.
fn deepest(folder: &Path, pattern: &str) -> String {
    let mut parts: Vec<&str> = pattern.split('/').collect();
    while parts.pop().is_some() {
        let folders = level(folder, &parts).ok().into_iter().flatten().map(|(_, path)| path);
        let there = folders.filter(|path| path.is_dir()).min();
        if let Some(there) = there {
            let name = if there == folder { "the folder".to_owned() } else { below(folder, &there) };
            return format!("{name} has {}", entries(&there));
        }
    }
    String::new()
}

/// A layout that no pair was found of.
struct Looked {
    layout: Layout,
    images: usize,
    truth: usize,
    /// Where there are files: why they are no pairs.
    why: Option<String>,
}

impl fmt::Display for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layout, images, truth, why } = self;
        write!(f, "{} ({}) with {} ({})", layout.images, files(*images), layout.truth, files(*truth))?;
        why.iter().try_for_each(|why| write!(f, ":\n    {why}"))
    }
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// The names that count.
struct Wanted {
    names: Vec<String>,
    /// They are names of files, not what the last star stands for.
    files: bool,
}

impl Wanted {
    fn hold(&self, stars: &[String], image: &Path) -> bool {
        let name = match self.files {
            true => image.file_name().map(|name| name.to_string_lossy().into_owned()),
            false => stars.last().cloned(),
        };
        name.is_some_and(|name| self.names.binary_search(&name).is_ok())
    }
}

fn wanted(folder: &Path, names: Names) -> Result<Option<Wanted>> {
    let (mut names, files) = match names {
        Names::All => return Ok(None),
        Names::Listed(names) => (names.iter().map(|name| (*name).to_owned()).collect(), false),
        Names::Numbered { prefix, numbers } => {
            (numbers.iter().map(|number| format!("{prefix}{number}")).collect::<Vec<_>>(), false)
        }
        Names::File(lists) => {
            let Some(list) = lists.iter().map(|list| folder.join(list)).find(|list| list.is_file()) else {
                return Ok(None);
            };
            let text = std::fs::read_to_string(&list).input(|| format!("cannot read the list {}", list.display()))?;
            (text.split_whitespace().map(str::to_owned).collect(), true)
        }
    };
    names.sort();
    names.dedup();
    Ok(Some(Wanted { names, files }))
}

/// Files that match a pattern, by what its stars stand for.
fn matching(folder: &Path, pattern: &str) -> Result<BTreeMap<Vec<String>, PathBuf>> {
    let found = level(folder, &pattern.split('/').collect::<Vec<_>>())?;
    Ok(found.into_iter().filter(|(_, path)| path.is_file()).collect())
}

/// Paths that match the parts of a pattern, with what its stars stand for. Those without a star need not be there.
fn level(folder: &Path, parts: &[&str]) -> Result<Vec<(Vec<String>, PathBuf)>> {
    let mut level = vec![(Vec::<String>::new(), folder.to_owned())];
    for part in parts {
        let mut next = Vec::new();
        for (stars, path) in level {
            if !part.contains('*') {
                next.push((stars, path.join(part)));
                continue;
            }
            let Ok(entries) = std::fs::read_dir(&path) else { continue };
            for entry in entries {
                let entry = entry.input(|| format!("cannot list the folder {}", path.display()))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if let Some(star) = star(part, &name).filter(|star| !star.is_empty() && !name.starts_with('.')) {
                    next.push(([stars.clone(), vec![star]].concat(), path.join(&name)));
                }
            }
            if next.len() > MAX_FILES {
                return Err(Error::input(format!("{} holds more than {MAX_FILES} files", folder.display())));
            }
        }
        level = next;
    }
    Ok(level)
}

/// What the star of a pattern stands for in a name; endings match in any case.
fn star(pattern: &str, name: &str) -> Option<String> {
    let (before, after) = pattern.split_once('*')?;
    let rest = name.strip_prefix(before)?;
    let length = rest.len().checked_sub(after.len())?;
    let (star, end) = (rest.get(..length)?, rest.get(length..)?);
    end.eq_ignore_ascii_case(after).then(|| star.to_owned())
}

/// The first entries of a folder.
fn entries(folder: &Path) -> String {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let slash = if entry.path().is_dir() { "/" } else { "" };
            format!("{}{slash}", entry.file_name().to_string_lossy())
        })
        .collect();
    names.sort();
    match names.len() {
        0 => "an empty folder".to_owned(),
        count if count > SHOWN => {
            format!("{} and {} more", names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "), count - SHOWN)
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    const LAYOUTS: [Layout; 2] = [
        Layout { images: "Val/*/images_png/*.png", truth: "Val/*/masks_png/*.png" },
        Layout { images: "val/img/*_sat.jpg", truth: "val/gt/*_mask.png" },
    ];

    #[test]
    fn stars_pair_images_with_their_truth() {
        let set = folder(&[
            "Val/Urban/images_png/1.png",
            "Val/Urban/masks_png/1.png",
            "Val/Rural/images_png/1.PNG",
            "Val/Rural/masks_png/1.png",
            "Val/Rural/images_png/2.png",
            "Val/Rural/images_png/.hidden.png",
        ]);
        let found = find("LoveDA", set.path(), &LAYOUTS, Names::All, || None).unwrap();
        let names: Vec<&str> = found.samples.iter().map(|sample| sample.name.as_str()).collect();
        assert_eq!(names, ["Rural_1", "Urban_1"]);
        let without = |path: &str| set.path().join(path);
        assert_eq!(
            found.without_truth,
            [(without("Val/Rural/images_png/2.png"), without("Val/Rural/masks_png/2.png"))]
        );
        let set = folder(&["val/img/a_sat.jpg", "val/gt/a_mask.png", "val/img/b_sat.jpg", "val/gt/b_mask.png"]);
        let found = find("roads", set.path(), &LAYOUTS, Names::Listed(&["b", "c"]), || None).unwrap();
        assert_eq!((found.samples.len(), found.samples[0].name.as_str(), found.missing), (1, "b", 1));
    }

    #[test]
    fn lists_in_the_folder_count() {
        let set = folder(&["x/images/x_1.tif", "x/labels/x_1.tif", "x/images/x_2.tif", "x/labels/x_2.tif"]);
        std::fs::write(set.path().join("val.txt"), "x_2.tif\nx_9.tif\n").unwrap();
        let layout = [Layout { images: "*/images/*.tif", truth: "*/labels/*.tif" }];
        let found =
            find("OpenEarthMap", set.path(), &layout, Names::File(&["val_wo_xBD.txt", "val.txt"]), || None).unwrap();
        assert_eq!((found.samples[0].name.as_str(), found.samples.len(), found.missing), ("x_x_2", 1, 1));
    }

    #[test]
    fn a_wrong_folder_is_explained() {
        let set = folder(&["val/img/a_sat.jpg", "other.txt"]);
        let said = |layouts: &[Layout], folder: &Path, names: Names| {
            let error = find("LoveDA", folder, layouts, names, || None).unwrap_err();
            let hint = error.hint().unwrap_or_default().to_owned();
            (error.to_string(), hint)
        };
        let (error, _) = said(&LAYOUTS, set.path(), Names::All);
        assert!(error.contains("does not hold LoveDA"), "{error}");
        assert!(error.contains("Val/*/images_png/*.png (0 files) with Val/*/masks_png/*.png (0 files)\n"), "{error}");
        assert!(
            error.contains("val/img/*_sat.jpg (1 file) with val/gt/*_mask.png (0 files):\n    no truth; val has img/"),
            "{error}"
        );
        assert!(error.ends_with("found other.txt, val/"), "{error}");
        let set = folder(&["val/img/a_sat.jpg", "val/gt/a_mask.png", "val/gt/b_mask.png"]);
        let (error, _) = said(&LAYOUTS, set.path(), Names::Listed(&["b"]));
        assert!(error.contains("none of the images is in the list of the protocol"), "{error}");
        let set = folder(&["val/img/a_sat.jpg", "val/gt/A_mask.png"]);
        let (error, _) = said(&LAYOUTS, set.path(), Names::All);
        assert!(
            error.contains("no image has its truth: val/img/a_sat.jpg needs val/gt/a_mask.png, not val/gt/A_mask.png"),
            "{error}"
        );
        assert!(find("roads", Path::new("/nowhere"), &LAYOUTS, Names::All, || None).is_err());
        // A level too high, a level too low, a file.
        let set = folder(&["set/val/img/a_sat.jpg", "set/val/gt/a_mask.png"]);
        for given in [set.path().to_owned(), set.path().join("set/val/img"), set.path().join("set/val")] {
            let (_, hint) = said(&LAYOUTS, &given, Names::All);
            assert!(hint.ends_with("set holds it: give that folder."), "{hint}");
        }
        let (error, hint) = said(&LAYOUTS, &set.path().join("set/val/img/a_sat.jpg"), Names::All);
        assert!(error.ends_with("is a file, not a folder") && hint.starts_with("Unpack LoveDA"), "{error} {hint}");
    }
}
