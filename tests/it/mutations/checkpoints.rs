//! Checkpoints of the three layouts that are imported, damaged behind their checksums too.

use std::fs;
use std::sync::OnceLock;

use segearth::network::export::tensors;
use segearth_checkpoint::read_clip;
use tch::{Kind, Tensor};

use super::dice::Dice;
use super::{Case, bytes, pickles, text};
use crate::archives::{Entry, unzip, zip};
use crate::bundles::{small_clip, write_merges};
use crate::workdir::{Workdir, repository};

/// A case that imports the mutated file as CLIP, or as the upsampler beside a sound CLIP.
fn import(name: &str, content: Vec<u8>, upsampler: bool) -> Case {
    let work = Workdir::new();
    write_merges(&work);
    work.write(name, content);
    let mut case = Case::new(work, "model import --tokenizer merges.txt -o new --clip");
    let small = small_clip().display().to_string();
    let (clip, upsampler) = if upsampler { (small.as_str(), name) } else { (name, "none") };
    case.args.extend([clip, "--upsampler", upsampler].map(str::to_owned));
    case
}

fn whole(upsampler: bool) -> Vec<u8> {
    let path = if upsampler { repository("tests/parity/small/simfeatup_jbu_one.ckpt") } else { small_clip() };
    fs::read(path).expect("a checkpoint")
}

/// Archives of `torch.save`: their pickles with right checksums, and their own records without.
pub fn archive(dice: &mut Dice) -> Case {
    let upsampler = dice.one_in(3);
    let whole = whole(upsampler);
    let content = if dice.one_in(4) {
        let mut content = whole;
        let directory = content.windows(4).position(|four| four == b"PK\x01\x02").expect("a directory");
        let within = dice.pick(&[directory, directory, content.len() - 22, 0])..content.len();
        bytes::mutate(&mut content, within, dice);
        content
    } else {
        let mut entries = unzip(&whole);
        change_entries(&mut entries, dice);
        zip(&entries)
    };
    import("mutated.pt", content, upsampler)
}

fn change_entries(entries: &mut Vec<Entry>, dice: &mut Dice) {
    let pickle = entries.iter().position(|(name, _)| name.ends_with("data.pkl")).expect("a pickle");
    let some = dice.below(entries.len());
    match dice.below(8) {
        0 => drop(entries.remove(some)),
        1 => {
            let other = dice.below(entries.len());
            entries[some].1 = entries[other].1.clone();
        }
        2 => {
            let name = dice.pick(&["/constants.pkl", "/code/a.py", "/../../escape", "/\0", "/data/-1"]);
            let folder = entries[pickle].0.trim_end_matches("/data.pkl").to_owned();
            entries.push((folder + name, b"\x80\x02).".to_vec()));
        }
        3 => {
            let content = &mut entries[some].1;
            bytes::mutate(content, bytes::ALL, dice);
        }
        _ => pickles::mutate(&mut entries[pickle].1, dice),
    }
}

/// The layout before PyTorch 1.6, made of the small archives: pickles one after the other, then the storages.
struct Legacy {
    /// A magic number, the version, the machine.
    head: Vec<u8>,
    object: Vec<u8>,
    keys: Vec<u8>,
    storages: Vec<Vec<u8>>,
}

impl Legacy {
    fn new(upsampler: bool) -> Self {
        let entries = unzip(&whole(upsampler));
        let content =
            |end: &str| entries.iter().find(|(name, _)| name.ends_with(end)).map(|(_, content)| content.clone());
        let storages: Vec<Vec<u8>> = (0..).map_while(|key: usize| content(&format!("/data/{key}"))).collect();
        let mut keys = b"\x80\x02](".to_vec();
        for key in 0..storages.len() {
            let key = key.to_string();
            keys.extend([b"X", &(key.len() as u32).to_le_bytes()[..], key.as_bytes()].concat());
        }
        keys.extend(b"e.");
        let head = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
        Self { head, object: content("/data.pkl").expect("a pickle"), keys, storages }
    }

    /// The file, and where the storages' counts stand in it.
    fn file(&self) -> (Vec<u8>, Vec<usize>) {
        let mut file = [self.head.as_slice(), &self.object, &self.keys].concat();
        let mut counts = Vec::new();
        for numbers in &self.storages {
            counts.push(file.len());
            file.extend((numbers.len() as u64 / 4).to_le_bytes());
            file.extend(numbers);
        }
        (file, counts)
    }
}

pub fn legacy(dice: &mut Dice) -> Case {
    let upsampler = dice.one_in(2);
    let mut parts = Legacy::new(upsampler);
    let which = dice.below(6);
    match which {
        0 => bytes::mutate(&mut parts.head, 15..1000, dice),
        1 => pickles::mutate(&mut parts.keys, dice),
        2 | 3 => pickles::mutate(&mut parts.object, dice),
        _ => {}
    }
    let (mut file, counts) = parts.file();
    match which {
        4 => {
            let at = dice.pick(&counts);
            bytes::mutate(&mut file, at..at + 8, dice);
        }
        5 => {
            bytes::mutate(&mut file, bytes::ALL, dice);
        }
        _ => {}
    }
    import("mutated.pt", file, upsampler)
}

/// What is mutated, as it is, where it is not a published file.
pub fn sound() -> Vec<Case> {
    let legacy = |upsampler| import("sound.pt", Legacy::new(upsampler).file().0, upsampler);
    let again = import("again.pt", zip(&unzip(&whole(false))), false);
    vec![legacy(false), legacy(true), again, import("sound.safetensors", whole_safetensors().to_vec(), false)]
}

fn whole_safetensors() -> &'static [u8] {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let work = Workdir::new();
        let clip = read_clip(&small_clip()).expect("the small CLIP");
        let all = tensors(&clip.tensors, "", Kind::Float).expect("tensors").into_iter();
        let all: Vec<(String, Tensor)> = all.map(|(name, tensor)| (name, tensor.contiguous())).collect();
        Tensor::write_safetensors(&all, work.path("clip.safetensors")).expect("a file");
        fs::read(work.path("clip.safetensors")).expect("a file")
    })
}

/// A header of JSON, its length before it, numbers behind it.
pub fn safetensors(dice: &mut Dice) -> Case {
    let whole = whole_safetensors();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().expect("eight bytes")) as usize;
    let mut text = String::from_utf8(whole[8..header].to_vec()).expect("JSON");
    let changed = match dice.below(6) {
        0 => {
            // Axes and places of a tensor.
            let numbers: Vec<(usize, &str)> = text.match_indices(|c: char| c.is_ascii_digit()).collect();
            let at = dice.pick(&numbers).0;
            text.replace_range(
                at..at + 1,
                dice.pick(&["", "-", "9", "00", "99999999999", "18446744073709551615", "1e9"]),
            );
            text.into_bytes()
        }
        1 => text
            .replacen(
                "\"F32\"",
                dice.pick(&["\"F64\"", "\"U8\"", "\"F16\"", "\"F4\"", "\"X\"", "7"]),
                1 + dice.below(9),
            )
            .into_bytes(),
        2 => whole[8..header].to_vec(),
        _ => text::mutate(&text, dice),
    };
    let len = if dice.one_in(6) { dice.pick(&bytes::NUMBERS) } else { changed.len() as u64 };
    let mut content = [&len.to_le_bytes()[..], &changed, &whole[header..]].concat();
    if dice.one_in(4) {
        bytes::mutate(&mut content, bytes::ALL, dice);
    }
    import("mutated.safetensors", content, false)
}
