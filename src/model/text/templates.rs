//! Prompt templates: sentences into which a prompt is inserted, and whose features are averaged.

use std::path::Path;

use crate::error::{Context, Error, Result};

/// Where a template takes the prompt.
const BLANK: &str = "{}";

/// Templates that a file may have: the text tower runs once for each, for every prompt.
const MAX_TEMPLATES: usize = 10_000;

/// Bytes that a file of templates may have.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The forms of CLIP's ImageNet templates: a letter, the sentence, and the values of `*`. `@` is the article.
const FORMS: [(char, &str, &[&str]); 7] = [
    (
        'q',
        "a * photo of @ {}.",
        &[
            "bad",
            "cropped",
            "low resolution",
            "bright",
            "dark",
            "close-up",
            "black and white",
            "pixelated",
            "jpeg corrupted",
            "blurry",
            "good",
        ],
    ),
    ('s', "a photo of @ * {}.", &["hard to see", "clean", "dirty", "cool", "large", "nice", "weird", "small"]),
    (
        'm',
        "a * of @ {}.",
        &["photo", "sculpture", "rendering", "tattoo", "drawing", "painting", "doodle", "sketch", "rendition"],
    ),
    ('n', "* of @ {}.", &["graffiti", "art", "itap"]),
    ('t', "@ * {}.", &["embroidered", "plastic", "origami", "toy", "cartoon", "plushie"]),
    ('v', "@ {} in a *.", &["video game"]),
    ('o', "* {}.", &["a photo of many", "a photo of my", "a photo of one", "itap of my"]),
];

/// The order of CLIP's list: form and number within it, a capital for the article "the".
const ORDER: &str = "q0 o0 m1 S0 Q2 m2 n0 Q0 Q1 m3 T0 s0 q3 s1 s2 Q4 m4 o1 T1 S3 q5 Q6 M5 m5 Q7 M1 Q3 q1 t1 S2 q8 Q9 M0 Q10 M2 v0 \
     o2 m6 Q5 m0 T2 V0 m7 M6 t2 q2 T3 M8 S1 s4 m8 s5 s6 q9 t4 n1 M7 t0 q7 N2 Q8 q10 t5 S5 S7 S6 T4 N1 M4 S4 q6 T5 \
     q4 n2 N0 t3 o3 s3 s7 M3";

/// CLIP's 80 ImageNet templates in their published order, each with one `{}`.
pub fn imagenet_templates() -> Vec<String> {
    ORDER
        .split_ascii_whitespace()
        .filter_map(|code| {
            let letter = code.chars().next()?;
            let article = if letter.is_ascii_uppercase() { "the" } else { "a" };
            let (_, form, words) = FORMS.iter().find(|(form, ..)| *form == letter.to_ascii_lowercase())?;
            let word = words.get(code[1..].parse::<usize>().ok()?)?;
            Some(form.replace('*', word).replace('@', article))
        })
        .collect()
}

/// Puts a prompt into a template.
pub fn fill(template: &str, prompt: &str) -> String {
    template.replacen(BLANK, prompt, 1)
}

/// Reads templates from a file, one a line, each with exactly one `{}`; empty lines are passed over.
pub fn read_templates(path: &Path) -> Result<Vec<String>> {
    let file = || format!("cannot read the templates in {}", path.display());
    let bytes = super::vocabulary::read_limited(path, MAX_FILE_BYTES).input(file)?;
    let text = String::from_utf8(bytes).map_err(|_| Error::input("the file is not UTF-8 text")).input(file)?;
    parse_templates(&text).input(file)
}

/// Templates from text, as [`read_templates`] takes them; errors name the line, counted from 1.
pub fn parse_templates(text: &str) -> Result<Vec<String>> {
    let mut templates = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        let blanks = line.matches(BLANK).count();
        match (line.is_empty(), blanks) {
            (true, _) => continue,
            (false, 1) => templates.push(line.to_owned()),
            (false, _) => {
                return Err(Error::input(format!(
                    "line {} has {blanks} placeholders ({BLANK}), not one: {:?}",
                    index + 1,
                    line.chars().take(80).collect::<String>()
                ))
                .with_hint("Write one template per line, such as: a satellite photo of a {}."));
            }
        }
    }
    match templates.len() {
        0 => Err(Error::input("there are no templates")
            .with_hint("Write one template per line, such as: a satellite photo of a {}.")),
        1..=MAX_TEMPLATES => Ok(templates),
        count => Err(Error::input(format!("there are {count} templates; at most {MAX_TEMPLATES} are allowed"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash;

    /// The hash is that of CLIP's published list, joined with newlines.
    #[test]
    fn imagenet_templates_equal_clip() {
        let templates = imagenet_templates();
        assert_eq!(templates.len(), 80);
        for (index, expected) in [
            (0, "a bad photo of a {}."),
            (4, "a low resolution photo of the {}."),
            (35, "a {} in a video game."),
            (36, "a photo of one {}."),
            (59, "itap of the {}."),
            (79, "a tattoo of the {}."),
        ] {
            assert_eq!(templates[index], expected, "template {index}");
        }
        assert_eq!(hash::of(templates.join("\n")), "4f976686fb651bb5803d4689dcd849f75efe0ef19a3c801355bc9a6f03c8a5af");
    }

    #[test]
    fn prompt_is_inserted_unchanged() {
        assert_eq!(fill("a photo of a {}.", "{} roof"), "a photo of a {} roof.");
    }

    #[test]
    fn invalid_templates_are_refused_with_their_line() {
        assert_eq!(parse_templates("a {}.\n\n the {} \r\n").unwrap(), ["a {}.", "the {}"]);
        for (text, expected) in [
            ("a {}.\na photo", "line 2 has 0 placeholders"),
            ("{} and {}", "line 1 has 2 placeholders"),
            ("\n \n", "there are no templates"),
        ] {
            let message = parse_templates(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
