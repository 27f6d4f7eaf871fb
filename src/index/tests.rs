use proptest::prelude::*;

use super::*;

fn holds(text: &str, values: &[(&str, f32)]) -> bool {
    let condition = Condition::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let bands: Vec<Vec<f32>> = condition
        .bands()
        .iter()
        .map(|band| vec![values.iter().find(|(name, _)| name == band).unwrap_or_else(|| panic!("no {band}")).1])
        .collect();
    let bands: Vec<&[f32]> = bands.iter().map(Vec::as_slice).collect();
    condition.holds(&bands, 1)[0]
}

fn error(text: &str) -> ParseError {
    Condition::parse(text).expect_err(text)
}

#[test]
fn indices_are_normalised_differences() {
    let values = [("red", 30.0), ("green", 60.0), ("nir", 20.0), ("swir16", 10.0)];
    // (60 - 20) / 80 = 0.5; (20 - 30) / 50 = -0.2; (60 - 10) / 70 = 0.714; (10 - 20) / 30 = -0.333.
    for (text, expected) in [
        ("ndwi == 0.5", true),
        ("NDWI > 0.5", false),
        ("ndvi < -0.19 and ndvi > -0.21", true),
        ("mndwi > 0.71 and mndwi < 0.72", true),
        ("not ndbi > -0.34", false),
        ("ndbi > 0 or ndwi >= 0.5", true),
        ("(green - nir) / (green + nir) == ndwi", true),
        ("2 + 3 * 4 == 14 and (2 + 3) * 4 == 20 and -2 * -3 == 6 && 1e1 == 10", true),
        ("8 / 4 / 2 == 1 and 8 - 4 - 2 == 2", true),
        ("min(red, green, nir) == 20 and max(red, 7) == 30 and abs(-2) == 2 and sqrt(9) == 3", true),
        ("red > 10 or red > 20 and red > 90", true),
        ("(red > 10 or red > 20) and red > 90", false),
    ] {
        assert_eq!(holds(text, &values), expected, "{text}");
    }
}

#[test]
fn nothing_is_decided_without_data() {
    let values = [("nir", f32::NAN), ("green", 0.0), ("red", 1.0)];
    for text in ["ndwi > 0", "ndwi <= 0", "not ndwi > 0", "red / green > 0", "red / green < 0", "min(red, nir) < 5"] {
        assert!(!holds(text, &values), "{text}");
    }
    assert!(holds("red > 0 or nir > 0", &values));
    assert!(!holds("red > 0 and nir > 0", &values));
    assert!(holds("not (red < 0 and nir > 0)", &values));
}

#[test]
fn errors_say_where_and_what() {
    let at = |text: &str| {
        let error = error(text);
        (error.offset, error.len, error.message)
    };
    assert_eq!(at("ndwi"), (0, 4, "a number stands where a condition is needed".into()));
    assert_eq!(at("ndwi > 0.2 + (red > 1)"), (13, 9, "a condition stands where a number is needed".into()));
    assert_eq!(at("ndwi = 0.2").0, 5);
    assert_eq!(at("ndwi > "), (6, 1, "the condition ends too early".into()));
    assert_eq!(at("0 < ndwi < 1").2, "the condition compares a comparison");
    assert_eq!(at("(ndwi > 0").2, "the condition lacks a closing bracket");
    assert_eq!(at("ndwi > 0 )").2, "the condition ends before this");
    assert_eq!(at("exp(red) > 0").2, "the condition is not a function");
    assert_eq!(at("abs(red, 1) > 0").2, "the condition takes one value");
    assert_eq!(at("4b > 0").2, "\"4b\" is not a number");
    assert_eq!(at("").2, "the condition ends too early");
    assert!(error("red ^ 2 > 1").hint.contains("no power"));
    assert!(error(&"(".repeat(900)).message.contains("too deep"));
    assert!(error(&"1".repeat(1001)).message.contains("at most 1000"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Any text is refused or understood, and what is understood can be evaluated; places lie inside the text.
    #[test]
    fn any_text_is_refused_or_understood(parts in proptest::collection::vec(
        prop_oneof![
            "[a-z]{1,3}", "[0-9.e]{1,4}", Just(" ".into()), Just("(".into()), Just(")".into()), Just("<".into()),
            Just(">=".into()), Just(" and ".into()), Just(" not ".into()), Just("-".into()), Just("/".into()),
            Just("ndwi".into()), Just("min(".into()), Just(",".into()), "\\PC",
        ], 0..40)
    ) {
        let text: String = parts.concat();
        match Condition::parse(&text) {
            Ok(condition) => {
                let values = vec![[0.5f32, f32::NAN, -3.0, 1e30]; condition.bands().len()];
                let bands: Vec<&[f32]> = values.iter().map(|band| band.as_slice()).collect();
                prop_assert_eq!(condition.holds(&bands, 4).len(), 4);
            }
            Err(error) => {
                prop_assert!(error.offset + error.len <= text.chars().count().max(1), "{:?} in {text:?}", error);
                prop_assert!(!error.message.is_empty() && !error.hint.is_empty());
            }
        }
    }

    /// What is written from numbers is computed as Rust computes it.
    #[test]
    fn arithmetic_is_that_of_numbers(a in -50i32..50, b in -50i32..50, c in 1i32..50) {
        let expected = f64::from(a) - f64::from(b) * f64::from(c) / f64::from(c + 1);
        let text = format!("abs(({a}) - ({b}) * {c} / ({c} + 1) - ({expected})) < 1e-9");
        prop_assert!(Condition::parse(&text).unwrap().holds(&[], 1)[0], "{}", text);
    }
}
