//! Mutations of bytes, whatever they mean.

use super::dice::Dice;

/// Numbers that like to overflow, to be negative or to be just too large.
pub const NUMBERS: [u64; 20] = [
    0,
    1,
    2,
    7,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    100_000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 40,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// Wherever in the bytes.
pub const ALL: std::ops::Range<usize> = 0..usize::MAX;

/// Does one to four things to the bytes inside `within`, or what is left of it.
pub fn mutate(bytes: &mut Vec<u8>, within: std::ops::Range<usize>, dice: &mut Dice) {
    for _ in 0..1 + dice.below(4) {
        let end = within.end.min(bytes.len());
        let start = within.start.min(end);
        if start < end {
            once(bytes, start, end, dice);
        }
    }
}

fn once(bytes: &mut Vec<u8>, start: usize, end: usize, dice: &mut Dice) {
    let at = start + dice.below(end - start);
    let piece = {
        let piece = dice.piece(end - start, 40);
        start + piece.start..start + piece.end
    };
    match dice.below(11) {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 | 3 => bytes[at] = dice.next() as u8,
        4 | 5 => put(bytes, at, dice.pick(&NUMBERS), dice.pick(&[1, 2, 4, 8]), dice.one_in(5)),
        6 => bytes[piece].fill(dice.pick(&[0, 0xff, b' ', b'A'])),
        7 => {
            let copy = bytes[piece].to_vec();
            bytes.splice(at..at, copy);
        }
        8 => {
            let copy = bytes[piece].to_vec();
            let room = copy.len().min(end - at);
            bytes[at..at + room].copy_from_slice(&copy[..room]);
        }
        9 => drop(bytes.drain(piece)),
        _ => bytes.truncate(at),
    }
}

/// Writes a number over `width` bytes, as many of them as there are.
pub fn put(bytes: &mut [u8], at: usize, number: u64, width: usize, big_endian: bool) {
    let mut written = number.to_le_bytes()[..width.min(8)].to_vec();
    if big_endian {
        written.reverse();
    }
    let after = bytes.get_mut(at..).unwrap_or_default();
    let room = after.len().min(written.len());
    after[..room].copy_from_slice(&written[..room]);
}
