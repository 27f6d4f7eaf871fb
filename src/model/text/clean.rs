//! CLIP's clean-up of prompts, before they are split into words.

use super::html::unescape;

/// Cleans a prompt as CLIP does: repairs wrong encodings, curly quotes, ligatures and full-width letters (`ftfy` with its defaults, in
/// its port `plsfix`), resolves HTML references twice, collapses and strips white space, and converts to lower case.
///
/// The port differs from `ftfy` in two points: references are resolved even beside a literal `<`, and of a terminal sequence only the
/// escape character is removed.
pub fn clean(prompt: &str) -> String {
    let repaired = plsfix::fix_text(prompt, None);
    let plain = unescape(&unescape(&repaired));
    plain.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prompts_are_cleaned() {
        for (dirty, expected) in [
            ("  Road\twith   spaces ", "road with spaces"),
            ("A\u{a0}B\n\nC", "a b c"),
            ("the house’s “roof”", "the house's \"roof\""),
            ("ﬁeld", "field"),
            ("Ｒoad", "road"),
            ("schÃ¶n", "schön"),
            ("e\u{301}tang", "étang"),
            ("&lt;b&gt;", "<b>"),
            ("&amp;lt;double&amp;gt;", "<double>"),
            ("ÉTANG", "étang"),
            ("ΟΔΟΣ", "οδος"),
            ("\u{feff}road", "road"),
            (" \t ", ""),
        ] {
            assert_eq!(clean(dirty), expected, "{dirty:?}");
        }
    }

    proptest! {
        #[test]
        fn cleaned_text_has_single_spaces_and_no_capitals(
            text in "\\PC{0,60}",
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            // The bytes decoded as Latin-1, as in text with a wrong encoding.
            let latin: String = bytes.iter().map(|&byte| char::from(byte)).collect();
            for dirty in [text, String::from_utf8_lossy(&bytes).into_owned(), latin] {
                let clean = clean(&dirty);
                prop_assert_eq!(clean.split_whitespace().collect::<Vec<_>>().join(" "), clean.as_str(), "{:?}", dirty);
                prop_assert_eq!(clean.to_lowercase(), clean.as_str(), "{:?}", dirty);
            }
        }

        #[test]
        fn plain_words_are_unchanged(words in prop::collection::vec("[a-z0-9]{1,8}", 1..6), gap in "[ \t\n]{1,3}") {
            prop_assert_eq!(clean(&words.join(&gap)), words.join(" "));
        }
    }
}
