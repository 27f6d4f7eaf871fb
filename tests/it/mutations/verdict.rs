//! Whether a run was as every run has to be, and what is told of one that was not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Case;
use super::child::{Ended, MOST_MEMORY, MOST_SECONDS};

/// What is wrong with how a case ended; nothing, if all is well. `before`: the files that were there.
pub fn faults(case: &Case, before: &BTreeMap<PathBuf, u64>, ended: &Ended) -> Vec<String> {
    let mut faults = Vec::new();
    let said = String::from_utf8_lossy(&ended.said);
    match ended.code {
        None => faults.push(if ended.killed { "it had to be killed" } else { "a signal ended it" }.to_owned()),
        Some(0) if case.never_taken => faults.push("it was taken".to_owned()),
        Some(0) => {}
        Some(1) => {
            faults.extend(words(&said));
            faults.extend(traces(case, before));
        }
        Some(code) => faults.push(format!("exit code {code}")),
    }
    for (name, bytes) in [("standard error", &ended.said), ("standard output", &ended.printed)] {
        match std::str::from_utf8(bytes) {
            Err(_) => faults.push(format!("{name} is not UTF-8")),
            Ok(text) if text.contains(|c: char| c.is_control() && c != '\n') => {
                faults.push(format!("{name} has control characters"));
            }
            Ok(_) => {}
        }
    }
    if said.contains("panicked") {
        faults.push("it panicked".to_owned());
    }
    if ended.seconds > MOST_SECONDS {
        faults.push(format!("it took {:.1} s", ended.seconds));
    }
    if ended.memory > MOST_MEMORY {
        faults.push(format!("it took {} MB", ended.memory / 1_000_000));
    }
    let partial = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "part");
    faults.extend(case.work.files().keys().filter(partial).map(|path| format!("{} is left", path.display())));
    faults
}

/// A refusal is notes, then one error of a few lines.
fn words(said: &str) -> Option<String> {
    let error = said.lines().position(|line| line.starts_with("error: "));
    match error {
        None => Some("no line begins with `error: `".to_owned()),
        Some(error) if !said.lines().take(error).all(|line| line.starts_with("note: ")) => {
            Some("something stands before the error that is no note".to_owned())
        }
        Some(_) if said.len() > 20_000 => Some(format!("{} bytes were said", said.len())),
        Some(_) => None,
    }
}

/// After a refusal no file is new or changed, but for what belongs to an unfinished run.
fn traces(case: &Case, before: &BTreeMap<PathBuf, u64>) -> Vec<String> {
    let unfinished =
        |path: &Path| path.components().any(|part| part.as_os_str().as_encoded_bytes().ends_with(b".unfinished"));
    let after = case.work.files();
    let new = after.iter().filter(|(path, hash)| before.get(*path) != Some(hash) && !unfinished(path));
    let lost = before.keys().filter(|path| !after.contains_key(*path) && !unfinished(path));
    new.map(|(path, _)| format!("{} is new or changed", path.display()))
        .chain(lost.map(|path| format!("{} is gone", path.display())))
        .collect()
}

/// Prints a failure, and keeps its folder where `SEGEARTH_MUTATIONS_KEEP` says.
pub fn show(name: &str, case: &Case, ended: &Ended, faults: &[String]) {
    let said: String = String::from_utf8_lossy(&ended.said).chars().take(3000).collect();
    let command = case.args.join(" ");
    let (code, faults) = (ended.code, faults.join("; "));
    println!("\n{name}: {faults}\n  segearth {command}\n  code {code:?}, {:.1} s\n{said}", ended.seconds);
    let Some(folder) = std::env::var_os("SEGEARTH_MUTATIONS_KEEP") else { return };
    let folder = PathBuf::from(folder).join(name.replace(", ", "-").replace(' ', "-"));
    fs::create_dir_all(&folder).expect("a folder to keep failures in");
    for path in case.work.files().keys().filter(|path| path.is_file()) {
        let to = folder.join(path.strip_prefix(case.work.path("")).expect("a file of the case"));
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(path, to).expect("a copy");
    }
    fs::write(folder.join("command.txt"), format!("{command}\n{faults}\n{said}\n")).expect("what was said");
}
