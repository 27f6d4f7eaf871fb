//! Selects transitions by name: `land:water`, `*:water`.

use crate::error::{Error, Result};
use crate::scene::ClassInfo;

/// Values of the transitions in `written`, sorted and without duplicates; without any, those of all changes.
///
/// # Errors
/// A text without a colon, or with an unknown class.
pub fn select(classes: &[ClassInfo], written: &[String]) -> Result<Vec<usize>> {
    let mut values = Vec::new();
    let all = ["*:*".to_owned()];
    for text in if written.is_empty() { &all } else { written } {
        let (from, to) = split(classes, text)?;
        for (a, b) in (0..classes.len()).flat_map(|a| (0..classes.len()).map(move |b| (a, b))) {
            // A star is any class other than that of the other end.
            let meant = from.is_none_or(|from| from == a) && to.is_none_or(|to| to == b);
            if meant && (a != b || (from.is_some() && to.is_some())) {
                values.push(a * classes.len() + b);
            }
        }
    }
    values.sort_unstable();
    values.dedup();
    Ok(values)
}

type Ends = (Option<usize>, Option<usize>);

/// Splits at the colon that leaves two known class names, because names may contain colons.
fn split(classes: &[ClassInfo], text: &str) -> Result<Ends> {
    let ends = |at: usize| -> Result<Ends, &str> { Ok((end(classes, &text[..at])?, end(classes, &text[at + 1..])?)) };
    let mut unknown = None;
    for (at, _) in text.match_indices(':') {
        match ends(at) {
            Ok(ends) => return Ok(ends),
            Err(name) => unknown = Some(name),
        }
    }
    let known = || classes.iter().map(|class| class.name.as_str());
    let Some(unknown) = unknown else {
        return Err(Error::input(format!("the transition {text:?} has no colon"))
            .with_hint("Write FROM:TO, such as land:water; * stands for any other class."));
    };
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &unknown.to_lowercase());
    let nearest = known().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|name| likeness(name) > 0.5);
    let hint = match nearest {
        Some(name) => format!("Did you mean {name:?}?"),
        None => "Write FROM:TO, such as land:water; * stands for any other class.".to_owned(),
    };
    let known = known().collect::<Vec<_>>().join(", ");
    Err(Error::input(format!(
        "the transition {text:?} names the class {:?}, but the maps have only: {known}",
        unknown.trim()
    ))
    .with_hint(hint))
}

fn end<'a>(classes: &[ClassInfo], name: &'a str) -> Result<Option<usize>, &'a str> {
    if name.trim() == "*" {
        return Ok(None);
    }
    let same = |class: &ClassInfo| class.name.to_lowercase() == name.trim().to_lowercase();
    classes.iter().position(same).map(Some).ok_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<ClassInfo> {
        ["water", "Land", "a:b"].map(|name| ClassInfo { name: name.into(), colour: [0; 3] }).to_vec()
    }

    fn values(written: &[&str]) -> Vec<usize> {
        let written: Vec<String> = written.iter().map(|text| (*text).to_owned()).collect();
        select(&classes(), &written).unwrap()
    }

    #[test]
    fn selection_accepts_names_stars_and_colons_in_names() {
        assert_eq!(values(&["land:water"]), [3]);
        assert_eq!(values(&[" LAND : water ", "land:water"]), [3]);
        assert_eq!(values(&["*:water"]), [3, 6]);
        assert_eq!(values(&["water:*", "a:b:land"]), [1, 2, 7]);
        assert_eq!(values(&["water:water"]), [0]);
        assert_eq!(values(&[]), [1, 2, 3, 5, 6, 7]);
        assert_eq!(values(&["*:*"]), values(&[]));
    }

    #[test]
    fn unknown_classes_are_explained() {
        let failure = |text: &str| {
            let error = select(&classes(), &[text.to_owned()]).unwrap_err();
            format!("{error} / {}", error.hint().unwrap_or_default())
        };
        insta::assert_snapshot!(
            failure("land:watr"),
            @r#"the transition "land:watr" names the class "watr", but the maps have only: water, Land, a:b / Did you mean "water"?"#
        );
        assert!(failure("landwater").contains("has no colon"));
        assert!(failure(":").contains("such as land:water"), "{}", failure(":"));
    }
}
