//! Fills a template in one pass: inserted text is not searched again.

#![expect(clippy::indexing_slicing, reason = "64 letters for 6 bits")]

/// Replaces every `{{name}}` of the template. A name without a value stays as it is.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut rest = template;
    while let Some(open) = rest.find("{{") {
        let (before, from) = rest.split_at(open);
        out += before;
        let found = from.find("}}").and_then(|close| {
            let (_, value) = values.iter().find(|(name, _)| *name == &from[2..close])?;
            Some((value, close + 2))
        });
        let (value, end) = found.map_or((&from[..2], 2), |(value, end)| (*value, end));
        out += value;
        rest = &from[end..];
    }
    out + rest
}

/// Text escaped for HTML content and quoted attributes. Control characters, which browsers treat differently, become
/// U+FFFD.
pub(super) fn escaped(text: &str) -> String {
    let plain: String =
        text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect();
    html_escape::encode_quoted_attribute(&plain).into_owned()
}

/// Base64 by RFC 4648, with padding.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for letter in 0..4 {
            let place = (bits >> (18 - 6 * letter) & 63) as usize;
            text.push(if letter <= three.len() { char::from(LETTERS[place]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserted_text_is_not_filled_again() {
        let values = [("a", "{{b}}"), ("b", "x")];
        assert_eq!(fill("{{a}} {{b}} {{c}} {{ {{b}}", &values), "{{b}} x {{c}} {{ x");
    }

    #[test]
    fn base64_matches_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn foreign_text_is_escaped() {
        assert_eq!(escaped("<script>\"'&\0\x1b"), "&lt;script&gt;&quot;&#x27;&amp;\u{fffd}\u{fffd}");
    }
}
