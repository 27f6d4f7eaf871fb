//! Words in messages: foreign text made harmless, and what was probably meant.

pub use crate::location::without_credentials;
pub(super) use crate::printable::printable_line as printable;
pub(super) use crate::spelling::nearest;

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

/// "Did you mean …?" or the list of what is allowed.
pub(super) fn suggestion(written: &str, allowed: &[&str]) -> String {
    match nearest(written, allowed.iter().copied()) {
        Some(meant) => format!("Did you mean `{meant}`?"),
        None if allowed.is_empty() => "This value has no keys.".to_owned(),
        None => format!("Allowed here: {}.", allowed.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ")),
    }
}
