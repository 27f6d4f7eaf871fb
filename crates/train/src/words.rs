//! What the pictures' labels mean in words: concepts with synonyms, and which of them a label affirms or denies.
//!
//! A label *affirms* concepts (its own and wider ones, with a weight), *allows* others (true of some of its pixels, or
//! undecided: neither pulled nor pushed) and denies all the rest.

use segearth::train::random::Random;

/// Index into [`CONCEPTS`].
pub type Concept = usize;
/// Index into [`LABELS`].
pub type Label = usize;

/// No label: the pixel takes no part.
pub const UNLABELLED: u8 = u8::MAX;

/// A concept's name is its first word.
pub const CONCEPTS: &[&[&str]] = &[
    &[
        "agricultural",
        "agricultural land",
        "agriculture",
        "farmland",
        "cropland",
        "crops",
        "crop field",
        "fields",
        "field",
        "farm",
        "farm fields",
        "arable land",
        "cultivated land",
        "plowed field",
        "farm land",
    ],
    &["airplane", "airplanes", "plane", "planes", "aircraft", "jet"],
    &["airport", "airfield", "apron"],
    &["baseball diamond", "baseball field", "ballpark", "baseballdiamond"],
    &["beach", "sandy beach", "seaside", "coast", "shore", "seashore", "coastline"],
    &["commercial buildings", "commercial area", "downtown", "city block", "office buildings", "commercial"],
    &["industrial area", "industrial buildings", "industrial", "factory", "warehouses", "industrial district"],
    &["building", "buildings"],
    &["house", "houses", "roof", "roofs", "rooftop"],
    &["chaparral", "shrubland", "shrub", "shrubs", "scrub", "scrubland", "bushes"],
    &["dense residential", "dense residential area", "dense houses", "denseresidential", "densely built houses"],
    &["medium residential", "medium residential area", "medium density residential", "mediumresidential"],
    &["sparse residential", "sparse residential area", "scattered houses", "isolated house", "sparseresidential"],
    &["residential area", "residential", "housing", "neighborhood", "suburb", "residential district"],
    &[
        "built-up area",
        "built-up",
        "city",
        "urban area",
        "urban",
        "town",
        "settlement",
        "developed area",
        "built up area",
    ],
    &["forest", "trees", "woodland", "woods", "tree cover", "tree", "dense forest", "wood"],
    &["freeway", "highway", "motorway", "expressway"],
    &["golf course", "golfcourse", "golf links", "fairway"],
    &["grass", "lawn", "grassland", "meadow", "low vegetation", "rangeland"],
    &["pasture", "pasture land", "grazing land", "pastures"],
    &["herbaceous vegetation", "herbs", "herbaceous vegetation land", "tall grass"],
    &["annual crop", "annual crop land", "annual crops", "arable crops"],
    &["permanent crop", "permanent crop land", "orchard", "vineyard", "plantation", "permanent crops"],
    &["marsh", "wetland", "salt marsh", "swamp", "wetlands", "reeds"],
    &["dune", "dunes", "sand dune", "sand dunes"],
    &["harbor", "harbour", "marina", "port", "dock"],
    &["ship", "boat", "boats", "ships", "yachts", "vessel"],
    &["intersection", "crossroads", "road junction", "crossroad", "road intersection"],
    &["mobile home park", "mobile homes", "trailer park", "mobilehomepark", "caravan park"],
    &["overpass", "flyover", "bridge", "viaduct", "road bridge"],
    &["parking lot", "parkinglot", "car park", "parking", "parking area"],
    &["car", "cars", "vehicle", "vehicles", "parked cars"],
    &["river", "stream", "creek", "waterway"],
    &["runway", "airstrip", "landing strip", "airport runway"],
    &["storage tanks", "storage tank", "store tank", "storagetanks", "oil tanks", "fuel tanks", "tank farm"],
    &["tennis court", "tennis courts", "tenniscourt"],
    &[
        "land",
        "bare land",
        "bareland",
        "bare soil",
        "desert",
        "sand",
        "barren",
        "barren land",
        "soil",
        "bare ground",
        "unpaved area",
        "dirt",
    ],
    &["road", "roads", "street", "streets", "asphalt", "paved road"],
    &["pavement", "impervious surface", "concrete", "paved area"],
    &["vegetation", "greenery", "plants", "green area", "green space"],
    &[
        "water",
        "lake",
        "pond",
        "sea",
        "ocean",
        "reservoir",
        "water body",
        "open water",
        "lagoon",
        "flood water",
        "flood",
        "sea or lake",
        "flooded field",
        "flooded street",
    ],
    &["background", "clutter", "other", "others", "unknown", "something else", "anything else"],
];

/// Words for what none of the pictures shows: always denied.
pub const ABSENT: &[&str] = &[
    "snow",
    "ice",
    "glacier",
    "volcano",
    "lava",
    "cat",
    "dog",
    "penguin",
    "spaceship",
    "cloud",
    "rainbow",
    "waterfall",
    "cave",
    "moon",
    "galaxy",
    "human face",
    "banana",
    "pizza",
    "guitar",
    "sofa",
    "computer",
    "book",
    "clock",
    "bottle",
    "solar panels",
    "wind turbine",
    "stadium",
    "roundabout",
    "helicopter",
    "swimming pool",
    "soccer ball field",
    "basketball court",
    "ground track field",
    "railway",
    "train",
    "coral reef",
    "jungle animals",
    "skyscraper interior",
    "flower",
    "bird",
    "fish",
    "horse",
    "elephant",
    "mushroom",
    "candle",
    "painting",
    "fire",
    "burned area",
    "smoke",
    "greenhouse",
    "quarry",
    "dam",
    "cemetery",
    "pyramid",
    "iceberg",
    "space station",
    "people",
    "facade",
    "wheel",
];

/// What a label says of a pixel or of a picture.
#[derive(Debug)]
pub struct LabelWords {
    pub name: &'static str,
    /// (concept, weight)
    pub affirms: &'static [(&'static str, f32)],
    /// Neither affirmed nor denied.
    pub allows: &'static [&'static str],
    /// Where there are any, only these concepts and the absent words are denied: the label says what something is not.
    pub denies: &'static [&'static str],
    /// Share of a picture of this label that is the thing itself: such pictures label their pixels too.
    pub fills: f32,
}

const fn label(
    name: &'static str,
    affirms: &'static [(&'static str, f32)],
    allows: &'static [&'static str],
    fills: f32,
) -> LabelWords {
    LabelWords { name, affirms, allows, denies: &[], fills }
}

const fn none_of(name: &'static str, denies: &'static [&'static str]) -> LabelWords {
    LabelWords { name, affirms: &[], allows: &[], denies, fills: 1.0 }
}

/// The first 21 are UC Merced's folders, the ten from [`EUROSAT`] on are EuroSAT's.
#[rustfmt::skip]
pub const LABELS: &[LabelWords] = &[
    label("agricultural", &[("agricultural", 1.0)], &["land", "vegetation", "grass", "annual crop", "permanent crop", "pasture", "herbaceous vegetation"], 1.0),
    label("airplane", &[("airplane", 1.0), ("airport", 0.3)], &["runway", "pavement", "road", "building", "house", "grass", "land", "car", "parking lot"], 0.0),
    label("baseballdiamond", &[("baseball diamond", 1.0)], &["grass", "land", "vegetation", "forest", "road", "pavement", "parking lot", "car", "building", "house"], 0.0),
    label("beach", &[("beach", 1.0)], &["water", "land", "dune"], 0.0),
    label("buildings", &[("commercial buildings", 1.0), ("building", 0.7), ("built-up area", 0.5)], &["house", "road", "parking lot", "car", "pavement", "vegetation", "forest", "dense residential", "residential area", "industrial area"], 0.5),
    label("chaparral", &[("chaparral", 1.0)], &["vegetation", "land", "grass", "herbaceous vegetation", "dune"], 1.0),
    label("denseresidential", &[("dense residential", 1.0), ("residential area", 0.5), ("built-up area", 0.5)], &["building", "house", "road", "forest", "vegetation", "car", "pavement", "mobile home park", "commercial buildings"], 0.4),
    label("forest", &[("forest", 1.0), ("vegetation", 0.5)], &[], 1.0),
    label("freeway", &[("freeway", 1.0), ("road", 0.5)], &["car", "pavement", "overpass", "vegetation", "grass", "land", "forest", "herbaceous vegetation"], 0.3),
    label("golfcourse", &[("golf course", 1.0), ("grass", 0.4)], &["vegetation", "forest", "land", "water", "herbaceous vegetation", "pasture"], 0.5),
    label("harbor", &[("harbor", 1.0), ("ship", 0.5)], &["water", "pavement"], 0.3),
    label("intersection", &[("intersection", 1.0), ("road", 0.4)], &["car", "pavement", "building", "house", "vegetation", "forest", "grass", "parking lot", "built-up area", "commercial buildings", "residential area"], 0.0),
    label("mediumresidential", &[("medium residential", 1.0), ("residential area", 0.5), ("built-up area", 0.4)], &["building", "house", "road", "forest", "vegetation", "grass", "car", "pavement"], 0.4),
    label("mobilehomepark", &[("mobile home park", 1.0), ("residential area", 0.4), ("built-up area", 0.4)], &["building", "house", "road", "forest", "vegetation", "car", "pavement", "dense residential"], 0.4),
    label("overpass", &[("overpass", 1.0), ("road", 0.4)], &["car", "pavement", "freeway", "vegetation", "grass", "land", "forest", "intersection"], 0.0),
    label("parkinglot", &[("parking lot", 1.0), ("car", 0.5), ("pavement", 0.3)], &["road", "building", "forest", "vegetation", "built-up area"], 0.8),
    label("river", &[("river", 1.0)], &["water", "forest", "vegetation", "land", "grass", "herbaceous vegetation"], 0.0),
    label("runway", &[("runway", 1.0), ("airport", 0.5)], &["pavement", "road", "grass", "land"], 0.3),
    label("sparseresidential", &[("sparse residential", 1.0), ("residential area", 0.3)], &["house", "building", "forest", "vegetation", "grass", "land", "road", "chaparral", "car", "pavement", "herbaceous vegetation"], 0.0),
    label("storagetanks", &[("storage tanks", 1.0)], &["building", "house", "pavement", "land", "road", "grass", "vegetation", "forest", "car", "water", "industrial area"], 0.0),
    label("tenniscourt", &[("tennis court", 1.0)], &["grass", "vegetation", "forest", "pavement", "road", "car", "building", "house", "land", "residential area", "parking lot"], 0.0),
    label("building", &[("building", 1.0), ("house", 0.7)], &["built-up area", "commercial buildings", "residential area", "dense residential", "medium residential", "mobile home park", "industrial area"], 1.0),
    label("land", &[("land", 1.0)], &["beach", "chaparral", "dune"], 1.0),
    label("road", &[("road", 1.0), ("pavement", 0.3)], &["freeway", "intersection", "overpass", "car", "parking lot"], 1.0),
    label("vegetation", &[("vegetation", 1.0)], &["forest", "grass", "golf course", "agricultural", "chaparral", "herbaceous vegetation", "pasture", "permanent crop", "annual crop", "marsh"], 1.0),
    label("water", &[("water", 1.0)], &["river"], 1.0),
    label("city", &[("built-up area", 1.0)], &["building", "house", "road", "pavement", "residential area", "dense residential", "medium residential", "commercial buildings", "mobile home park", "industrial area"], 1.0),
    label("fields", &[("agricultural", 1.0)], &["land", "vegetation", "grass", "annual crop", "permanent crop", "pasture", "herbaceous vegetation"], 1.0),
    label("AnnualCrop", &[("annual crop", 1.0), ("agricultural", 0.7)], &["land", "vegetation", "grass"], 1.0),
    label("Forest", &[("forest", 1.0), ("vegetation", 0.5)], &[], 1.0),
    label("HerbaceousVegetation", &[("herbaceous vegetation", 1.0), ("vegetation", 0.3)], &["grass", "chaparral", "pasture", "land", "marsh", "forest", "permanent crop"], 0.8),
    label("Highway", &[("freeway", 1.0), ("road", 0.3)], &["agricultural", "annual crop", "pasture", "grass", "vegetation", "forest", "land", "built-up area", "residential area", "industrial area", "herbaceous vegetation", "permanent crop", "overpass", "pavement"], 0.0),
    label("Industrial", &[("industrial area", 1.0), ("built-up area", 0.5)], &["commercial buildings", "building", "road", "pavement", "parking lot", "storage tanks", "harbor"], 0.8),
    label("Pasture", &[("pasture", 1.0), ("grass", 0.4)], &["vegetation", "agricultural", "herbaceous vegetation", "forest"], 0.8),
    label("PermanentCrop", &[("permanent crop", 1.0), ("agricultural", 0.5)], &["annual crop", "land", "vegetation", "grass", "forest", "herbaceous vegetation"], 0.8),
    label("Residential", &[("residential area", 1.0), ("built-up area", 0.7)], &["dense residential", "medium residential", "sparse residential", "building", "house", "road", "forest", "vegetation", "grass", "mobile home park"], 0.8),
    label("River", &[("river", 1.0)], &["water", "forest", "vegetation", "land", "grass", "agricultural", "annual crop", "herbaceous vegetation", "pasture"], 0.0),
    label("SeaLake", &[("water", 1.0)], &[], 1.0),
    none_of("no building", &["building", "house", "commercial buildings", "storage tanks", "industrial area"]),
    none_of("no water", &["water", "river", "harbor", "ship"]),
    label("marsh", &[("marsh", 1.0)], &["vegetation", "water", "grass", "herbaceous vegetation", "land"], 1.0),
    label("sand", &[("beach", 1.0)], &["land", "dune"], 1.0),
    label("dune", &[("dune", 1.0), ("land", 0.4)], &["beach", "chaparral", "vegetation"], 1.0),
    label("foredune", &[("dune", 0.6)], &["vegetation", "herbaceous vegetation", "grass", "chaparral", "land", "beach"], 1.0),
    label("dune scrub", &[("vegetation", 1.0), ("chaparral", 0.6)], &["herbaceous vegetation", "grass", "dune", "forest", "land"], 1.0),
    label("sparse scrub", &[("chaparral", 0.3)], &["vegetation", "herbaceous vegetation", "grass", "dune", "land"], 1.0),
    label("pavement", &[("pavement", 1.0), ("road", 0.8)], &["parking lot", "freeway", "intersection", "overpass", "car", "runway"], 1.0),
    label("yards", &[("built-up area", 1.0), ("residential area", 0.6)], &["building", "house", "dense residential", "medium residential", "sparse residential", "commercial buildings", "mobile home park", "industrial area", "vegetation", "forest", "grass", "land", "pavement", "car", "parking lot", "herbaceous vegetation"], 1.0),
    none_of("neither building nor road", &["building", "house", "commercial buildings", "storage tanks", "industrial area", "road", "freeway", "intersection", "overpass"]),
];

/// Names of UC Merced's folders, and the label of EuroSAT's first one; a picture of either has one label.
pub const PICTURE_LABELS: usize = 21;
pub const EUROSAT: Label = 28;
pub const EUROSAT_LABELS: usize = 10;
/// All labels of whole pictures.
pub const NAMED_LABELS: usize = PICTURE_LABELS + EUROSAT_LABELS;
pub const BUILDING: Label = 21;
pub const LAND: Label = 22;
pub const ROAD: Label = 23;
pub const VEGETATION: Label = 24;
pub const WATER: Label = 25;
pub const CITY: Label = 26;
/// Of pictures, as all labels before [`BUILDING`].
pub const FOREST: Label = 7;
pub const FIELDS: Label = 27;
pub const NO_BUILDING: Label = 38;
pub const NO_WATER: Label = 39;
pub const MARSH: Label = 40;
pub const SAND: Label = 41;
pub const DUNE: Label = 42;
pub const FOREDUNE: Label = 43;
pub const DUNE_SCRUB: Label = 44;
pub const SPARSE_SCRUB: Label = 45;
pub const PAVEMENT: Label = 46;
pub const YARDS: Label = 47;
pub const NEITHER: Label = 48;

/// The number of a label among those of whole pictures, UC Merced's first.
pub fn named(label: Label) -> Option<usize> {
    match label {
        0..PICTURE_LABELS => Some(label),
        EUROSAT.. if label < EUROSAT + EUROSAT_LABELS => Some(label - EUROSAT + PICTURE_LABELS),
        _ => None,
    }
}

/// The labels of the set of pictures that a label belongs to.
pub fn folders(label: Label) -> std::ops::Range<Label> {
    match named(label) {
        None => 0..0,
        Some(..PICTURE_LABELS) => 0..PICTURE_LABELS,
        Some(_) => EUROSAT..EUROSAT + EUROSAT_LABELS,
    }
}

pub fn concept(name: &str) -> Option<Concept> {
    CONCEPTS.iter().position(|words| words.first() == Some(&name))
}

pub fn label_named(name: &str) -> Option<Label> {
    LABELS.iter().position(|label| label.name == name)
}

/// A word that means nothing: what the model has never heard must resemble nothing that it sees.
pub fn made_up(random: &mut Random) -> String {
    const SOUNDS: [&str; 21] =
        ["b", "c", "ch", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "qu", "r", "s", "t", "v", "w", "x", "z"];
    const VOWELS: [&str; 9] = ["a", "e", "i", "o", "u", "y", "ea", "oo", "ai"];
    loop {
        let mut word = String::new();
        for _ in 0..1 + random.below(3) {
            word += random.pick(&SOUNDS).copied().unwrap_or_default();
            word += random.pick(&VOWELS).copied().unwrap_or_default();
            if random.chance(0.4) {
                word += random.pick(&SOUNDS).copied().unwrap_or_default();
            }
        }
        // "River" can come out by chance.
        if !CONCEPTS.iter().any(|words| words.contains(&word.as_str())) {
            return word;
        }
    }
}

/// Ways to speak of a picture from above, beside the 80 templates of CLIP; a bare word is one of them.
pub const TEMPLATES: &[&str] = &[
    "{}",
    "{}",
    "{}.",
    "an aerial image of {}.",
    "a satellite image of {}.",
    "aerial view of {}",
    "satellite view of {}",
    "an aerial photo of the {}.",
    "a satellite photo of a {}.",
    "a remote sensing image of {}.",
    "an overhead view of {}.",
    "a drone image of {}.",
    "a patch of {}.",
    "an area of {}",
    "{} seen from above.",
    "{} from space",
];

/// Everything that the vocabulary is learnt from.
pub fn corpus(templates: &[String]) -> Vec<String> {
    let words = CONCEPTS.iter().flat_map(|words| words.iter()).chain(ABSENT.iter()).map(|word| word.to_string());
    words.chain(templates.iter().map(|template| template.replace("{}", " "))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_speak_of_concepts_that_exist_and_never_contradict_themselves() {
        for label in LABELS {
            for name in label.affirms.iter().map(|(name, _)| name).chain(label.allows).chain(label.denies) {
                assert!(concept(name).is_some(), "{} names {name:?}", label.name);
            }
            assert!(label.affirms.iter().all(|(name, _)| !label.allows.contains(name)), "{}", label.name);
        }
        assert_eq!((label_named("water"), label_named("fields")), (Some(WATER), Some(FIELDS)));
        assert_eq!(label_named("forest"), Some(FOREST));
        assert_eq!((label_named("AnnualCrop"), label_named("no building")), (Some(EUROSAT), Some(NO_BUILDING)));
        assert_eq!(label_named("neither building nor road"), Some(NEITHER));
        assert_eq!((label_named("SeaLake"), label_named("yards")), (Some(EUROSAT + 9), Some(YARDS)));
        assert_eq!((named(20), named(21), named(EUROSAT), named(NO_BUILDING)), (Some(20), None, Some(21), None));
    }

    #[test]
    fn made_up_words_differ_and_are_none_of_ours() {
        let mut random = Random::new(5);
        let words: std::collections::BTreeSet<String> = (0..2000).map(|_| made_up(&mut random)).collect();
        assert!(words.len() > 1500, "{}", words.len());
        assert!(CONCEPTS.iter().all(|ours| ours.iter().all(|word| !words.contains(*word))));
    }

    #[test]
    fn no_word_means_two_things() {
        let mut words: Vec<_> = CONCEPTS.iter().flat_map(|words| words.iter()).chain(ABSENT).collect();
        let count = words.len();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), count);
    }
}
