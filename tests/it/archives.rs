//! Zip archives of stored entries, as PyTorch writes them: made, and taken apart again.

/// An entry's name and content.
pub type Entry = (String, Vec<u8>);

/// An archive with right checksums.
pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let (size, start) = ((content.len() as u32).to_le_bytes(), (file.len() as u32).to_le_bytes());
        let crc = crc32fast::hash(content).to_le_bytes();
        let name_size = (name.len() as u16).to_le_bytes();
        // Version, flags, method, time, date; then CRC, the two sizes and the length of the name.
        let common = [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &crc, &size, &size, &name_size, &[0, 0]].concat();
        file.extend([b"PK\x03\x04", common.as_slice(), name.as_bytes(), content].concat());
        directory.extend([b"PK\x01\x02\x14\x00", common.as_slice(), &[0; 10], &start, name.as_bytes()].concat());
    }
    let (start, size, count) = (file.len() as u32, directory.len() as u32, (entries.len() as u16).to_le_bytes());
    file.extend(directory);
    file.extend(
        [b"PK\x05\x06\0\0\0\0", &count[..], &count, &size.to_le_bytes(), &start.to_le_bytes(), &[0, 0]].concat(),
    );
    file
}

/// The entries of a sound archive below 4 GB.
pub fn unzip(archive: &[u8]) -> Vec<Entry> {
    let u16_at = |at: usize| u16::from_le_bytes([archive[at], archive[at + 1]]) as usize;
    let u32_at = |at: usize| u16_at(at) | u16_at(at + 2) << 16;
    let end = archive.windows(4).rposition(|four| four == b"PK\x05\x06").expect("an end record");
    let mut at = u32_at(end + 16);
    let entries = (0..u16_at(end + 10)).map(|_| {
        let (size, name_size, header) = (u32_at(at + 20), u16_at(at + 28), u32_at(at + 42));
        let name = String::from_utf8_lossy(&archive[at + 46..at + 46 + name_size]).into_owned();
        at += 46 + name_size + u16_at(at + 30) + u16_at(at + 32);
        let start = header + 30 + u16_at(header + 26) + u16_at(header + 28);
        (name, archive[start..start + size].to_vec())
    });
    entries.collect()
}
