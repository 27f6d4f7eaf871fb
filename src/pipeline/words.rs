//! Words in messages: foreign text made harmless, and what was probably meant.

/// Control characters would reach the reader's terminal: they are shown as a placeholder of the same width.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

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
        None if allowed.is_empty() => "Nothing can be set here.".to_owned(),
        None => format!("Allowed here: {}.", allowed.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// A text with its addresses cut down to what names a file: a user, a password and a query (signatures of signed addresses)
/// open what is not the reader's.
///
/// Quotes and backslashes end an address and stay: a JSON text stays one.
pub fn without_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, mark, after)) = address(rest) {
        out = out + before + mark;
        let end = after.find(|c: char| c.is_whitespace() || c.is_control() || "\"'`,]}\\".contains(c));
        let (address, after) = after.split_at(end.unwrap_or(after.len()));
        let host = address.find(['/', '?', '#']).unwrap_or(address.len());
        let address = address[..host].rfind('@').map_or(address, |at| &address[at + 1..]);
        match address.split_once('?') {
            _ if mark != SCHEME => out += "…",
            Some((name, _)) => out = out + name + "?…",
            None => out += address,
        }
        rest = after;
    }
    out + rest
}

const SCHEME: &str = "://";
/// GDAL's names of addresses that come as a query, headers among them.
const QUERIES: &[&str] = &["/vsicurl?", "/vsicurl_streaming?"];

/// The first address of a text: what comes before it, what it is known by, and what follows.
fn address(text: &str) -> Option<(&str, &str, &str)> {
    let marks = QUERIES.iter().chain([&SCHEME]);
    let (at, mark) = marks.filter_map(|mark| Some((text.find(mark)?, *mark))).min()?;
    Some((&text[..at], mark, &text[at + mark.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_no_secrets() {
        for (text, expected) in [
            ("scene: a.tif  # nothing?", "scene: a.tif  # nothing?"),
            ("[https://me:pw@host/a@b.tif?sig=x&y, b.tif]", "[https://host/a@b.tif?…, b.tif]"),
            ("/vsicurl/https://host/a.tif?token=é\n'az://c/b?sv=1' x", "/vsicurl/https://host/a.tif?…\n'az://c/b?…' x"),
            ("s3://bucket/a.tif and ://", "s3://bucket/a.tif and ://"),
            (r#"{"a":"\"https://me:pw@host/a.tif?sig=x\"","b":1}"#, r#"{"a":"\"https://host/a.tif?…\"","b":1}"#),
            ("'/vsicurl?header.Authorization=pw&url=https%3A//h/a.tif' b", "'/vsicurl?…' b"),
            ("https://host?token=x@y", "https://host?…"),
        ] {
            assert_eq!(without_credentials(text), expected);
        }
    }
}
