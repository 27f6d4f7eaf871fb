//! Bundles: their cards and tokenizers mutated as text, their weights as bytes.

use std::fs;

use super::dice::Dice;
use super::{Case, bytes, text};
use crate::bundles::{Upsampler, small_bundle};
use crate::scenes::noise_scene;
use crate::workdir::Workdir;

/// A folder with the bundle `small`, and a case that uses it.
fn using(upsampler: Upsampler, change: impl FnOnce(&Workdir)) -> Case {
    let work = Workdir::new();
    small_bundle(&work, "small", upsampler);
    noise_scene(&work.path("scene.tif"), 40, 30);
    change(&work);
    let words = "segment scene.tif --model small -c aa;bb --templates none -o out/labels.tif --memory 800MB";
    Case::new(work, words)
}

fn read(work: &Workdir, name: &str) -> String {
    fs::read_to_string(work.path("small").join(name)).expect("a text of the bundle")
}

pub fn card(dice: &mut Dice) -> Case {
    let upsampler = dice.pick(&[Upsampler::None, Upsampler::JbuOne]);
    let mut case = using(upsampler, |work| {
        let card = text::mutate(&read(work, "model.yaml"), dice);
        work.write("small/model.yaml", card);
    });
    if dice.one_in(3) {
        case.args = ["model", "inspect", "small"].map(str::to_owned).to_vec();
    }
    case
}

/// With a right hash: its own reader is what stands before it.
pub fn tokenizer(dice: &mut Dice) -> Case {
    using(Upsampler::None, |work| {
        let tokenizer = read(work, "tokenizer.json");
        let before = sha256(tokenizer.as_bytes());
        let changed = match dice.below(4) {
            0 => twist(tokenizer, dice).into_bytes(),
            _ => text::mutate(&tokenizer, dice),
        };
        let card = read(work, "model.yaml");
        assert!(card.contains(&before), "{card}");
        work.write("small/model.yaml", card.replace(&before, &sha256(&changed)));
        work.write("small/tokenizer.json", changed);
    })
}

fn sha256(content: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Merges that turn in circles, name what is not there or come again, and tokens with senseless numbers.
fn twist(tokenizer: String, dice: &mut Dice) -> String {
    let mut json: serde_json::Value = serde_json::from_str(&tokenizer).expect("JSON");
    let model = &mut json["model"];
    let number = dice.pick(&[0u64, 1, 600, 49_407, 4_294_967_295, 1 << 40]);
    match dice.below(6) {
        0 => model["merges"] = serde_json::json!([["a", "a"], ["aa", "a"], ["aa", "aa"], ["a", "a"]]),
        1 => model["merges"] = serde_json::json!(["a b", "b a", "ab ba", "", " ", "a b c"]),
        2 => model["vocab"]["a"] = number.into(),
        3 => model["vocab"]["k".repeat(100_000)] = number.into(),
        4 => model["merges"] = (0..40_000).map(|index| vec!["a".to_owned(), format!("b{index}")]).collect(),
        _ => json["added_tokens"][0]["id"] = number.into(),
    }
    json.to_string()
}

/// TorchScript can carry code: what is not what the card says is never loaded.
pub fn weights(dice: &mut Dice) -> Case {
    let upsampler = dice.pick(&[Upsampler::None, Upsampler::JbuOne]);
    let mut case = using(upsampler, |work| {
        let mut files: Vec<_> = work.files().into_keys().filter(|path| path.starts_with(work.path("small"))).collect();
        files.retain(|path| path.extension().is_some_and(|ending| ending == "pt" || ending == "safetensors"));
        let file = dice.pick(&files);
        let sound = fs::read(&file).expect("weights");
        let mut changed = sound.clone();
        while changed == sound {
            bytes::mutate(&mut changed, bytes::ALL, dice);
        }
        fs::write(file, changed).expect("changed weights");
    });
    case.never_taken = true;
    case
}
