//! Help that was written when the package was made: what `segearth reference help` prints, a file for each command and form.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// The help that the arguments ask for and nothing else: `segearth COMMAND… --help`, `-h`, or `segearth help COMMAND…`. `None` where
/// they ask for something else, or there is no such command: the program says what is wrong.
pub fn asked_for(arguments: &[OsString], folder: &Path, coloured: bool) -> Option<Vec<u8>> {
    let words: Vec<&str> = arguments.iter().map(|argument| argument.to_str()).collect::<Option<_>>()?;
    let (commands, form) = match words.as_slice() {
        ["help", commands @ ..] | [commands @ .., "--help"] => (commands, "long"),
        [commands @ .., "-h"] => (commands, "short"),
        _ => return None,
    };
    let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.contains(['/', '.']);
    if !commands.iter().all(is_name) {
        return None;
    }
    let name = [&["segearth"], commands].concat().join("-");
    let colour = if coloured { ".ansi" } else { "" };
    fs::read(folder.join(format!("{name}.{form}{colour}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_given_where_nothing_else_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["segearth.long", "segearth.long.ansi", "segearth-model-fetch.long", "segearth-model-fetch.short"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let of = |line: &str, coloured| {
            let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            asked_for(&words, folder.path(), coloured).map(|text| String::from_utf8(text).unwrap())
        };
        assert_eq!(of("--help", false).as_deref(), Some("segearth.long"));
        assert_eq!(of("--help", true).as_deref(), Some("segearth.long.ansi"));
        assert_eq!(of("help", false).as_deref(), Some("segearth.long"));
        assert_eq!(of("model fetch --help", false).as_deref(), Some("segearth-model-fetch.long"));
        assert_eq!(of("help model fetch", false).as_deref(), Some("segearth-model-fetch.long"));
        assert_eq!(of("model fetch -h", false).as_deref(), Some("segearth-model-fetch.short"));
        for line in
            ["", "run job.yaml", "nonsense --help", "model ../x --help", "run --device --help", "--quiet --help"]
        {
            assert_eq!(of(line, false), None, "{line}");
        }
    }
}
