//! Pickles, mutated opcode by opcode.

use super::bytes;
use super::bytes::NUMBERS;
use super::dice::Dice;

/// Where each opcode of a sound pickle begins, as far as PyTorch's pickles use them.
fn opcodes(pickle: &[u8]) -> Vec<usize> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(&opcode) = pickle.get(at) {
        found.push(at);
        let len4 = || {
            pickle.get(at + 1..at + 5).map_or(0, |len| u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize)
        };
        let lines = |count: usize| {
            let ends = pickle[at..].iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(count - 1);
            ends.map_or(pickle.len(), |(end, _)| end)
        };
        at += 1 + match opcode {
            0x80 | b'K' | b'q' | b'h' => 1,
            b'M' => 2,
            b'J' | b'r' | b'j' => 4,
            b'G' => 8,
            b'X' | b'B' => 4 + len4(),
            0x8a | b'U' => 1 + pickle.get(at + 1).map_or(0, |&len| usize::from(len)),
            b'c' => lines(2),
            _ => 0,
        };
    }
    found
}

/// Opcodes and whole pieces of other pickles: what runs code, what grows, what no checkpoint has.
const PIECES: [&[u8]; 34] = [
    b"cposix\nsystem\n",
    b"cbuiltins\neval\n",
    b"ctorch\nQInt8Storage\n",
    b"ctorch\nDoubleStorage\n",
    b"ctorch.storage\nUntypedStorage\n",
    b"c__torch__\nNet\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"(",
    b"0",
    b"1",
    b"2",
    b"N",
    b"\x88",
    b")",
    b"]",
    b"}",
    b"t",
    b"R",
    b"Q",
    b"b",
    b"u",
    b"s",
    b"a",
    b"e",
    b".",
    b"\x81",
    b"\x85",
    b"\x86",
    b"\x87",
    b"X\xff\xff\xff\x7f",
    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"J\xff\xff\xff\xff",
    b"h\x00",
    b"i",
];

pub fn mutate(pickle: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..1 + dice.below(3) {
        let starts = opcodes(pickle);
        if starts.len() < 2 {
            return;
        }
        let index = dice.below(starts.len() - 1);
        let here = starts[index]..starts[index + 1];
        let numbers: Vec<usize> =
            starts.iter().copied().filter(|&at| matches!(pickle[at], b'K' | b'M' | b'J')).collect();
        match dice.below(9) {
            0 => drop(pickle.drain(here)),
            1 => {
                let copy = pickle[here].to_vec();
                let to = dice.pick(&starts);
                let times = dice.pick(&[1, 1, 2, 5000]);
                pickle.splice(to..to, copy.repeat(times));
            }
            2 => drop(pickle.splice(here, dice.pick(&PIECES).iter().copied())),
            3 => drop(pickle.splice(here.start..here.start, dice.pick(&PIECES).iter().copied())),
            4 if index + 2 < starts.len() => pickle[here.start..starts[index + 2]].rotate_left(here.len()),
            // Counts, offsets, sides and strides: any number of eight bytes.
            5 | 6 if !numbers.is_empty() => {
                let at = dice.pick(&numbers);
                let old = 1 + match pickle[at] {
                    b'K' => 1,
                    b'M' => 2,
                    _ => 4,
                };
                let number = dice.pick(&NUMBERS).to_le_bytes();
                let end = (at + old).min(pickle.len());
                pickle.splice(at..end, [&[0x8a, 8], &number[..]].concat());
            }
            // A length, a memo's number, a character.
            7 => {
                let at = here.start + dice.below(here.len().min(6));
                bytes::put(pickle, at, dice.pick(&NUMBERS), dice.pick(&[1, 4]), false);
            }
            _ => bytes::mutate(pickle, bytes::ALL, dice),
        }
    }
}
