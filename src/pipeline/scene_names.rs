//! What `{scene}` and `{folder}` stand for: names of scenes, told apart where several scenes have the same one.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path};

use super::paths;
use super::paths::is_local;
use super::words::without_credentials;
use crate::hash;
use crate::location::{archive_stem, inside_file};
use crate::scene::SceneInfo;

/// Folders above a scene that may become part of its name.
const MAX_FOLDERS: usize = 8;

/// The names of one scene.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SceneNames {
    /// `{folder}`: the folder of the scene's file.
    pub folder: String,
    /// `{scene}` in names without `{folder}`: no two scenes have the same.
    pub scene: String,
    /// `{scene}` in names with `{folder}`: no two scenes of folders of one name have the same.
    pub beside_folder: String,
    /// The file name without its extension, or the name that the scene came with.
    pub stem: String,
}

/// The names of all scenes of a job. What a scene is called depends on the other scenes, not on their order; a scene whose
/// file name is its own keeps that.
///
/// Two scenes of the same file name (case set aside) are called by as many of their folders as it takes: `A/t.tif` and
/// `B/t.tif` are `A_t` and `B_t`. Where folders do not tell them apart, the extensions do (`t_tif`, `t_jp2`), else a hash.
pub(super) fn names(scenes: &[SceneInfo]) -> Vec<SceneNames> {
    let parts: Vec<Parts> = scenes.iter().map(Parts::of).collect();
    let (alone, beside_folder) = (distinct_names(&parts, false), distinct_names(&parts, true));
    let names = parts.into_iter().zip(alone).zip(beside_folder);
    names
        .map(|((parts, scene), beside_folder)| SceneNames {
            folder: parts.folder().to_owned(),
            scene,
            beside_folder,
            stem: parts.stem,
        })
        .collect()
}

struct Parts {
    stem: String,
    extension: String,
    /// From the nearest one upwards.
    folders: Vec<String>,
    /// All of the scene's address.
    whole: String,
}

impl Parts {
    fn of(scene: &SceneInfo) -> Self {
        let whole = scene.files().first().unwrap_or(&scene.path).to_string_lossy().into_owned();
        let (stem, extension, folders) = split(&whole);
        let stem = match &scene.access.name {
            // The name of a STAC item comes from outside: it must not lead into other folders.
            Some(name) => name.replace(['/', '\\', '\0'], "_").trim_start_matches('.').to_owned(),
            None => stem,
        };
        let stem = if stem.is_empty() { "scene".to_owned() } else { stem };
        // Items of one name may come from different places.
        let whole = format!("{}\n{whole}", scene.access.name.as_deref().unwrap_or_default());
        Self { stem, extension, folders, whole }
    }

    fn folder(&self) -> &str {
        self.folders.first().map_or("scene", String::as_str)
    }

    /// All that the scene may be called instead of its stem, the shortest first.
    fn candidates(&self) -> Vec<String> {
        let mut with_folders = vec![self.stem.clone()];
        let mut name = self.stem.clone();
        for folder in self.folders.iter().take(MAX_FOLDERS) {
            name = format!("{folder}_{name}");
            with_folders.push(name.clone());
        }
        let with_extension = with_folders.clone();
        with_folders.remove(0);
        if !self.extension.is_empty() {
            with_folders.extend(with_extension.iter().map(|name| format!("{name}_{}", self.extension)));
        }
        let digits: String = hash::of(&self.whole).chars().take(8).collect();
        with_folders.push(format!("{}_{digits}", self.stem));
        with_folders
    }
}

/// Stem, extension and folders of a path, an address, or GDAL's name of something inside a file.
fn split(whole: &str) -> (String, String, Vec<String>) {
    if let Some(rest) = inside_file(whole) {
        return split_inside(rest);
    }
    let named = without_credentials(whole);
    let path = if is_local(whole) {
        whole.into()
    } else {
        let path = named.split('?').next().unwrap_or_default();
        format!("/{}", path.split_once("://").map_or(path, |(_, path)| path))
    };
    let path = paths::from_root(Path::new(&path));
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    });
    let mut names: Vec<String> = names.collect();
    let file = names.pop().unwrap_or_default();
    let file = Path::new(&file);
    let text =
        |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default();
    let folders = names.iter().rev().map(|name| clean(archive_stem(name).unwrap_or(name))).collect();
    (text(file.file_stem()), clean(&text(file.extension())), folders)
}

/// What follows the driver in names such as `NETCDF:"a.nc":ndvi`: the file and what lies in it.
fn split_inside(rest: &str) -> (String, String, Vec<String>) {
    let pieces: Vec<&str> = rest.split([':', '"']).filter(|piece| !piece.is_empty()).collect();
    let Some(at) = pieces.iter().position(|piece| piece.contains(['/', '.'])) else {
        return (clean(rest), String::new(), Vec::new());
    };
    let (mut stem, mut extension, mut folders) = (String::new(), String::new(), Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        if index == at {
            let (file, ending, above) = split(piece);
            stem = if stem.is_empty() { file } else { format!("{file}_{stem}") };
            (extension, folders) = (ending, above);
        } else {
            let piece = clean(piece.trim_matches('/'));
            stem = if stem.is_empty() { piece } else { format!("{stem}_{piece}") };
        }
    }
    (stem, extension, folders)
}

/// A part of a path that may become part of a file's name.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || "/\\:*?\"<>|".contains(c) { '_' } else { c }).collect()
}

/// The name of each scene. With `beside_folder` it stands beside the scene's folder, which counts as a part of it.
fn distinct_names(scenes: &[Parts], beside_folder: bool) -> Vec<String> {
    let key = |scene: &Parts, name: &str| {
        let folder = if beside_folder { scene.folder() } else { "" };
        format!("{folder}/{name}").to_lowercase()
    };
    let mut stems: HashMap<String, usize> = HashMap::new();
    for scene in scenes {
        *stems.entry(key(scene, &scene.stem)).or_default() += 1;
    }
    let shared = |scene: &Parts| stems.get(&key(scene, &scene.stem)).is_some_and(|count| *count > 1);
    // How many scenes of a shared name could be called so.
    let mut claims: HashMap<String, usize> = HashMap::new();
    for scene in scenes.iter().filter(|scene| shared(scene)) {
        let own: HashSet<String> = scene.candidates().iter().map(|name| key(scene, name)).collect();
        own.into_iter().for_each(|name| *claims.entry(name).or_default() += 1);
    }
    let name = |scene: &Parts| {
        if !shared(scene) {
            return scene.stem.clone();
        }
        let candidates = scene.candidates();
        let free = candidates.iter().find(|name| {
            let key = key(scene, name);
            !stems.contains_key(&key) && claims.get(&key) == Some(&1)
        });
        free.or(candidates.last()).cloned().unwrap_or_else(|| scene.stem.clone())
    };
    scenes.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::rgb;
    use super::*;

    fn called(paths: &[&str]) -> Vec<String> {
        names(&paths.iter().map(|path| rgb(path)).collect::<Vec<_>>()).into_iter().map(|names| names.scene).collect()
    }

    #[test]
    fn scenes_with_same_name_include_folders() {
        assert_eq!(called(&["/d/A/t.tif", "/d/B/t.tif", "/d/B/u.tif"]), ["A_t", "B_t", "u"]);
        // As many folders as it takes, and no more.
        assert_eq!(called(&["/d/a/x/t.tif", "/d/b/x/t.tif", "/d/c/y/t.tif"]), ["a_x_t", "b_x_t", "y_t"]);
        assert_eq!(called(&["/d/A/t.tif", "/d/B/T.tif"]), ["A_t", "B_T"]);
        assert_eq!(called(&["/d/t.tif", "/d/t.jp2", "/d/e/../t.png"]), ["t_tif", "t_jp2", "t_png"]);
        assert_eq!(called(&["/d/A/t.tif", "/d/A/t.jp2", "/d/B/t.tif"]), ["A_t_tif", "t_jp2", "B_t"]);
        // A name that is another scene's own is not taken.
        assert_eq!(called(&["/d/A/t.tif", "/d/B/t.tif", "/d/A_t.tif"]), ["d_A_t", "B_t", "A_t"]);
        let addresses = ["/vsicurl/https://me:pw@h.org/A/t.tif?sig=1", "/vsicurl/https://h.org/B/t.tif?sig=2"];
        assert_eq!(called(&addresses), ["A_t", "B_t"]);
        assert_eq!(called(&["/vsizip//d/m.zip/t.tif", "/vsizip//d/n.zip/t.tif"]), ["m_t", "n_t"]);
        assert_eq!(called(&["NETCDF:\"/d/a.nc\":ndvi", "NETCDF:\"/d/a.nc\":evi"]), ["a_ndvi", "a_evi"]);
        assert_eq!(called(&["HDF5:\"/d/a.h5\"://g/ndvi", "GTIFF_DIR:2:/d/t.tif"]), ["a_g_ndvi", "t_2"]);
    }

    #[test]
    fn scene_names_do_not_depend_on_order() {
        let mut paths = ["/d/A/t.tif", "/d/B/t.tif", "/d/C/s/t.tif", "/d/u.tif", "/d/T.tif"];
        let mut pairs = |more: &[&'static str]| {
            paths.rotate_left(1);
            let all: Vec<&str> = paths.iter().copied().chain(more.iter().copied()).collect();
            let mut pairs: Vec<(&str, String)> = all.iter().copied().zip(called(&all)).collect();
            pairs.sort();
            pairs.retain(|(path, _)| !more.contains(path));
            pairs
        };
        let first = pairs(&[]);
        assert_eq!(pairs(&[]), first);
        assert_eq!(pairs(&["/d/E/t.tif", "/d/v.tif"]), first);
    }

    #[test]
    fn indistinguishable_scenes_get_hash() {
        let found = called(&["/d/t.tif", "/d/T.tif"]);
        assert_eq!((found[0].len(), found[1].len()), (10, 10));
        assert!(found[0].starts_with("t_") && found[1].starts_with("T_"));
        assert_ne!(found[0].to_lowercase(), found[1].to_lowercase());
        assert_eq!(found, called(&["/d/T.tif", "/d/t.tif"]).into_iter().rev().collect::<Vec<_>>());
        let item = |name: &str| {
            let mut info = rgb("/d/x.tif");
            info.access.name = Some(name.into());
            info
        };
        let found = names(&[item("a/b"), item("a_b")]);
        assert!(found[0].scene != found[1].scene && found.iter().all(|names| names.scene.starts_with("a_b_")));
    }

    #[test]
    fn scene_beside_folder_keeps_its_name() {
        let found = names(&["/d/A/t.tif", "/d/B/t.tif", "/d/A/t.jp2"].map(rgb));
        let pairs: Vec<(&str, &str)> = found.iter().map(|n| (n.folder.as_str(), n.beside_folder.as_str())).collect();
        assert_eq!(pairs, [("A", "t_tif"), ("B", "t"), ("A", "t_jp2")]);
    }
}
