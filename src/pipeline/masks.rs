//! What a job says of pixels without data, held against what its scenes' headers say. The rule itself: `scene/mask.rs`.

use super::errors::JobErrors;
use super::spec::{NodataForm, Spec};
use super::words::{nearest, quoted};
use crate::scene::{MaskRequest, MaskRule, MaskSource, NodataValue, SceneInfo, range};

const NAMES: [&str; 5] = ["auto", "none", "alpha", "nodata", "band:N"];

/// A tolerance that takes in what JPEG makes of a flat collar at usual qualities.
const USUAL_TOLERANCE: f64 = 8.0;

/// The keys `mask` and `nodata`.
pub(super) fn request(spec: &Spec, errors: &mut JobErrors<'_>) -> MaskRequest {
    let source = source(spec, errors).unwrap_or_default();
    let nodata = spec.nodata.as_ref().and_then(|form| nodata(form, errors));
    if source == MaskSource::None && spec.nodata.is_some() {
        errors.add("nodata", "`nodata` has no effect with `mask: none`, which treats every pixel as valid").hint =
            Some("Remove one of the two keys. `mask: nodata` uses only the nodata value.".into());
    }
    MaskRequest { source, nodata }
}

fn source(spec: &Spec, errors: &mut JobErrors<'_>) -> Option<MaskSource> {
    let written = spec.mask.as_deref()?;
    let word = written.trim().to_lowercase();
    let source = match word.as_str() {
        "auto" => Some(MaskSource::Auto),
        "none" => Some(MaskSource::None),
        "alpha" => Some(MaskSource::Alpha),
        "nodata" => Some(MaskSource::Nodata),
        word => {
            let number = word.strip_prefix("band:").and_then(|number| number.trim().parse().ok());
            number.filter(|number| *number > 0).map(MaskSource::Band)
        }
    };
    if source.is_none() {
        let list = "Write `auto`, `none`, `alpha`, `nodata`, or `band:N`, with bands counted from 1.";
        errors.add("mask", format!("{} is not a valid mask", quoted(written))).hint =
            Some(match nearest(&word, NAMES) {
                Some(meant) if meant != "band:N" => format!("Did you mean `{meant}`?"),
                _ => list.into(),
            });
    }
    source
}

fn nodata(form: &NodataForm, errors: &mut JobErrors<'_>) -> Option<NodataValue> {
    let (value, tolerance) = match form {
        NodataForm::Value(value) => (*value, 0.0),
        NodataForm::Long(keys) => (keys.value, keys.tolerance.unwrap_or(0.0)),
        NodataForm::Text(text) => {
            let number = |text: &str| text.trim().parse::<f64>().ok();
            let parts = match text.split_once('~') {
                Some((value, tolerance)) => number(value).zip(number(tolerance)),
                None => number(text).map(|value| (value, 0.0)),
            };
            let Some(parts) = parts else {
                errors.add("nodata", format!("{} is not a valid nodata value", quoted(text))).hint = Some(
                    "Write a number such as `0`, or a number and a tolerance: `0~8` or `{value: 0, tolerance: 8}`."
                        .into(),
                );
                return None;
            };
            parts
        }
    };
    if !value.is_finite() {
        errors.add("nodata", format!("the nodata value is {value}; it must be a finite number")).hint =
            Some("NaN and infinite values are always nodata: remove the key.".into());
        return None;
    }
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        let key = if matches!(form, NodataForm::Long(_)) { "nodata.tolerance" } else { "nodata" };
        errors.add(key, format!("the tolerance is {tolerance}; it must be a finite number, 0 or more"));
        return None;
    }
    Some(NodataValue { value, tolerance })
}

/// Refuses a mask that a scene cannot have.
pub(super) fn refuse(info: &SceneInfo, bands: [usize; 3], errors: &mut JobErrors<'_>) {
    let name = info.path.display();
    let request = info.access.mask;
    match request.source {
        MaskSource::Alpha if info.alpha_band().is_none() => {
            errors.add("mask", format!("{name} has no alpha band")).hint =
                Some("Name the mask band with `mask: band:N`, or remove the key.".into());
        }
        MaskSource::Band(number) if number > info.bands.len() => {
            let count = info.bands.len();
            errors.add("mask", format!("{name} has no band {number}: bands are numbered from 1 to {count}"));
        }
        MaskSource::Nodata if request.nodata.is_none() && info.mask_rule(bands) == MaskRule::Unmarked => {
            errors.add("mask", format!("the selected bands of {name} have no nodata value")).hint =
                Some("Set it, as in `nodata: 0`, or leave `mask` out.".into());
        }
        _ => {}
    }
    let Some(nodata) = request.nodata else { return };
    let types = || bands.iter().filter_map(|number| info.bands.get(number - 1)).map(|band| band.pixel_type.as_str());
    if let Some(kind) = types().find(|kind| !nodata.can_occur(kind)) {
        errors.add(
            "nodata",
            format!("the nodata value {nodata} cannot occur in {name}: its pixels are {}", spanned(kind)),
        );
    }
}

/// `Byte, integers from 0 to 255`
fn spanned(pixel_type: &str) -> String {
    match range(pixel_type) {
        Some((low, high)) => format!("{pixel_type}, integers from {low} to {high}"),
        None => pixel_type.to_owned(),
    }
}

/// What is allowed and may surprise, as far as a scene's header shows it.
pub(super) fn notes(info: &SceneInfo, bands: [usize; 3]) -> Vec<String> {
    let scene = info.path.display();
    let mut notes = Vec::new();
    let request = info.access.mask;
    let tags = info.tags(bands);
    let rule = info.mask_rule(bands);
    // Of a mosaic the tiles' nodata values are in its mask.
    let by_tags = rule == MaskRule::Nodata
        || (info.access.masked && request.source == MaskSource::Auto && info.alpha_band().is_none());
    let exact = |value| NodataValue { value, tolerance: 0.0 };
    let kind = |number: usize| info.bands.get(number - 1).map_or("", |band| band.pixel_type.as_str());
    let tag = tags.iter().flatten().next().map(|value| exact(*value));
    match (rule, tag) {
        (MaskRule::Alpha(number), Some(tag)) if request == MaskRequest::default() => notes.push(format!(
            "{scene} has an alpha band and the nodata value {tag}: alpha band {number} is used as the mask. Set \
             `mask: nodata` to use the value instead."
        )),
        (MaskRule::Mask, Some(tag)) if request == MaskRequest::default() && !info.access.masked => notes.push(format!(
            "{scene} has a mask band and the nodata value {tag}: the mask band is used. Set `mask: nodata` to use the \
             value instead."
        )),
        _ if by_tags && request.nodata.is_none() => {
            for (number, value) in bands.iter().zip(tags).filter_map(|(number, value)| Some((number, exact(value?)))) {
                let kind = kind(*number);
                if value.value.is_finite() && !value.can_occur(kind) {
                    notes.push(format!(
                        "The nodata value {value} of band {number} of {scene} has no effect: its pixels are {}. If some of them \
                         are nodata, set their value, for example with `nodata: 0`.",
                        spanned(kind)
                    ));
                    break;
                }
            }
            let (with, without): (Vec<_>, Vec<_>) = bands.iter().zip(tags).partition(|(_, tag)| tag.is_some());
            if let (Some((number, Some(value))), Some((other, _))) = (with.first(), without.first()) {
                let value = exact(*value);
                let counts = if value.could_be_data(kind(**number), false) {
                    "the value could be valid data and is ignored".to_owned()
                } else {
                    format!("a pixel with this value in band {number} is nodata")
                };
                notes.push(format!(
                    "Band {number} of {scene} has the nodata value {value}, and band {other} has none: {counts}. Set `nodata: \
                     {value}` to use it for all bands."
                ));
            }
        }
        _ => {}
    }
    let nodata = request.nodata.or(tag.filter(|_| by_tags));
    if let (Some(compression), Some(value)) = (&info.access.lossy, nodata.filter(|value| value.tolerance == 0.0)) {
        notes.push(format!(
            "{scene} is compressed with {compression}, which changes values: pixels near its nodata value {value} are treated \
             as data. If labels appear in nodata areas, set a tolerance: `nodata: {{value: {value}, tolerance: \
             {USUAL_TOLERANCE}}}` (--nodata {value}~{USUAL_TOLERANCE})."
        ));
    }
    notes
}
