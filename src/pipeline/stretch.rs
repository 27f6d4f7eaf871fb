//! How a job's stretch is read: by name, in short text with numbers, or with keys.

use super::errors::JobErrors;
use super::node::{Data, Node};
use super::source_span::SourceSpan;
use super::spec::{Spec, StretchForm, StretchKeys, StretchName};
use super::words::{nearest, quoted};
use crate::scene::{StretchMethod, StretchPlan, ValueRange};

/// `None`: the job leaves it to the scene's pixel type.
pub(super) fn stretch(spec: &Spec, errors: &mut JobErrors<'_>) -> Option<StretchPlan> {
    let keys = match spec.stretch.as_ref()? {
        StretchForm::Long(keys) => keys.clone(),
        StretchForm::Short(text) => match short_stretch(text) {
            Ok(keys) => keys,
            Err(hint) => {
                errors.add("stretch", format!("{} is not a valid stretch", quoted(text))).hint = Some(hint);
                return None;
            }
        },
    };
    foreign_numbers(&keys, errors);
    let gamma = keys.gamma.unwrap_or(1.0);
    if !(gamma > 0.0 && gamma <= 10.0) {
        errors.add("stretch.gamma", format!("gamma is {gamma}; it must be above 0 and at most 10"));
    }
    let method = match keys.method {
        StretchName::None => StretchMethod::None,
        StretchName::MinMax => StretchMethod::MinMax,
        StretchName::Percentile => {
            let [low, high] = keys.percentiles.unwrap_or([2.0, 98.0]);
            if !(0.0 <= low && low < high && high <= 100.0) {
                let message = format!(
                    "the percentiles are {low} and {high}; the first must be below the second, and both from 0 to 100"
                );
                errors.add("stretch.percentiles", message);
            }
            StretchMethod::Percentile { low, high }
        }
        StretchName::MeanStd => {
            let k = keys.k.unwrap_or(2.0);
            if !(k > 0.0 && k <= 100.0) {
                errors.add("stretch.k", format!("k is {k} standard deviations; it must be above 0 and at most 100"));
            }
            StretchMethod::MeanStd { k }
        }
        StretchName::Values => given_values(&keys, errors)?,
    };
    Some(StretchPlan { method, joint: keys.joint.unwrap_or(false), gamma })
}

fn given_values(keys: &StretchKeys, errors: &mut JobErrors<'_>) -> Option<StretchMethod> {
    let ranges = keys.ranges.clone().unwrap_or_default();
    for (index, [low, high]) in ranges.iter().enumerate() {
        if !(low < high && low.is_finite() && high.is_finite()) {
            let message = format!("the values are {low} and {high}; the first must be below the second");
            errors.add(&format!("stretch.ranges[{index}]"), message);
        }
    }
    let range = |[low, high]: [f64; 2]| ValueRange { low, high };
    match ranges.as_slice() {
        [all] => Some(StretchMethod::Given([range(*all); 3])),
        [red, green, blue] => Some(StretchMethod::Given([range(*red), range(*green), range(*blue)])),
        other => {
            let message = format!("the stretch `values` has {} pairs of values; it needs one, or three", other.len());
            errors.add("stretch.ranges", message).hint =
                Some("Write `ranges: [[0, 3000]]`, or a pair for each band.".into());
            None
        }
    }
}

/// Numbers of another method would silently do nothing.
fn foreign_numbers(keys: &StretchKeys, errors: &mut JobErrors<'_>) {
    let foreign = [
        ("percentiles", keys.percentiles.is_some() && keys.method != StretchName::Percentile, "percentile"),
        ("k", keys.k.is_some() && keys.method != StretchName::MeanStd, "mean-std"),
        ("ranges", keys.ranges.is_some() && keys.method != StretchName::Values, "values"),
    ];
    for (key, is_foreign, method) in foreign {
        if is_foreign {
            errors.add(&format!("stretch.{key}"), format!("`{key}` is only for the stretch `{method}`"));
        }
    }
}

/// `none`, `min-max`, `percentile[:LOW,HIGH]`, `mean-std[:K]`, `values:LOW,HIGH`, and after it `joint` and `gamma:G`; the error is the
/// hint.
fn short_stretch(text: &str) -> Result<StretchKeys, String> {
    let (mut text, mut joint, mut gamma) = (text.trim(), None, None);
    while let Some((before, last)) = text.rsplit_once(char::is_whitespace) {
        match last.split_once(':') {
            None if last == "joint" => joint = Some(true),
            Some(("gamma", number)) => {
                let hint = || format!("Write a number after `gamma:`, such as `{} gamma:0.6`.", before.trim());
                gamma = Some(number.parse().map_err(|_| hint())?);
            }
            _ => break,
        }
        text = before.trim_end();
    }
    let (name, numbers) = match text.split_once(':') {
        Some((name, numbers)) => (name.trim(), Some(numbers)),
        None => (text.trim(), None),
    };
    let numbers: Vec<f64> = match numbers.map(|numbers| numbers.split(',').map(|n| n.trim().parse()).collect()) {
        None => Vec::new(),
        Some(Ok(numbers)) => numbers,
        Some(Err(_)) => return Err(format!("Write numbers after `{name}:`, such as `percentile:2,98`.")),
    };
    let keys = |method| StretchKeys { method, percentiles: None, k: None, ranges: None, joint, gamma };
    const NAMES: [&str; 5] = ["none", "min-max", "percentile", "mean-std", "values"];
    match (name, numbers.as_slice()) {
        ("none", []) => Ok(keys(StretchName::None)),
        ("min-max", []) => Ok(keys(StretchName::MinMax)),
        ("percentile", []) => Ok(keys(StretchName::Percentile)),
        ("percentile", &[low, high]) => {
            Ok(StretchKeys { percentiles: Some([low, high]), ..keys(StretchName::Percentile) })
        }
        ("mean-std", []) => Ok(keys(StretchName::MeanStd)),
        ("mean-std", &[k]) => Ok(StretchKeys { k: Some(k), ..keys(StretchName::MeanStd) }),
        ("values", &[low, high]) => Ok(StretchKeys { ranges: Some(vec![[low, high]]), ..keys(StretchName::Values) }),
        (name, _) => Err(match nearest(name, NAMES) {
            Some(meant) if meant != name => format!("Did you mean `{meant}`?"),
            _ => "Write `none`, `min-max`, `percentile:2,98`, `mean-std:2` or `values:0,3000`.".into(),
        }),
    }
}

/// The keys that a short text stands for, with their values; `None` where it is not a stretch.
pub(super) fn short_keys(text: &str) -> Option<Vec<(&'static str, Data)>> {
    let StretchKeys { method, percentiles, k, ranges, joint, gamma } = short_stretch(text).ok()?;
    let name = match method {
        StretchName::None => "none",
        StretchName::MinMax => "min-max",
        StretchName::Percentile => "percentile",
        StretchName::MeanStd => "mean-std",
        StretchName::Values => "values",
    };
    let number = |number: f64| Data::Number(number.into());
    let pair = |pair: [f64; 2]| list(pair.map(number));
    let numbers = [
        ("percentiles", percentiles.map(pair)),
        ("k", k.map(number)),
        ("ranges", ranges.map(|ranges| list(ranges.into_iter().map(pair)))),
        ("joint", joint.map(Data::Bool)),
        ("gamma", gamma.map(number)),
    ];
    let numbers = numbers.into_iter().filter_map(|(key, value)| Some((key, value?)));
    Some([("method", Data::Text(name.to_owned()))].into_iter().chain(numbers).collect())
}

fn list(items: impl IntoIterator<Item = Data>) -> Data {
    Data::List(items.into_iter().map(|data| Node { span: SourceSpan::default(), data }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_takes_joint_and_gamma_after_the_name() {
        let keys = short_stretch("percentile: 1, 99 joint gamma:0.6").unwrap();
        assert_eq!((keys.percentiles, keys.joint, keys.gamma), (Some([1.0, 99.0]), Some(true), Some(0.6)));
        let keys = short_stretch("min-max gamma:2").unwrap();
        assert_eq!((keys.method, keys.joint, keys.gamma), (StretchName::MinMax, None, Some(2.0)));
        assert_eq!(short_keys("min-max gamma:2").unwrap().len(), 2);
        assert_eq!(
            short_stretch("percentile gamma:dark").unwrap_err(),
            "Write a number after `gamma:`, such as `percentile gamma:0.6`."
        );
        assert!(short_stretch("gamma:0.6").is_err() && short_stretch("percentile 0.6").is_err());
    }
}
