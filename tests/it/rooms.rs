//! Which module of `src` and of `crates/windows` may name which, and which libraries: read off the paths in the sources. Lints hold the other rules
//! (`[workspace.lints]` in Cargo.toml, `clippy.toml`), and crates hold their own borders.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use fancy_regex::Regex;

use crate::workdir::repository;

/// A module, or files of it, and what may be named there: modules and libraries below. All may name `error`.
const ROOMS: &str = "
atomic: | geom: | hash: | index: | file_lock: | location: | printable: | spelling: | lib: | main: | bin:
scene: geom
crs: geom scene gdal
stitch: geom scene
learn: atomic geom location
journal: atomic geom hash file_lock
embeddings: atomic geom hash journal
search: embeddings geom
raster: atomic crs geom hash scene location gdal gdal_sys
vector: atomic crs geom hash location printable scene spelling raster gdal gdal_sys
outputs: atomic hash file_lock journal raster scene vector
pipeline: crs embeddings geom hash index learn scene location printable spelling
network: geom tch
model/torch: atomic geom hash file_lock scene network tch torch_sys
model: atomic geom hash file_lock location scene network
evaluate: atomic geom location printable scene raster
preview: geom scene raster vector
page: atomic geom scene raster vector
serve: atomic crs geom scene
reproduce: evaluate geom
change: crs evaluate geom location scene raster
report: change geom learn scene pipeline printable model vector
train: atomic geom model network raster scene tch
cli: change pipeline evaluate scene vector clap
run: atomic change cli crs embeddings evaluate file_lock geom hash index journal learn location model network outputs page pipeline preview raster \
    report reproduce scene search serve spelling stitch train vector
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

/// The files of a source folder by their modules, `["run", "serve"]`, without tests; and what each says, without comments.
fn modules(root: &Path) -> HashMap<Vec<String>, String> {
    let files = glob::glob(&format!("{}/**/*.rs", root.display())).expect("a pattern").flatten();
    let comments = Regex::new("//.*").expect("a pattern");
    let tests = Regex::new(r"#\[cfg\(test\)\]\n(?:pub )?mod tests \{").expect("a pattern");
    let module = |file: &Path| {
        let path = file.strip_prefix(root).expect("a file below").with_extension("");
        let mut names: Vec<String> = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
        names.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
        names
    };
    let all = files.map(|file| (module(&file), fs::read_to_string(&file).expect("a source file")));
    let all = all.filter(|(module, _)| !module.iter().any(|name| name.contains("test") || name == "bin"));
    let code = |text: &str| {
        let code = tests.split(text).flatten().next().unwrap_or_default();
        comments.replace_all(code, "").into_owned()
    };
    all.map(|(module, text)| (module, code(&text))).collect()
}

/// The paths of `crate::…` and `super::…` in some code, braces of `use` followed.
fn paths(code: &str) -> Vec<String> {
    let start = Regex::new(r"\b(?:crate|super)::").expect("a pattern");
    let mut found = Vec::new();
    for at in start.find_iter(code).flatten().map(|found| found.start()) {
        let mut prefixes = vec![String::new()];
        let mut path = String::new();
        for letter in code[at..].chars() {
            match letter {
                '{' => prefixes.push(std::mem::take(&mut path)),
                _ if letter.is_alphanumeric() || letter == '_' || letter == ':' => path.push(letter),
                ',' | '}' if prefixes.len() > 1 => {
                    found.push(prefixes.concat() + &std::mem::take(&mut path));
                    if letter == '}' {
                        prefixes.pop();
                    }
                }
                _ if letter.is_whitespace() && prefixes.len() > 1 => {}
                _ => break,
            }
        }
        found.push(prefixes.concat() + &path);
    }
    found
}

/// The module that a path begins with, seen from `from`, and the rest of the path.
fn resolved<'a>(
    modules: &HashMap<Vec<String>, String>,
    from: &[String],
    path: &'a str,
) -> (Vec<String>, Option<&'a str>) {
    let mut at = from.to_vec();
    let mut names = path.split("::").filter(|name| !name.is_empty()).peekable();
    while let Some(name) = names.next_if(|name| ["crate", "super", "self"].contains(name)) {
        match name {
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            _ => {}
        }
    }
    while let Some(name) = names.peek() {
        at.push((*name).to_owned());
        if !modules.contains_key(&at) {
            at.pop();
            break;
        }
        names.next();
    }
    (at, names.next())
}

/// Modules that name each other cannot be read one after the other. A module may name what is inside it, and the inside its module.
#[test]
fn modules_name_each_other_in_one_direction() {
    let roots = glob::glob(&repository("crates/*/src").display().to_string()).expect("a pattern").flatten();
    for root in roots.chain([repository("src")]) {
        let modules = modules(&root);
        // What a module passes on is its child's: `pub use child::Name`.
        let reexport =
            Regex::new(r"pub(?:\([^)]*\))? use (?:self::)?((?:super::|crate::)?\w[^;]*);").expect("a pattern");
        let mut passed_on: HashMap<(Vec<String>, String), Vec<String>> = HashMap::new();
        for (module, code) in &modules {
            for found in reexport.captures_iter(code).flatten() {
                let text = found.get(1).map_or("", |text| text.as_str());
                let text = if text.starts_with("crate::") || text.starts_with("super::") {
                    text.to_owned()
                } else {
                    format!("crate::{}{text}", module.iter().map(|name| format!("{name}::")).collect::<String>())
                };
                for path in paths(&format!("{text};")) {
                    let (target, name) = resolved(&modules, module, &path);
                    passed_on.extend(name.map(|name| ((module.clone(), name.to_owned()), target)));
                }
            }
        }
        let named = |module: &Vec<String>| -> BTreeSet<Vec<String>> {
            let mut found = BTreeSet::new();
            for path in paths(&modules[module]) {
                let (mut target, name) = resolved(&modules, module, &path);
                while let Some(next) = name.and_then(|name| passed_on.get(&(target.clone(), name.to_owned()))) {
                    if *next == target {
                        break;
                    }
                    target = next.clone();
                }
                if !target.is_empty() && !target.starts_with(module) && !module.starts_with(&target) {
                    found.insert(target);
                }
            }
            found
        };
        let names: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> =
            modules.keys().map(|module| (module.clone(), named(module))).collect();
        // Modules that name none of the rest, or that none of the rest names, are in no circle.
        let mut rest: BTreeSet<&Vec<String>> = names.keys().collect();
        let is_end = |module: &Vec<String>, rest: &BTreeSet<&Vec<String>>| {
            !names[module].iter().any(|named| rest.contains(named))
                || !rest.iter().any(|of| names[*of].contains(module))
        };
        while let Some(end) = rest.iter().find(|module| is_end(module, &rest)).copied() {
            rest.remove(end);
        }
        let told = |module: &&Vec<String>| {
            let named: Vec<String> =
                names[*module].iter().filter(|named| rest.contains(named)).map(|named| named.join("::")).collect();
            format!("{} names {}", module.join("::"), named.join(", "))
        };
        let circles: Vec<String> = rest.iter().map(told).collect();
        assert!(circles.is_empty(), "{}: modules in circles, or between two:\n{}", root.display(), circles.join("\n"));
    }
}

#[test]
fn paths_are_read_off_code() {
    let code = "use crate::a::{self, b::{C, D}};\nfn f() { super::g::h(1, crate::i::J { k: 2 }) }";
    let expected = ["crate::a::self", "crate::a::b::C", "crate::a::b::D", "super::g::h", "crate::i::J"];
    let found: Vec<String> = paths(code).into_iter().filter(|path| expected.contains(&path.as_str())).collect();
    assert_eq!(found, expected);
}
