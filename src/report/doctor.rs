//! The findings of `segearth doctor`, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::text::{Paint, left, printable};
use crate::pipeline::without_credentials;

/// Facts in sections, and what is wrong.
#[derive(Debug, Default)]
pub struct DoctorReport {
    sections: Vec<(&'static str, Vec<Fact>)>,
    findings: Vec<Finding>,
}

/// One fact: words for people, a value for programs.
#[derive(Debug)]
struct Fact {
    name: String,
    text: String,
    value: Value,
}

/// Something that does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Runs cannot do without it.
    pub is_error: bool,
    /// What is wrong, without a full stop.
    pub message: String,
    /// The way out, a full sentence.
    pub hint: String,
}

impl DoctorReport {
    /// Begins a section; facts go to the last one.
    pub fn section(&mut self, name: &'static str) {
        self.sections.push((name, Vec::new()));
    }

    /// Adds a fact whose text is its value.
    pub fn fact(&mut self, name: &str, text: impl Into<String>) {
        let text = text.into();
        self.valued_fact(name, text.clone(), Value::from(text));
    }

    /// Adds a fact with another value for programs.
    pub fn valued_fact(&mut self, name: &str, text: impl Into<String>, value: Value) {
        if let Some((_, facts)) = self.sections.last_mut() {
            facts.push(Fact { name: name.to_owned(), text: text.into(), value });
        }
    }

    /// Adds what a run cannot do without.
    pub fn error(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(Finding { is_error: true, message: message.into(), hint: hint.into() });
    }

    /// Adds what limits runs.
    pub fn note(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.findings.push(Finding { is_error: false, message: message.into(), hint: hint.into() });
    }

    /// What runs cannot do without, in the order of the checks.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.is_error)
    }

    /// One JSON object: a key for each section, `problems`, and `ok`, which is false where a run would fail. The home folder is `~`.
    pub(super) fn json(&self, home: Option<&str>) -> String {
        let mut object = Map::new();
        for (name, facts) in &self.sections {
            let facts = facts.iter().map(|fact| (fact.name.replace(' ', "_"), fact.value.clone()));
            object.insert((*name).to_owned(), Value::Object(facts.collect()));
        }
        let problems = self.findings.iter().map(|finding| {
            let severity = if finding.is_error { "error" } else { "note" };
            json!({ "severity": severity, "message": finding.message, "hint": finding.hint })
        });
        object.insert("problems".to_owned(), problems.collect());
        object.insert("ok".to_owned(), Value::from(self.errors().next().is_none()));
        let mut object = Value::Object(object);
        for_each_text(&mut object, &|text| *text = public(text, home));
        format!("{object:#}\n")
    }

    pub(super) fn render(&self, paint: Paint, home: Option<&str>) -> String {
        let mut text = String::new();
        let names = self.sections.iter().flat_map(|(_, facts)| facts.iter().map(|fact| fact.name.chars().count()));
        let width = names.max().unwrap_or(0).min(28) + 2;
        for (name, facts) in self.sections.iter().filter(|(_, facts)| !facts.is_empty()) {
            let _ = writeln!(text, "{}", paint.bold(&name.replace('_', " ")));
            for fact in facts {
                let lines = public(&fact.text, home);
                for (index, line) in lines.lines().enumerate() {
                    let name = if index == 0 { fact.name.as_str() } else { "" };
                    let _ = writeln!(text, "  {}{}", left(name, width), printable(line));
                }
            }
            text.push('\n');
        }
        if self.findings.is_empty() {
            text.push_str("No problem was found.\n");
        }
        for finding in &self.findings {
            let severity = if finding.is_error { paint.error("error:") } else { paint.bold("note:") };
            let _ = writeln!(text, "{severity} {}", printable(&public(&finding.message, home)));
            let _ = writeln!(text, "  {} {}", paint.hint("hint:"), printable(&public(&finding.hint, home)));
        }
        text
    }
}

fn for_each_text(value: &mut Value, change: &dyn Fn(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(values) => values.iter_mut().for_each(|value| for_each_text(value, change)),
        Value::Object(object) => object.values_mut().for_each(|value| for_each_text(value, change)),
        _ => {}
    }
}

/// Text that may stand in a bug report: no credentials in addresses, and the user's folder as `~`.
fn public(text: &str, home: Option<&str>) -> String {
    let text = without_credentials(text);
    let Some(home) = home.filter(|home| home.len() > 1) else { return text };
    let mut shown = String::with_capacity(text.len());
    let mut parts = text.split(home).peekable();
    while let Some(part) = parts.next() {
        shown.push_str(part);
        if let Some(after) = parts.peek() {
            // `/root` is no home in `/srv/root/a` or `/rooted`.
            let in_name = |c: char| c.is_alphanumeric() || "._-".contains(c);
            let inside = shown.chars().next_back().is_some_and(in_name) || after.chars().next().is_some_and(in_name);
            shown.push_str(if inside { home } else { "~" });
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> DoctorReport {
        let mut report = DoctorReport::default();
        report.section("folders");
        report.valued_fact("cache", "/home/ann/.cache, 3 GB free", json!({ "path": "/home/ann/.cache", "free": 3 }));
        report.fact("mirror", "https://ann:secret@example.org/?token=secret");
        report.note("no driver", "Install one.");
        report
    }

    #[test]
    fn secrets_and_the_home_folder_are_left_out() {
        for text in [report().json(Some("/home/ann")), report().render(Paint::new(false), Some("/home/ann"))] {
            assert!(!text.contains("secret") && !text.contains("/home/ann"), "{text}");
            assert!(text.contains("~/.cache") && text.contains("example.org"), "{text}");
        }
    }

    #[test]
    fn only_whole_paths_of_the_home_folder_are_shortened() {
        for (text, shown) in [
            ("/root/a, /srv/root/b", "~/a, /srv/root/b"),
            ("/root", "~"),
            ("/rooted /root:/root/lib", "/rooted ~:~/lib"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(public(text, Some("/root")), shown);
        }
    }

    #[test]
    fn only_errors_make_the_installation_unfit() {
        let mut report = report();
        assert!(report.json(None).contains("\"ok\": true"));
        report.error("no disk", "Make room.");
        assert!(report.json(None).contains("\"ok\": false"));
        assert_eq!(report.errors().count(), 1);
        let text = report.render(Paint::new(false), None);
        assert!(
            text.ends_with("note: no driver\n  hint: Install one.\nerror: no disk\n  hint: Make room.\n"),
            "{text}"
        );
    }
}
