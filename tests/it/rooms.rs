//! Which module of `src` and of `crates/windows` may name which, and which libraries: read off the paths in the sources. Lints hold the other rules
//! (`[workspace.lints]` in Cargo.toml, `clippy.toml`), and crates hold their own borders.

use std::fs;
use std::path::Path;

use fancy_regex::Regex;

use crate::workdir::repository;

/// A module, or files of it, and what may be named there: modules and libraries below. All may name `error`.
const ROOMS: &str = "
atomic: | geom: | hash: | index: | file_lock: | location: | printable: | lib: | main: | bin:
scene: geom
crs: geom scene gdal
stitch: geom scene
learn: atomic geom
journal: atomic geom hash file_lock
embeddings: atomic geom hash journal
search: embeddings geom
raster: atomic crs geom hash scene location gdal gdal_sys
vector: atomic crs geom hash location scene raster gdal gdal_sys
outputs: atomic hash file_lock journal raster scene vector
pipeline: crs embeddings geom hash index learn scene location printable
network: geom tch
model/torch: atomic geom hash file_lock scene network tch torch_sys
model: atomic geom hash file_lock location scene network
evaluate: atomic geom scene raster
preview: geom scene raster vector
page: atomic geom scene raster vector
serve: atomic crs geom scene
reproduce: evaluate geom
change: crs evaluate geom location scene raster
report: change geom learn scene pipeline printable model vector
train: atomic geom model network raster scene tch
cli: change pipeline evaluate scene vector clap
run: atomic change cli crs embeddings evaluate file_lock geom hash index journal learn location model network outputs page pipeline preview raster \
    report reproduce scene search serve stitch train vector
";

#[test]
fn modules_name_only_what_is_below_them() {
    let lines = ROOMS.split(['\n', '|']).filter_map(|line| line.trim().split_once(':'));
    let rooms: Vec<_> =
        lines.map(|(room, below)| (room, below.split(' ').chain(["error"]).collect::<Vec<_>>())).collect();
    let known = |name: &&str| rooms.iter().any(|(room, below)| room == name || below.contains(name));
    let named =
        Regex::new(r"\bcrate::(\{[^}]*|\w+)|(?<![\w:])(tch|torch_sys|gdal|gdal_sys|clap)::").expect("a pattern");
    let mut wrong = Vec::new();
    let sources = ["src", "crates/windows/src"].map(repository);
    let files = |root| glob::glob(&format!("{}/**/*.rs", Path::display(root))).expect("a pattern").flatten();
    for (root, file) in sources.iter().flat_map(|root| files(root).map(move |file| (root, file))) {
        let path = file.strip_prefix(root).expect("a file below").display().to_string();
        if path.contains("test") || path.ends_with("parity.rs") {
            continue;
        }
        let room = rooms.iter().find(|(room, _)| path.starts_with(room));
        let (room, below) = room.unwrap_or_else(|| panic!("src/{path}: ROOMS has no line for it"));
        let text = fs::read_to_string(&file).expect("a source file");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let found = named.captures_iter(line).flatten().filter_map(|found| found.get(1).or(found.get(2)));
            let names = found.flat_map(|names| names.as_str().split(|c: char| !c.is_alphanumeric() && c != '_'));
            let names = names.filter(|name| known(name) && !room.starts_with(name) && !below.contains(name));
            wrong.extend(names.map(|name| format!("src/{path}: {name} is not below {room}: {line}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
