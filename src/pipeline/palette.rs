//! Colours for classes that name none: by meaning where a word is known, else from a list of colours that differ well.

use super::plan::ClassPlan;
use crate::scene::same_name;

type Rgb = [u8; 3];

/// Words and the colours that maps give to such things. The first row with a word of the class wins.
const BY_MEANING: &[(&[&str], Rgb)] = &[
    (&["background", "clutter", "other", "unlabelled", "unknown"], [224, 224, 224]),
    (&["swimming"], [64, 224, 208]),
    (&["flood", "flooded", "floodwater", "inundation", "inundated"], [0, 176, 240]),
    (&["water", "river", "lake", "sea", "ocean", "pond", "reservoir", "stream", "canal", "bay"], [31, 102, 210]),
    (&["roof", "rooftop"], [166, 38, 38]),
    (&["building", "house", "city", "urban", "residential", "settlement", "town"], [214, 48, 39]),
    (&["facade"], [240, 128, 96]),
    (&["wetland", "marsh", "swamp", "mangrove"], [70, 150, 140]),
    (&["forest", "wood", "woodland", "rainforest"], [20, 105, 40]),
    (&["tree", "trees"], [46, 139, 54]),
    (&["cropland", "crop", "agricultural", "agriculture", "field", "farmland", "farm"], [240, 200, 80]),
    (&["grass", "grassland", "meadow", "pasture", "lawn", "rangeland"], [152, 210, 96]),
    (&["vegetation", "shrub", "shrubland", "bush"], [106, 176, 76]),
    (&["bareland", "barren", "bare", "soil", "sand", "desert", "beach", "rock"], [196, 160, 112]),
    (&["parking", "pavement", "paved", "impervious", "concrete"], [168, 168, 176]),
    (&["road", "street", "highway", "asphalt", "runway"], [96, 96, 104]),
    (&["bridge"], [120, 84, 60]),
    (&["snow", "ice", "glacier"], [240, 250, 255]),
    (&["cloud"], [250, 250, 250]),
    (&["car", "vehicle", "truck", "bus"], [250, 220, 20]),
    (&["ship", "boat", "harbor", "harbour", "port"], [112, 48, 160]),
    (&["plane", "airplane", "aircraft", "helicopter", "airport"], [230, 90, 200]),
    (&["human", "person", "people"], [255, 105, 30]),
];

/// Colours without meaning, chosen to differ from each other and from most of those above.
const DISTINCT: &[Rgb] = &[
    [230, 159, 0],
    [86, 180, 233],
    [204, 121, 167],
    [0, 158, 115],
    [148, 103, 189],
    [213, 94, 0],
    [140, 86, 75],
    [23, 190, 207],
    [188, 189, 34],
    [227, 119, 194],
    [0, 114, 178],
    [127, 201, 127],
    [190, 174, 212],
    [253, 192, 134],
    [240, 2, 127],
    [191, 91, 23],
];

/// Gives each class without a colour one that no other class has.
pub(super) fn colour(classes: &mut [ClassPlan], chosen: &[Option<Rgb>]) {
    let mut used: Vec<Rgb> = chosen.iter().flatten().copied().collect();
    // Meaning first, over all classes: a word further down has more right to its colour than a class without meaning.
    let mut open = Vec::new();
    for (index, class) in classes.iter_mut().enumerate() {
        let meant = by_meaning(class).filter(|colour| !used.contains(colour));
        match chosen.get(index).copied().flatten() {
            Some(colour) => class.colour = colour,
            None => match meant {
                Some(colour) => {
                    class.colour = colour;
                    used.push(colour);
                }
                None => open.push(class),
            },
        }
    }
    let mut candidates = DISTINCT.iter().copied().chain((0..).map(generated));
    for class in open {
        // Nearby colours are avoided while there is choice; with hundreds of classes only equal ones are.
        let least = if used.len() < DISTINCT.len() { 60 } else { 1 };
        if let Some(colour) = candidates.find(|colour| used.iter().all(|other| distance(*colour, *other) >= least)) {
            class.colour = colour;
            used.push(colour);
        }
    }
}

/// Classes of these names after those that are there, unless one of them has the name: without prompts, in colours of their
/// own.
pub fn with_classes(mut classes: Vec<ClassPlan>, names: &[String]) -> Vec<ClassPlan> {
    let mut colours: Vec<Option<Rgb>> = classes.iter().map(|class| Some(class.colour)).collect();
    for name in names {
        if !classes.iter().any(|class| same_name(&class.name, name)) {
            let (name, prompts) = (name.clone(), Vec::new());
            classes.push(ClassPlan { name, colour: [0; 3], prompts, index: None, threshold: None, learnt: None });
            colours.push(None);
        }
    }
    colour(&mut classes, &colours);
    classes
}

fn by_meaning(class: &ClassPlan) -> Option<Rgb> {
    let row_of = |text: &str| {
        let text = text.to_lowercase();
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
        let has = |known: &str| words.iter().any(|word| *word == known || word.strip_suffix('s') == Some(known));
        BY_MEANING.iter().find(|(known, _)| known.iter().any(|known| has(known))).map(|(_, colour)| *colour)
    };
    row_of(&class.name).or_else(|| class.prompts.iter().find_map(|prompt| row_of(prompt)))
}

/// City-block distance in RGB: crude, but only to keep two colours apart.
fn distance(a: Rgb, b: Rgb) -> u32 {
    a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(b))).sum()
}

/// An endless row of colours: hues by the golden angle, brightness and saturation in turns.
#[expect(clippy::indexing_slicing, reason = "remainders by the lists' own lengths")]
fn generated(index: u32) -> Rgb {
    let hue = (f64::from(index) * 137.507_764_05) % 360.0;
    let saturation = [0.85, 0.55, 0.7][index as usize % 3];
    let value = [0.9, 0.65, 0.45, 0.78][index as usize / 3 % 4];
    let channel = |n: f64| {
        let k = (n + hue / 60.0) % 6.0;
        let level = value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0);
        (level * 255.0).round() as u8
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str) -> ClassPlan {
        ClassPlan {
            name: name.into(),
            colour: [0; 3],
            prompts: vec![name.into()],
            index: None,
            threshold: None,
            learnt: None,
        }
    }

    #[test]
    fn known_words_get_their_colours() {
        let mut classes = [class("thing"), class("rivers"), class("tennis court"), class("Building"), class("lake")];
        colour(&mut classes, &[None; 5]);
        assert_eq!(classes[1].colour, [31, 102, 210]);
        assert_eq!(classes[3].colour, [214, 48, 39]);
        // The second water class must not look like the first.
        assert!(distance(classes[4].colour, classes[1].colour) >= 60);
    }

    #[test]
    fn thousands_of_classes_get_distinct_colours() {
        let mut classes: Vec<_> = (0..4096).map(|index| class(&format!("c{index}"))).collect();
        colour(&mut classes, &vec![None; 4096]);
        let distinct: std::collections::HashSet<_> = classes.iter().map(|class| class.colour).collect();
        assert_eq!(distinct.len(), 4096);
    }

    #[test]
    fn chosen_colour_is_not_reused() {
        let mut classes = [class("water"), class("road")];
        colour(&mut classes, &[None, Some([31, 102, 210])]);
        assert_eq!(classes[1].colour, [31, 102, 210]);
        assert_ne!(classes[0].colour, [31, 102, 210]);
    }
}
