//! Addresses without credentials: for messages, records and fingerprints.

use std::path::Path;

use super::remote_file;

/// The text with its addresses reduced to what identifies a file: user, password and query (with signatures) are
/// removed, since they grant access.
///
/// Quotes and backslashes end an address and stay: JSON stays valid.
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
/// GDAL's prefixes of addresses that are given as a query, which may hold headers.
const QUERIES: &[&str] = &["/vsicurl?", "/vsicurl_streaming?"];

/// The first address of a text: the text before it, its mark, and the text after the mark.
fn address(text: &str) -> Option<(&str, &str, &str)> {
    let marks = QUERIES.iter().chain([&SCHEME]);
    let (at, mark) = marks.filter_map(|mark| Some((text.find(mark)?, *mark))).min()?;
    Some((&text[..at], mark, &text[at + mark.len()..]))
}

/// Keys of an address's query that sign it, or limit its validity, in lower case: those of object stores and of
/// services in front of them.
const SIGNING: &[&str] = &[
    "access_token",
    "accesskeyid",
    "apikey",
    "api_key",
    "auth",
    "authorization",
    "awsaccesskeyid",
    "credential",
    "exp",
    "expires",
    "expiry",
    "googleaccessid",
    "hdnea",
    "hdnts",
    "hmac",
    "jwt",
    "key",
    "key-pair-id",
    "ossaccesskeyid",
    "policy",
    "se",
    "security-token",
    "ses",
    "sig",
    "sign",
    "signature",
    "sip",
    "ske",
    "skoid",
    "sks",
    "skt",
    "sktid",
    "skv",
    "sp",
    "spr",
    "sr",
    "srt",
    "ss",
    "st",
    "sv",
    "token",
];

/// A file's identity without credentials: its GDAL name without user, password and query, and the part of the query
/// that does not sign the address (may be empty).
pub fn unsigned(name: &Path) -> (String, String) {
    let Some(file) = remote_file(name) else { return (name.to_string_lossy().into_owned(), String::new()) };
    let (name, file) = (name.to_string_lossy(), file.to_string_lossy());
    let address = address_of(&file);
    // In an object store a question mark is part of a name.
    let queried = address.starts_with("/vsicurl").then(|| address.split_once('?')).flatten();
    let (plain, query) = queried.unwrap_or((&address, ""));
    let is_signing = |part: &&str| {
        let key = part.split('=').next().unwrap_or_default().to_ascii_lowercase();
        SIGNING.contains(&key.as_str())
            || key.starts_with("x-amz-")
            || key.starts_with("x-goog-")
            || key.starts_with("x-oss-")
    };
    let rest: Vec<&str> = query.split('&').filter(|part| !part.is_empty() && !is_signing(part)).collect();
    (without_credentials(&name.replace(file.as_ref(), plain)), rest.join("&"))
}

/// The address in GDAL's name of a remote file; that of `/vsicurl?…&url=…` is one of its options.
fn address_of(file: &str) -> String {
    let Some(options) = QUERIES.iter().find_map(|mark| file.strip_prefix(mark)) else { return file.to_owned() };
    let url = options.split('&').find_map(|option| option.strip_prefix("url=")).unwrap_or_default();
    let mut bytes = url.bytes();
    let mut decoded = Vec::new();
    while let Some(byte) = bytes.next() {
        let digits: Vec<u8> = if byte == b'%' { bytes.clone().take(2).collect() } else { Vec::new() };
        match std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(escaped) if digits.len() == 2 => {
                decoded.push(escaped);
                bytes.nth(1);
            }
            _ => decoded.push(byte),
        }
    }
    format!("/vsicurl/{}", String::from_utf8_lossy(&decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_credentials_removes_secrets() {
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

    #[test]
    fn unsigned_name_has_no_signature() {
        for (name, known, rest) in [
            ("/data/a.tif", "/data/a.tif", ""),
            ("/vsicurl/https://me:pw@x.org/a.tif?X-Amz-Date=1&X-Amz-Signature=ab", "/vsicurl/https://x.org/a.tif", ""),
            ("/vsicurl/https://x.org/get?file=a.tif&sig=1%2F&se=2026", "/vsicurl/https://x.org/get", "file=a.tif"),
            (
                "/vsicurl?max_retry=3&url=https%3A%2F%2Fx.org/a.tif%3Fid=7%26token=z",
                "/vsicurl/https://x.org/a.tif",
                "id=7",
            ),
            (
                "/vsizip/{/vsicurl/https://x.org/s.zip?sig=1}/in/a.tif",
                "/vsizip/{/vsicurl/https://x.org/s.zip}/in/a.tif",
                "",
            ),
            ("/vsis3/bucket/what?.tif", "/vsis3/bucket/what?.tif", ""),
        ] {
            assert_eq!(unsigned(Path::new(name)), (known.to_owned(), rest.to_owned()), "{name}");
        }
    }
}
