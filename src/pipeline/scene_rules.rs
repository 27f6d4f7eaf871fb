//! The rules between a job and a scene: which bands, which stretch, and what must be said.

use super::fault::Faults;
use super::spec::{BandForm, Spec};
use super::words::{printable, quoted};
use crate::scene::{ColourRole, SceneInfo, StretchMethod, StretchPlan};

/// The bands that the model sees as red, green and blue; 1-based.
pub(super) fn bands(spec: &Spec, scene_key: &str, info: &SceneInfo, faults: &mut Faults<'_>) -> [usize; 3] {
    let bands = match &spec.bands {
        Some(forms) => chosen(forms, info, faults),
        None => default_bands(scene_key, info, faults),
    };
    let Some(bands) = bands else { return [1; 3] };
    let key = if spec.bands.is_some() { "bands" } else { scene_key };
    for band in info.bands.iter().enumerate().filter(|(index, _)| bands.contains(&(index + 1))).map(|(_, band)| band) {
        let name = info.path.display();
        if band.pixel_type.starts_with('C') {
            faults
                .add(key, format!("{name} has complex numbers ({}); the model sees plain ones", band.pixel_type))
                .hint = Some("Make an amplitude image of it first.".into());
            break;
        }
        if band.role == ColourRole::Palette {
            faults.add(key, format!("{name} holds colour numbers of a palette, not colours")).hint =
                Some("Expand it first: gdal_translate -expand rgb IN.tif OUT.tif".into());
            break;
        }
    }
    bands
}

fn chosen(forms: &[BandForm], info: &SceneInfo, faults: &mut Faults<'_>) -> Option<[usize; 3]> {
    if forms.len() != 3 {
        let message = format!("{} bands are named; the model needs three, for red, green and blue", forms.len());
        faults.add("bands", message).hint = Some("A grey scene may be shown as [1, 1, 1].".into());
        return None;
    }
    let mut bands = [1; 3];
    let mut complete = true;
    for (index, (form, band)) in forms.iter().zip(&mut bands).enumerate() {
        match one(form, info) {
            Ok(number) => *band = number,
            Err(message) => {
                faults.add(&format!("bands[{index}]"), message).hint = Some(format!("Its bands are {}.", listed(info)));
                complete = false;
            }
        }
    }
    complete.then_some(bands)
}

fn one(form: &BandForm, info: &SceneInfo) -> Result<usize, String> {
    let scene = info.path.display();
    let count = info.bands.len();
    match form {
        BandForm::Number(number) => match usize::try_from(*number) {
            Ok(number) if (1..=count).contains(&number) => Ok(number),
            _ => Err(format!("there is no band {number} in {scene}: bands are counted from 1 to {count}")),
        },
        BandForm::Name(name) => {
            let wanted = name.trim().to_lowercase();
            let role = role(&wanted);
            let named = |band: &crate::scene::BandInfo| {
                band.name.as_ref().is_some_and(|name| name.trim().to_lowercase() == wanted)
            };
            info.bands
                .iter()
                .position(named)
                .or_else(|| info.bands.iter().position(|band| role.is_some() && role == Some(band.role)))
                .map(|index| index + 1)
                .ok_or_else(|| format!("there is no band {} in {scene}", quoted(name)))
        }
    }
}

fn role(word: &str) -> Option<ColourRole> {
    match word {
        "red" => Some(ColourRole::Red),
        "green" => Some(ColourRole::Green),
        "blue" => Some(ColourRole::Blue),
        "grey" | "gray" => Some(ColourRole::Grey),
        _ => None,
    }
}

/// Colours where the file names them, else the first three bands that are no alpha.
fn default_bands(scene_key: &str, info: &SceneInfo, faults: &mut Faults<'_>) -> Option<[usize; 3]> {
    let of = |role: ColourRole| info.bands.iter().position(|band| band.role == role).map(|index| index + 1);
    if let (Some(red), Some(green), Some(blue)) = (of(ColourRole::Red), of(ColourRole::Green), of(ColourRole::Blue)) {
        return Some([red, green, blue]);
    }
    let mut plain = (1..).zip(&info.bands).filter(|(_, band)| band.role != ColourRole::Alpha).map(|(number, _)| number);
    if let (Some(red), Some(green), Some(blue)) = (plain.next(), plain.next(), plain.next()) {
        return Some([red, green, blue]);
    }
    let count = info.bands.len();
    let bands = if count == 1 { "band" } else { "bands" };
    let message = format!(
        "{} has {count} {bands} ({}); three are needed for red, green and blue",
        info.path.display(),
        listed(info)
    );
    faults.add(scene_key, message).hint =
        Some("To show one band to the model three times, ask for it: `bands: [1, 1, 1]`, or --bands 1,1,1.".into());
    None
}

/// `1 red, 2 green, 3 B8`: what a reader can choose from.
fn listed(info: &SceneInfo) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<String> = info
        .bands
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(index, band)| {
            let role = match band.role {
                ColourRole::Red => "red",
                ColourRole::Green => "green",
                ColourRole::Blue => "blue",
                ColourRole::Grey => "grey",
                ColourRole::Alpha => "alpha",
                ColourRole::Palette => "palette",
                ColourRole::Undefined | ColourRole::Other => "",
            };
            let name = band.name.as_deref().filter(|name| !name.trim().is_empty()).unwrap_or(role);
            format!("{} {}", index + 1, printable(name)).trim_end().to_owned()
        })
        .collect();
    if info.bands.len() > SHOWN {
        names.push(format!("… {}", info.bands.len()));
    }
    names.join(", ")
}

/// 8-bit scenes are taken as they are; others need their range found.
pub(super) fn default_stretch(info: &SceneInfo, bands: [usize; 3]) -> StretchPlan {
    let eight_bits = bands.iter().all(|band| info.bands.get(band - 1).is_some_and(|band| band.pixel_type == "Byte"));
    let method = if eight_bits { StretchMethod::None } else { StretchMethod::Percentile { low: 2.0, high: 98.0 } };
    StretchPlan { method, joint: false, gamma: 1.0 }
}

/// What is allowed and may still surprise.
pub(super) fn notes(info: &SceneInfo, bands: [usize; 3], stretch: &StretchPlan) -> Vec<String> {
    let scene = info.path.display();
    let mut notes = Vec::new();
    match &info.georeference {
        None => {
            notes.push(format!("{scene} has no georeference: results lie in pixel coordinates, areas are in pixels."))
        }
        Some(georeference) if georeference.crs_wkt.is_none() => {
            notes.push(format!("{scene} has coordinates but no reference system: its units are taken as metres."));
        }
        Some(_) => {}
    }
    let deep = bands.iter().filter_map(|band| info.bands.get(band - 1)).find(|band| band.pixel_type != "Byte");
    if let (StretchMethod::None, Some(band)) = (&stretch.method, deep) {
        notes.push(format!(
            "{scene} is {} and not stretched: values above 255 are all shown to the model as 255.",
            band.pixel_type
        ));
    }
    notes
}
