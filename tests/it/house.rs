//! Who may import whom, and what must not appear where: read off the sources themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::workdir::repository;

/// Which of the crate's own rooms each room may name. `error` is everybody's.
const ROOMS: &[(&str, &[&str])] = &[
    ("atomic", &[]),
    ("geom", &[]),
    ("hash", &[]),
    ("held", &[]),
    ("scene", &["geom"]),
    ("location", &[]),
    // The way from a CRS to the earth, which rasters and vectors share.
    ("crs", &["geom", "scene"]),
    ("stitch", &["geom", "scene"]),
    ("journal", &["geom", "hash", "held"]),
    ("raster", &["atomic", "crs", "geom", "hash", "scene", "location"]),
    // One reader of label rasters for all.
    ("vector", &["atomic", "crs", "geom", "hash", "scene", "raster"]),
    // Decides what may be written by what runs before have left: records, and what raster and vector files hold.
    ("outputs", &["atomic", "hash", "held", "journal", "raster", "scene", "vector"]),
    ("pipeline", &["geom", "hash", "scene", "location"]),
    ("network", &["geom"]),
    // import.rs hands checkpoints to the network; torch.rs runs what it traced.
    ("model", &["atomic", "geom", "hash", "held", "scene", "network"]),
    ("evaluate", &["atomic", "geom", "scene", "raster"]),
    ("preview", &["geom", "scene", "raster"]),
    ("page", &["atomic", "geom", "scene", "raster"]),
    ("change", &["crs", "evaluate", "geom", "location", "scene", "raster"]),
    // Plans, downloads and products are shown as they are.
    ("report", &["change", "geom", "scene", "pipeline", "model", "vector"]),
    // Upsamplers for users' models.
    ("train", &["geom", "model", "network", "raster", "scene"]),
    // Arguments become the requests that these take.
    ("cli", &["pipeline", "evaluate", "scene", "vector"]),
    (
        "run",
        &[
            "atomic", "change", "cli", "crs", "evaluate", "geom", "hash", "journal", "model", "network", "outputs",
            "page", "pipeline", "preview", "raster", "report", "scene", "stitch", "train", "vector",
        ],
    ),
    ("main", &[]),
    ("bin", &[]),
    ("lib", &[]),
];

/// Files with `unsafe` in them.
const UNSAFE: &[&str] = &[
    "model/cuda.rs",
    "model/memory.rs",
    "model/torch/kernels/driver.rs",
    "model/torch/kernels/launch.rs",
    "raster/ffi.rs",
    "run/workers.rs",
    "vector/ffi.rs",
];

/// Places where a panic is right, with the reason: (file, words of the line, why).
const PANICS: &[(&str, &str, &str)] = &[];

/// A file of `src` without comments, literals and tests.
struct Source {
    /// Below `src`, with `/`.
    name: String,
    code: String,
    whole: String,
}

impl Source {
    fn room(&self) -> &str {
        self.name.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// Lines of code that hold one of the patterns, as `file:line: text`.
    fn lines_with(&self, patterns: &[&str]) -> Vec<String> {
        let hits =
            self.code.lines().enumerate().filter(|(_, line)| patterns.iter().any(|pattern| holds(line, pattern)));
        hits.map(|(index, line)| format!("src/{}:{}: {}", self.name, index + 1, line.trim())).collect()
    }
}

/// The pattern stands in the line, and not as the end of a longer word.
fn holds(line: &str, pattern: &str) -> bool {
    line.match_indices(pattern).any(|(at, _)| {
        !pattern.starts_with(|c: char| c.is_alphanumeric())
            || !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

fn sources() -> Vec<Source> {
    fn look(folder: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).expect("sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                look(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let whole = fs::read_to_string(&path).expect("a source file");
                let name = path.strip_prefix(repository("src")).expect("a file of src").display().to_string();
                found.push(Source { name, code: without_tests(&blanked(&whole)), whole });
            }
        }
    }
    let mut found = Vec::new();
    look(&repository("src"), &mut found);
    // Files that are modules of tests alone say so where they are declared.
    let tests: Vec<String> = found.iter().flat_map(test_modules).collect();
    found.retain(|source| {
        let stem = source.name.trim_end_matches(".rs").trim_end_matches("/mod");
        !tests.iter().any(|test| stem == test || stem.starts_with(&format!("{test}/")))
    });
    found.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(found.len() > 60, "the sources are found");
    found
}

/// Modules that a file declares for tests alone, as paths below `src` without extension.
fn test_modules(source: &Source) -> Vec<String> {
    let folder = match source.name.strip_suffix("/mod.rs") {
        Some(folder) => format!("{folder}/"),
        None if source.name == "lib.rs" || source.name == "main.rs" => String::new(),
        None => format!("{}/", source.name.trim_end_matches(".rs")),
    };
    let blank = blanked(&source.whole);
    let lines: Vec<&str> = blank.lines().map(str::trim).collect();
    let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]").filter_map(|pair| {
        let name = pair[1].trim_start_matches("pub(crate) ").trim_start_matches("pub ").strip_prefix("mod ")?;
        Some(format!("{folder}{}", name.strip_suffix(';')?))
    });
    declared.collect()
}

/// Blanks comments and the insides of literals; lines stay where they are.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let before = out.chars().next_back().unwrap_or(' ');
        let raw = (!before.is_alphanumeric() && before != '_')
            .then(|| rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r'))
            .flatten()
            .map(|tail| tail.len() - tail.trim_start_matches('#').len())
            .filter(|hashes| rest.trim_start_matches('b')[1..].trim_start_matches('#').starts_with('"') && *hashes < 9);
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(hashes) = raw {
            let open = rest.find('"').unwrap_or(0) + 1;
            let close = format!("\"{}", "#".repeat(hashes));
            rest[open..].find(&close).map_or(rest.len(), |end| open + end + close.len())
        } else if first == '"' {
            string_length(rest)
        } else if first == '\'' && !rest[1..].starts_with('\\') && rest[1..].chars().nth(1) == Some('\'') {
            2 + rest[1..].chars().next().map_or(0, char::len_utf8)
        } else if rest.starts_with("'\\") {
            3 + rest[3..].find('\'').unwrap_or(0) + 1
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        out.extend(rest[..length].chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = &rest[length..];
    }
    out
}

fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Blanks every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let mut depth = 0;
        let end = out[start..].char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            (depth == 0 && (c == '}' || c == ';')).then_some(start + at + 1)
        });
        let end = end.unwrap_or(out.len());
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// Names after `crate::`, also those in braces.
fn rooms_named(code: &str) -> Vec<&str> {
    let mut named = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let word = |text: &'_ str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        match rest.strip_prefix('{') {
            None => named.push(&rest[..word(rest)]),
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && c.is_alphabetic() => {
                            named.push(&list[at..at + word(&list[at..])]);
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    named
}

#[test]
fn this_reader_of_sources_reads() {
    let code = "use crate::{a, b::{c, d}, e};\nlet x = \"panic!(\\\"\"; // panic!\nlet y = r#\"un\"safe\"#;\nlet z = '\"';\n\
                let l: &'static str = crate::f::g();\n#[cfg(test)]\nmod tests {\n    fn t() { panic!() }\n}\nfn after() {}\n";
    let read = without_tests(&blanked(code));
    assert!(!read.contains("panic!") && !read.contains("un") && read.contains("fn after()"), "{read}");
    assert_eq!(read.lines().count(), code.lines().count());
    assert_eq!(rooms_named(&read), ["a", "b", "e", "f"]);
    assert!(holds("x.unwrap()", ".unwrap()") && holds("tch::Tensor", "tch::") && !holds("stitch::Row", "tch::"));
}

#[test]
fn rooms_import_only_whom_they_may() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(allowed) = rooms.get(source.room()) else {
            wrong.push(format!("src/{}: the room {} is not in the list of this test", source.name, source.room()));
            continue;
        };
        for named in rooms_named(&source.code) {
            // What is not a room is something inside the same file or macro.
            let fine = named == source.room() || named == "error" || allowed.contains(&named);
            if !fine && rooms.contains_key(named) {
                wrong.push(format!("src/{}: {} may not import {named}", source.name, source.room()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn libraries_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for source in sources() {
        let (room, name) = (source.room(), source.name.as_str());
        if !["network", "train"].contains(&room) && !name.starts_with("model/torch") {
            wrong.extend(source.lines_with(&["tch::", "torch_sys::"]));
        }
        if !["crs", "raster", "vector"].contains(&room) {
            wrong.extend(source.lines_with(&["gdal::", "gdal_sys::"]));
        }
        if room != "report" {
            wrong.extend(source.lines_with(&[
                "println!",
                "print!",
                "eprintln!",
                "eprint!",
                "dbg!",
                "stdout()",
                "stderr()",
            ]));
        }
        if room != "cli" && room != "main" {
            wrong.extend(source.lines_with(&["clap::"]));
        }
        wrong.extend(source.lines_with(&["process::exit", "process::abort"]));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_in_named_files_and_says_why_it_holds() {
    let mut wrong = Vec::new();
    for source in sources() {
        let uses = source.lines_with(&["unsafe "]);
        if UNSAFE.contains(&source.name.as_str()) {
            assert!(!uses.is_empty(), "src/{} has no unsafe code any more: take it off the list", source.name);
        } else {
            wrong.extend(uses.iter().map(|place| format!("{place}\n  (the file is not on the list)")));
            continue;
        }
        let lines: Vec<&str> = source.whole.lines().collect();
        for (index, line) in source.code.lines().enumerate().filter(|(_, line)| holds(line, "unsafe ")) {
            // `unsafe fn` and foreign declarations tell their callers under `# Safety`.
            let declared = line.contains("unsafe extern") || line.contains("unsafe fn");
            let above = lines[..index].iter().rev().take(12).take_while(|line| !line.trim().is_empty());
            let said = above.chain([&lines[index]]).any(|line| line.contains("SAFETY:") || line.contains("# Safety"));
            if !said && !declared {
                wrong.push(format!("src/{}:{}: {}\n  (no SAFETY note above)", source.name, index + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_panics_on_purpose() {
    let mut wrong = Vec::new();
    let mut used = vec![false; PANICS.len()];
    for source in sources() {
        let patterns = [".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!", "unreachable!", ".unwrap_err("];
        for place in source.lines_with(&patterns) {
            let known = PANICS.iter().position(|(file, words, _)| source.name == *file && place.contains(words));
            match known {
                Some(index) => used[index] = true,
                None => wrong.push(place),
            }
        }
    }
    assert!(wrong.is_empty(), "handle the error, or name the place and its reason in this test:\n{}", wrong.join("\n"));
    for ((file, words, why), used) in PANICS.iter().zip(used) {
        assert!(used, "{file} no longer holds {words:?} ({why}): take it off the list");
    }
}
