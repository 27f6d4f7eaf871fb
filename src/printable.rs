//! Text from outside the program as it may be printed: without control characters, and of bounded length.

/// Characters of a text that are shown of its start and its end: a name may have a million.
const SHOWN: [usize; 2] = [3000, 1000];

/// The text with control characters, which could steer the reader's terminal, as U+FFFD; tabs become spaces, line ends stay.
/// A text that is too long loses its middle.
pub fn printable(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() && c != '\n' => '\u{fffd}',
        c => c,
    };
    let [start, end] = SHOWN;
    match text.chars().count() {
        count if count > start + end => {
            let (head, tail) = (text.chars().take(start), text.chars().skip(count - end));
            head.map(shown).chain(['…']).chain(tail.map(shown)).collect()
        }
        _ => text.chars().map(shown).collect(),
    }
}

/// The same for text that must stay on one line, such as a path: line ends become U+FFFD too.
pub fn printable_line(text: &str) -> String {
    printable(text).replace('\n', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_length_is_shown_by_its_start_and_its_end() {
        let whole = "é".repeat(4000);
        assert_eq!(printable(&whole), whole);
        let shown = printable(&format!("a\u{1b}{}z", "é".repeat(1_000_000)));
        assert!(shown.starts_with("a\u{fffd}éé") && shown.contains("é…é") && shown.ends_with("éz"));
        assert_eq!(shown.chars().count(), 4001);
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(printable("a\tb\u{7}\nc"), "a b\u{fffd}\nc");
        assert_eq!(printable_line("a\tb\r\nc"), "a b\u{fffd}\u{fffd}c");
    }
}
