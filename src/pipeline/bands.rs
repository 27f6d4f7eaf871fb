//! Which bands the model sees as red, green and blue.

use super::errors::JobErrors;
use super::spec::{BandForm, Spec};
use super::words::{printable, quoted};
use crate::scene::{BandInfo, ColourRole, Evidence, SceneInfo, Sensor, Spectrum, described, designation, sensor};

/// What the model's channels show, in their order.
const CHANNELS: [Spectrum; 3] = [Spectrum::Red, Spectrum::Green, Spectrum::Blue];

/// What should be said of the choice of bands, once for all scenes of which it is true.
#[derive(Default)]
pub(super) struct BandNotes {
    /// Text in which [`SCENE`] stands for the scene, the first scene, and how many there are.
    found: Vec<(String, String, usize)>,
    refused: Vec<Refused>,
}

/// An error that scenes of a job may share, so that it is told once.
struct Refused {
    key: String,
    /// [`SCENE`] stands for the scene.
    text: String,
    hint: String,
    /// Its number among the errors of the job.
    number: usize,
    first: String,
    /// Further scenes of which it is true.
    more: usize,
}

const SCENE: &str = "{scene}";

impl BandNotes {
    fn add(&mut self, text: String, info: &SceneInfo) {
        match self.found.iter_mut().find(|(known, ..)| *known == text) {
            Some((.., count)) => *count += 1,
            None => self.found.push((text, info.path.display().to_string(), 1)),
        }
    }

    /// Adds an error of a scene's bands, or counts the scene where the error is that of an earlier one.
    fn refuse(&mut self, key: &str, text: &str, hint: String, info: &SceneInfo, errors: &mut JobErrors<'_>) {
        let same = |known: &&mut Refused| known.key == key && known.text == text && known.hint == hint;
        if let Some(known) = self.refused.iter_mut().find(same) {
            known.more += 1;
            errors.amend(known.number, text.replace(SCENE, &format!("{} (and {} more)", known.first, known.more)));
            return;
        }
        let (number, first) = (errors.count(), info.path.display().to_string());
        errors.add(key, text.replace(SCENE, &first)).hint = Some(hint.clone());
        self.refused.push(Refused { key: key.to_owned(), text: text.to_owned(), hint, number, first, more: 0 });
    }

    pub(super) fn into_notes(self) -> impl Iterator<Item = String> {
        self.found.into_iter().map(|(text, first, count)| match count {
            1 => text.replace(SCENE, &first),
            _ => text.replace(SCENE, &format!("{first} (and {} more)", count - 1)),
        })
    }
}

/// The bands that the model sees as red, green and blue; 1-based.
pub(super) fn bands(
    spec: &Spec,
    scene_key: &str,
    info: &SceneInfo,
    errors: &mut JobErrors<'_>,
    notes: &mut BandNotes,
) -> [usize; 3] {
    let bands = match &spec.bands {
        Some(forms) => chosen(forms, info, errors, notes),
        None => default_bands(scene_key, info, errors, notes),
    };
    let Some(bands) = bands else { return [1; 3] };
    let key = if spec.bands.is_some() { "bands" } else { scene_key };
    for band in info.bands.iter().enumerate().filter(|(index, _)| bands.contains(&(index + 1))).map(|(_, band)| band) {
        let name = info.path.display();
        if band.pixel_type.starts_with('C') {
            errors
                .add(key, format!("{name} has complex pixels ({}); the model needs real values", band.pixel_type))
                .hint = Some("Convert it to an amplitude image first.".into());
            break;
        }
        if band.role == ColourRole::Palette {
            errors.add(key, format!("{name} has a colour palette; the model needs red, green and blue bands")).hint =
                Some("Expand it first: gdal_translate -expand rgb IN.tif OUT.tif".into());
            break;
        }
    }
    bands
}

fn chosen(
    forms: &[BandForm],
    info: &SceneInfo,
    errors: &mut JobErrors<'_>,
    notes: &mut BandNotes,
) -> Option<[usize; 3]> {
    if forms.len() != 3 {
        let message = format!("`bands` has {} entries; it needs three, for red, green and blue", forms.len());
        errors.add("bands", message).hint = Some("For a greyscale scene, write [1, 1, 1].".into());
        return None;
    }
    let mut bands = [1; 3];
    let mut failures = Vec::new();
    let known = Known::new(info);
    let mut by_part = false;
    for (index, (form, band)) in forms.iter().zip(&mut bands).enumerate() {
        match one(form, info, &known) {
            Ok(found) => {
                *band = found.number;
                by_part |= found.by_part;
                known.say_rivals(&found, notes);
            }
            Err(message) => failures.push((index, message)),
        }
    }
    let complete = failures.is_empty();
    refuse(forms, failures, &known, errors, notes);
    if by_part && complete {
        known.say_contradictions(bands, notes);
    }
    complete.then_some(bands)
}

/// Adds the errors of a scene's bands: names that it lacks as one.
fn refuse(
    forms: &[BandForm],
    failures: Vec<(usize, String)>,
    known: &Known<'_>,
    errors: &mut JobErrors<'_>,
    notes: &mut BandNotes,
) {
    let info = known.info;
    let scene = info.path.display().to_string();
    let lacks = |(index, message): &(usize, String)| match forms.get(*index) {
        Some(BandForm::Name(name)) if *message == no_band(name.trim(), &scene) => Some(quoted(name.trim())),
        _ => None,
    };
    let mut hint = format!("Its bands are {}.", listed(info));
    if info.bands.len() >= CHANNELS.len() && (1..=CHANNELS.len()).all(|number| known.shows(number).is_none()) {
        hint += " If the first three are red, green and blue, give --set 'bands=[1,2,3]' (`segment`: --bands 1,2,3).";
    }
    let lacking: Vec<String> = failures.iter().filter_map(lacks).collect();
    if lacking.len() == failures.len() && lacking.len() > 1 {
        let text = format!("there are no bands {} in {SCENE}", lacking.join(", "));
        notes.refuse("bands", &text, hint, info, errors);
        return;
    }
    for (index, message) in failures {
        notes.refuse(&format!("bands[{index}]"), &message.replace(&scene, SCENE), hint.clone(), info, errors);
    }
}

fn no_band(name: &str, scene: &str) -> String {
    format!("there is no band {} in {scene}", quoted(name))
}

/// The number of the band of this name, colour or designation, such as `nir`, `swir16`, `b4` or `B08`.
pub(super) fn by_name(name: &str, info: &SceneInfo) -> Result<usize, String> {
    let missing = |message: String| match name {
        "swir1" => one(&BandForm::Name("swir16".to_owned()), info, &Known::new(info)).map_err(|_| message),
        "swir2" => one(&BandForm::Name("swir22".to_owned()), info, &Known::new(info)).map_err(|_| message),
        _ => Err(message),
    };
    one(&BandForm::Name(name.to_owned()), info, &Known::new(info)).or_else(missing).map(|found| found.number)
}

/// The number of the band that is meant by a number from 1, a name, a colour or a designation.
pub(super) fn by_text(text: &str, info: &SceneInfo) -> Result<usize, String> {
    match text.trim().parse() {
        Ok(number) => one(&BandForm::Number(number), info, &Known::new(info)).map(|found| found.number),
        Err(_) => by_name(text, info),
    }
}

fn one(form: &BandForm, info: &SceneInfo, known: &Known<'_>) -> Result<Found, String> {
    let scene = info.path.display();
    let count = info.bands.len();
    let counted = |number: u64| match usize::try_from(number) {
        Ok(number) if (1..=count).contains(&number) => Ok(Found::number(number)),
        _ => Err(format!("there is no band {number} in {scene}: bands are counted from 1 to {count}")),
    };
    let name = match form {
        BandForm::Number(number) => return counted(*number),
        BandForm::Name(name) => name.trim(),
    };
    let missing = || no_band(name, &scene.to_string());
    if let Some(index) = info.bands.iter().position(|band| names(band).any(|own| own.eq_ignore_ascii_case(name))) {
        return Ok(Found::number(index + 1));
    }
    let designations = || info.bands.iter().map(|band| names(band).find_map(designation));
    if let Some(wanted) = designation(name) {
        let meant: Vec<usize> = (1..)
            .zip(designations())
            .filter(|(_, own)| own.as_ref().is_some_and(|own| own.is_meant_by(&wanted)))
            .map(|(number, _)| number)
            .collect();
        match meant.as_slice() {
            [number] => return Ok(Found::number(*number)),
            [] if wanted.product.is_empty() && designations().all(|own| own.is_none()) => {
                return wanted.number.parse().map_err(|_| missing()).and_then(counted);
            }
            [] => return Err(missing()),
            several => {
                let several: Vec<String> = several.iter().map(ToString::to_string).collect();
                return Err(format!(
                    "{} is ambiguous: it matches the bands {} of {scene}",
                    quoted(name),
                    several.join(", ")
                ));
            }
        }
    }
    if let Ok(number) = name.parse() {
        return counted(number);
    }
    let common = |band: &BandInfo| band.spectral.common_name.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name));
    if let Some(index) = info.bands.iter().position(common) {
        return Ok(Found::number(index + 1));
    }
    let part = described(name).part.filter(|part| *part != Spectrum::Other);
    let grey = || {
        let asked = ["grey", "gray"].iter().any(|word| word.eq_ignore_ascii_case(name));
        let index = info.bands.iter().position(|band| asked && band.role == ColourRole::Grey)?;
        Some(Found::number(index + 1))
    };
    part.and_then(|part| known.find(part)).or_else(grey).ok_or_else(missing)
}

/// The description of a band and its other names.
fn names(band: &BandInfo) -> impl Iterator<Item = &str> {
    band.name.iter().chain(&band.spectral.names).map(|name| name.trim())
}

/// A band that was asked for, or looked for.
struct Found {
    /// From 1.
    number: usize,
    /// Other bands that would have done just as well.
    rivals: Vec<usize>,
    /// By the part of the spectrum that it shows.
    by_part: bool,
    claim: Option<(Evidence, Spectrum)>,
}

impl Found {
    fn number(number: usize) -> Self {
        Self { number, rivals: Vec::new(), by_part: false, claim: None }
    }
}

/// What is known of the bands of a scene.
struct Known<'a> {
    info: &'a SceneInfo,
    /// For each band, the strongest first.
    claims: Vec<Vec<(Evidence, Spectrum)>>,
}

impl<'a> Known<'a> {
    fn new(info: &'a SceneInfo) -> Self {
        let sensor: Option<Sensor> = sensor(&info.bands);
        Self { info, claims: info.bands.iter().map(|band| band.claims(sensor)).collect() }
    }

    fn shows(&self, number: usize) -> Option<Spectrum> {
        self.claims.get(number.checked_sub(1)?)?.first().map(|(_, part)| *part)
    }

    /// The band that shows this part of the spectrum: by the strongest evidence, then the one of this colour interpretation,
    /// then the one called by nothing but the part's name, then the one nearest to the part's usual wavelength.
    fn find(&self, part: Spectrum) -> Option<Found> {
        let rank = |band: &BandInfo, claims: &[(Evidence, Spectrum)]| {
            let evidence = match claims.first()?.0 {
                Evidence::Description => 0,
                Evidence::Catalogue => 1,
                Evidence::Wavelength => 2,
                Evidence::Designation(_) => 3,
                Evidence::Interpretation => 4,
            };
            let coloured = claims.contains(&(Evidence::Interpretation, part));
            let exact = names(band).any(|name| described(name).exact);
            let distance =
                band.wavelength().zip(part.centre()).map_or(f64::INFINITY, |(own, usual)| (own - usual).abs());
            Some((evidence, !coloured, !exact, distance))
        };
        let order = |a: &(i32, bool, bool, f64), b: &(i32, bool, bool, f64)| {
            (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)).then(a.3.total_cmp(&b.3))
        };
        let candidates: Vec<_> = (1..)
            .zip(self.info.bands.iter().zip(&self.claims))
            .filter(|(_, (_, claims))| claims.first().is_some_and(|(_, shown)| *shown == part))
            .filter_map(|(number, (band, claims))| Some((number, rank(band, claims)?, claims.first().copied())))
            .collect();
        let (number, best, claim) = candidates.iter().min_by(|(_, a, _), (_, b, _)| order(a, b))?;
        let rivals = candidates.iter().filter(|(other, rank, _)| other != number && order(rank, best).is_eq());
        let rivals = rivals.map(|(other, ..)| *other).collect();
        Some(Found { number: *number, rivals, by_part: true, claim: *claim })
    }

    fn say_rivals(&self, found: &Found, notes: &mut BandNotes) {
        if let ([first, ..], Some((evidence, part))) = (found.rivals.as_slice(), found.claim) {
            let text = format!(
                "{SCENE}: bands {} and {first} are both {} by {evidence}: band {} is used.",
                found.number,
                part.name(),
                found.number
            );
            notes.add(text, self.info);
        }
    }

    /// Says where two sources say different things of a band, one of which is a colour of the model's.
    fn say_contradictions(&self, bands: [usize; 3], notes: &mut BandNotes) {
        const SHOWN: usize = 4;
        let mut found = Vec::new();
        for (number, (band, claims)) in (1..).zip(self.info.bands.iter().zip(&self.claims)) {
            let Some((first, others)) = claims.split_first() else { continue };
            let matters = |part| CHANNELS.contains(&part);
            let other =
                others.iter().find(|other| (matters(first.1) || matters(other.1)) && band.contradict(*first, **other));
            if let Some((evidence, part)) = other {
                found.push(format!(
                    "band {number} is {} by {}, and {} by {evidence}",
                    first.1.name(),
                    first.0,
                    part.name()
                ));
            }
        }
        if found.is_empty() {
            return;
        }
        if found.len() > SHOWN {
            let more = found.len() - SHOWN;
            found.truncate(SHOWN);
            found.push(format!("and {more} more"));
        }
        let [red, green, blue] = bands;
        let text = format!(
            "{SCENE}: {}; the first of the two is used: bands {red}, {green} and {blue} are read as red, green and blue.",
            found.join("; ")
        );
        notes.add(text, self.info);
    }
}

/// The bands that are known to be red, green and blue, else the first three that are no alpha.
fn default_bands(
    scene_key: &str,
    info: &SceneInfo,
    errors: &mut JobErrors<'_>,
    notes: &mut BandNotes,
) -> Option<[usize; 3]> {
    let known = Known::new(info);
    let found = CHANNELS.map(|part| known.find(part));
    if let [Some(red), Some(green), Some(blue)] = &found {
        let bands = [red.number, green.number, blue.number];
        [red, green, blue].into_iter().for_each(|found| known.say_rivals(found, notes));
        known.say_contradictions(bands, notes);
        return Some(bands);
    }
    let plain: Vec<usize> = (1..)
        .zip(&info.bands)
        .filter(|(number, band)| band.role != ColourRole::Alpha && known.shows(*number) != Some(Spectrum::Other))
        .map(|(number, _)| number)
        .collect();
    if let Some(bands) = completed(&found, &plain, &known, notes) {
        return Some(bands);
    }
    if let [red, green, blue, ..] = *plain.as_slice() {
        say_taken([red, green, blue], plain.len(), &known, notes);
        return Some([red, green, blue]);
    }
    let count = info.bands.len();
    let bands = if count == 1 { "band" } else { "bands" };
    let message = format!(
        "{} has {count} {bands} ({}); three are needed for red, green and blue",
        info.path.display(),
        listed(info)
    );
    errors.add(scene_key, message).hint =
        Some("To use one band for all three, set `bands: [1, 1, 1]`, or --bands 1,1,1.".into());
    None
}

/// Two colours are known, and of a single band nothing is: it is the third.
fn completed(
    found: &[Option<Found>; 3],
    plain: &[usize],
    known: &Known<'_>,
    notes: &mut BandNotes,
) -> Option<[usize; 3]> {
    let mut unknown = plain.iter().filter(|number| known.shows(**number).is_none());
    let (Some(rest), None) = (unknown.next(), unknown.next()) else { return None };
    let missing: Vec<Spectrum> =
        CHANNELS.iter().zip(found).filter(|(_, found)| found.is_none()).map(|(part, _)| *part).collect();
    let [missing] = missing.as_slice() else { return None };
    let bands = found.each_ref().map(|found| found.as_ref().map_or(*rest, |found| found.number));
    notes.add(
        format!(
            "{SCENE}: no band is identified as {}: band {rest}, the only one that is not identified, is used.",
            missing.name()
        ),
        known.info,
    );
    Some(bands)
}

/// Says that bands are taken by their order, where that may be wrong.
fn say_taken(bands: [usize; 3], plain: usize, known: &Known<'_>, notes: &mut BandNotes) {
    let named = bands.map(|number| match known.shows(number) {
        Some(part) => format!("{number} ({})", part.name()),
        None => number.to_string(),
    });
    let [red, green, blue] = named;
    let taken = format!("bands {red}, {green} and {blue} are read as red, green and blue");
    const HINT: &str = "Choose others with `bands` (--bands).";
    let text = if known.claims.iter().any(|claims| !claims.is_empty()) {
        let missing: Vec<&str> =
            CHANNELS.iter().filter(|part| known.find(**part).is_none()).map(|part| part.name()).collect();
        format!("{SCENE} has no band that is identified as {}: {taken}. {HINT}", missing.join(" or "))
    } else if plain > 3 {
        format!("{SCENE} does not describe its {plain} bands: {taken}. {HINT}")
    } else {
        return;
    };
    notes.add(text, known.info);
}

/// What a band is called where bands are listed: its description, else what it is known to show.
pub fn label(info: &SceneInfo, number: usize) -> Option<String> {
    let band = info.bands.get(number.checked_sub(1)?)?;
    let role = match band.role {
        ColourRole::Grey => Some("grey"),
        ColourRole::Alpha => Some("alpha"),
        ColourRole::Palette => Some("palette"),
        _ => None,
    };
    let name = names(band).find(|name| !name.is_empty()).map(printable);
    let part = band.claims(sensor(&info.bands)).first().map(|(_, part)| part.name());
    match (name, part) {
        // `B4 (red)`, and `red` alone.
        (Some(name), Some(part)) if described(&name).part.is_none() => Some(format!("{name} ({part})")),
        (Some(name), _) => Some(name),
        (None, part) => part.or(role).map(str::to_owned),
    }
}

/// `1 red, 2 green, 3 B8 (near infrared)`: what a reader can choose from.
pub(super) fn listed(info: &SceneInfo) -> String {
    const SHOWN: usize = 12;
    let shown = (1..=info.bands.len()).take(SHOWN);
    let mut names: Vec<String> = shown
        .map(|number| format!("{number} {}", label(info, number).unwrap_or_default()).trim_end().to_owned())
        .collect();
    if info.bands.len() > SHOWN {
        names.push(format!("… {}", info.bands.len()));
    }
    names.join(", ")
}
