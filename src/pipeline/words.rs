//! Words in messages: foreign text made harmless, and what was probably meant.

pub use crate::location::without_credentials;
pub(super) use crate::printable::printable_line as printable;

/// A value as it is named in a message: printable and not too long.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let cut: String = text.chars().take(LONGEST).collect();
    let rest = if text.chars().nth(LONGEST).is_some() { "…" } else { "" };
    format!("`{}{rest}`", printable(&cut))
}

/// What YAML 1.1 takes for `true` and `false`, and YAML 1.2 for text: both are written.
pub(super) fn yes_or_no(text: &str) -> Option<bool> {
    match text.trim().to_lowercase().as_str() {
        "yes" | "on" => Some(true),
        "no" | "off" => Some(false),
        _ => None,
    }
}

/// The candidate that is likely meant by `written`.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&written, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// "Did you mean …?" or the list of what is allowed.
pub(super) fn suggestion(written: &str, allowed: &[&str]) -> String {
    match nearest(written, allowed.iter().copied()) {
        Some(meant) => format!("Did you mean `{meant}`?"),
        None if allowed.is_empty() => "This value has no keys.".to_owned(),
        None => format!("Allowed here: {}.", allowed.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ")),
    }
}
