//! HTML character references as HTML 5 and Python's `html.unescape` resolve them, the faulty ones included.

#![expect(clippy::indexing_slicing, reason = "32 letters for the 32 numbers of the pattern")]

use html_escape::NAMED_ENTITIES;

/// Names that HTML 5 also resolves without a semicolon, and at the head of a longer word ("&ampere" is "&ere").
const WITHOUT_SEMICOLON: &str = "AElig AMP Aacute Acirc Agrave Aring Atilde Auml COPY Ccedil ETH Eacute Ecirc Egrave \
     Euml GT Iacute Icirc Igrave Iuml LT Ntilde Oacute Ocirc Ograve Oslash Otilde Ouml QUOT REG THORN Uacute Ucirc \
     Ugrave Uuml Yacute aacute acirc acute aelig agrave amp aring atilde auml brvbar ccedil cedil cent copy curren deg \
     divide eacute ecirc egrave eth euml frac12 frac14 frac34 gt iacute icirc iexcl igrave iquest iuml laquo lt macr \
     micro middot nbsp not ntilde oacute ocirc ograve ordf ordm oslash otilde ouml para plusmn pound quot raquo reg sect \
     shy sup1 sup2 sup3 szlig thorn times uacute ucirc ugrave uml uuml yacute yen yuml";

/// What the numbers 0x80..=0x9F mean: Windows-1252, with five holes that stay control characters.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Longest name, in characters, that is looked at.
const MAX_NAME: usize = 32;

/// Resolves every reference once: `&amp;lt;` becomes `&lt;`.
pub(super) fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match rest[1..].strip_prefix('#') {
            Some(number) => numeric(number, &mut out).map(|length| length + 2),
            None => named(&rest[1..], &mut out).map(|length| length + 1),
        };
        let taken = taken.unwrap_or_else(|| {
            out.push('&');
            1
        });
        rest = &rest[taken..];
    }
    out.push_str(rest);
    out
}

/// Resolves what follows `&#`; returns the bytes read, `None` without digits.
fn numeric(text: &str, out: &mut String) -> Option<usize> {
    let (radix, prefix) = if text.starts_with(['x', 'X']) { (16, 1) } else { (10, 0) };
    let digits = text[prefix..].bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
    if digits == 0 {
        return None;
    }
    let number = text[prefix..prefix + digits]
        .chars()
        .filter_map(|digit| digit.to_digit(radix))
        .fold(0u32, |number, digit| number.saturating_mul(radix).saturating_add(digit));
    match number {
        0 => out.push(char::REPLACEMENT_CHARACTER),
        0x80..=0x9F => out.push(WINDOWS_1252[number as usize - 0x80]),
        0x01..=0x08 | 0x0B | 0x0E..=0x1F | 0x7F | 0xFDD0..=0xFDEF => {}
        // The last two code points of every plane are no characters.
        0..=0x10FFFF if number & 0xFFFE == 0xFFFE => {}
        _ => out.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)),
    }
    let end = prefix + digits;
    Some(end + usize::from(text[end..].starts_with(';')))
}

/// Resolves what follows `&`; returns the bytes read, `None` where no name fits.
fn named(text: &str, out: &mut String) -> Option<usize> {
    let end = text
        .char_indices()
        .take(MAX_NAME)
        .take_while(|(_, letter)| !matches!(letter, '\t' | '\n' | '\u{c}' | ' ' | '<' | '&' | '#' | ';'))
        .last()
        .map(|(at, letter)| at + letter.len_utf8())?;
    let name = &text[..end];
    if text[end..].starts_with(';')
        && let Some(value) = value_of(name)
    {
        out.push_str(value);
        return Some(end + 1);
    }
    let head =
        WITHOUT_SEMICOLON.split_ascii_whitespace().filter(|known| name.starts_with(known)).max_by_key(|k| k.len());
    out.push_str(value_of(head?)?);
    head.map(str::len)
}

fn value_of(name: &str) -> Option<&'static str> {
    let at = NAMED_ENTITIES.binary_search_by(|(known, _)| (*known).cmp(name.as_bytes())).ok()?;
    NAMED_ENTITIES.get(at).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values computed with Python 3.11's `html.unescape`.
    #[test]
    fn references_are_resolved_as_python_does() {
        for (text, expected) in [
            ("fish &amp; chips", "fish & chips"),
            ("a & b &", "a & b &"),
            ("&amp;lt;b&amp;gt;", "&lt;b&gt;"),
            ("&ampere &notin; &notit; &hellip &hellip;", "&ere ∉ ¬it; &hellip …"),
            ("&AMP&LT;&lt", "&<<"),
            ("&#65;&#x42;&#X43 &#x;", "ABC &#x;"),
            ("&#128;&#x81;&#0;&#1;&#xfffe;&#xD800;&#99999999999;", "€\u{81}\u{fffd}\u{fffd}\u{fffd}"),
            ("&#13;&#x1fffF;.", "\r."),
            ("&;&#;&é; &acE;", "&;&#;&é; \u{223e}\u{333}"),
            ("&CounterClockwiseContourIntegral;&CounterClockwiseContourIntegral", "∳&CounterClockwiseContourIntegral"),
        ] {
            assert_eq!(unescape(text), expected, "{text:?}");
        }
    }
}
