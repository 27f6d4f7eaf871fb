//! Files that lie, and files that were damaged at random.

use super::*;

#[test]
fn claims_beyond_the_storage_are_refused() {
    for (count, offset, shape, strides) in [
        (6, 0, &[7][..], &[1][..]),
        (6, 6, &[1], &[1]),
        (6, 0, &[1 << 40, 1 << 40], &[1, 1]),
        (6, 0, &[3, 3], &[2, 1]),
        (6, 0, &[2], &[i64::MAX]),
        (6, i64::MAX, &[2], &[i64::MAX]),
        (6, 0, &[1_000_000_000], &[0]),
    ] {
        let message = refused(&one_tensor(count, offset, shape, strides));
        assert!(message.contains("of its storage"), "{message}");
        assert!(message.contains("\"w\""), "{message}");
    }
    assert!(refused(&one_tensor(1 << 40, 0, &[1], &[1])).contains("claims 1099511627776 numbers"));
    assert!(refused(&one_tensor(6, 0, &[-1], &[1])).contains("negative"));
    assert!(refused(&one_tensor(6, 0, &[1; 9], &[1; 9])).contains("8 dimensions"));
}

#[test]
fn shared_storage_is_limited() {
    let mut pickler = Pickler::new();
    pickler.op(b'}').op(b'(');
    for index in 0..100 {
        pickler.text(&format!("w{index}")).tensor("torch FloatStorage", "0", 1 << 20, 0, &[1 << 20], &[1]);
    }
    pickler.op(b'u');
    let message = refused(&torch_zip(pickler.finish(), &[("0", vec![0; 4 << 20])]));
    assert!(message.contains("together need more than 4 times"), "{message}");
}

#[test]
fn views_with_large_strides_are_limited() {
    let mut pickler = Pickler::new();
    pickler.op(b'}').op(b'(');
    for index in 0..1000 {
        pickler.text(&format!("w{index}")).tensor("torch FloatStorage", "0", 1 << 20, 0, &[2], &[(1 << 20) - 1]);
    }
    pickler.op(b'u');
    let message = refused(&torch_zip(pickler.finish(), &[("0", vec![0; 4 << 20])]));
    assert!(message.contains("together need more than 4 times"), "{message}");
}

#[test]
fn shared_modules_are_limited() {
    let mut pickler = Pickler::new();
    // Forty levels, each with the one below it under two names.
    for _ in 0..40 {
        pickler.global("__torch__ Net").op(b')').op(0x81).op(b'}').op(b'(');
        pickler.text("a");
    }
    pickler.tensor("torch FloatStorage", "0", 1, 0, &[1], &[1]);
    for _ in 0..40 {
        pickler.op(b'q').op(0).text("b").op(b'h').op(0).op(b'u').op(b'b');
    }
    let bytes = zip(&[("n/data.pkl", pickler.finish()), ("n/data/0", floats(&[1.])), ("n/constants.pkl", vec![])]);
    let start = processor_time();
    assert!(refused(&bytes).contains("attributes"));
    assert!(processor_time() - start < Duration::from_secs(5));
}

#[test]
fn recursive_modules_are_limited() {
    let mut pickler = Pickler::new();
    pickler
        .global("__torch__ Net")
        .op(b')')
        .op(0x81)
        .op(b'q')
        .op(0)
        .op(b'}')
        .text("a")
        .op(b'h')
        .op(0)
        .op(b's')
        .op(b'b');
    let bytes = zip(&[("n/data.pkl", pickler.finish()), ("n/constants.pkl", vec![])]);
    assert!(refused(&bytes).contains("nested deeper"));
}

#[test]
fn other_files_are_named() {
    for (bytes, expected) in [
        (&b""[..], "empty"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\x89PNG\r\n\x1a\n....", "89 50 4e 47"),
        (b"\x80\x02}q\x00.", "bare pickle"),
        (b"PK\x03\x04", "no end record"),
        (b"\xff\xff\xff\x03\x00\x00\x00\x00{\"a\":", "allowed"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{\"a\":", "file ends at byte"),
    ] {
        let message = refused(bytes);
        assert!(message.contains(expected), "{message}");
    }
    assert!(refused(&zip(&[("a.txt", vec![])])).contains("without a data.pkl"));
    let missing = read(&PathBuf::from("/nowhere/clip.pt")).unwrap_err();
    assert!(whole(&missing).contains("/nowhere/clip.pt"));
    assert!(whole(&read(&std::env::temp_dir()).unwrap_err()).contains("folder"));
}

#[test]
fn flipped_bit_fails_the_checksum() {
    let mut bytes = one_tensor(6, 0, &[6], &[1]);
    let at = bytes.windows(4).position(|window| window == 3f32.to_le_bytes()).unwrap();
    bytes[at] ^= 1;
    assert!(refused(&bytes).contains("CRC-32"));
}

#[test]
fn compressed_entries_and_foreign_byte_orders_are_refused() {
    let mut bytes = one_tensor(6, 0, &[6], &[1]);
    let directory = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    bytes[directory + 10] = 8;
    assert!(refused(&bytes).contains("compressed"));
    let bytes = zip(&[("a/data.pkl", b"\x80\x02}.".to_vec()), ("a/byteorder", b"big".to_vec())]);
    assert!(refused(&bytes).contains("byte order"));
}

/// Random numbers from a fixed seed, so that failures repeat.
fn rng() -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32])
}

/// Changes a few bytes, truncates, repeats, or overwrites with numbers that are likely to overflow.
fn mutate(bytes: &mut Vec<u8>, rng: &mut TestRng) {
    for _ in 0..1 + rng.random_range(0..4u32) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6u32) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8u32),
            1 => bytes[at] = rng.random(),
            2 => bytes.truncate(at),
            3 => {
                let end = (at + rng.random_range(1..40usize)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = rng.random_range(0..bytes.len());
                bytes.splice(to..to, copy);
            }
            4 => {
                let end = (at + 4).min(bytes.len());
                let big = [0xff, 0xff, 0xff, [0x7f, 0xff][rng.random_range(0..2usize)]];
                bytes[at..end].copy_from_slice(&big[..end - at]);
            }
            _ => {
                let end = (at + rng.random_range(1..40usize)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }
}

/// Reads without panic or hang; errors are those of the input.
fn survive(bytes: &[u8], path: &Path) {
    std::fs::write(path, bytes).unwrap();
    let start = processor_time();
    let results = [read_clip(path).map(drop), read_upsampler(path).map(drop)];
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error.exit_code(), 1, "{}", whole(&error));
    }
    let took = processor_time() - start;
    assert!(took < Duration::from_secs(10), "a mutated checkpoint takes {took:?}");
}

/// Mutations of the whole file: most hit numbers or the zip's own records.
#[test]
fn mutated_files_are_read_or_refused() {
    let mut rng = rng();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutated");
    let files = ["simfeatup_jbu_one.ckpt", "simfeatup_jbu_stack.ckpt"].map(|name| std::fs::read(small(name)).unwrap());
    for round in 0..700 {
        let mut bytes = files[round % 2].clone();
        mutate(&mut bytes, &mut rng);
        survive(&bytes, &path);
    }
}

/// Mutations of the pickle alone, packed again with valid checksums, so that they reach the stack machine.
#[test]
fn mutated_pickles_are_read_or_refused() {
    let mut rng = rng();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutated");
    let source = ByteSource::open(&small("simfeatup_jbu_one.ckpt")).unwrap();
    let archive = zip::Archive::open(&source).unwrap();
    let entries: Vec<(&str, Vec<u8>)> = archive
        .names()
        .map(|name| {
            let extent = archive.find(&source, name).unwrap().extent;
            (name, source.read_vec(extent.start, extent.len).unwrap())
        })
        .collect();
    for round in 0..1000 {
        let mut entries = entries.clone();
        let pickle = entries.iter_mut().find(|(name, _)| name.ends_with("data.pkl")).unwrap();
        mutate(&mut pickle.1, &mut rng);
        if round % 3 == 0 {
            entries.push(("simfeatup_jbu_one/constants.pkl", Vec::new()));
        }
        survive(&testing::zip(&entries), &path);
    }
}

/// Mutations near the front of a safetensors file: its header.
#[test]
fn mutated_safetensors_are_read_or_refused() {
    let mut rng = rng();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mutated");
    let header = br#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"F16","shape":[],"data_offsets":[24,26]}}"#;
    let mut whole = (header.len() as u64).to_le_bytes().to_vec();
    whole.extend(header);
    whole.extend([0; 26]);
    assert_eq!(read_bytes(&whole).unwrap().tensors["a"].shape(), [2, 3]);
    for _ in 0..500 {
        let mut bytes = whole.clone();
        mutate(&mut bytes, &mut rng);
        survive(&bytes, &path);
    }
}

#[test]
fn random_files_are_refused() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(300) });
    let starts = proptest::sample::select(vec![&b"PK\x03\x04"[..], b"\x20\0\0\0\0\0\0\0{", &legacy::MAGIC, b""]);
    let bytes = (starts, proptest::collection::vec(any::<u8>(), 0..300));
    runner
        .run(&bytes, |(start, rest)| {
            prop_assert!(read_bytes(&[start, &rest].concat()).is_err());
            Ok(())
        })
        .unwrap();
}
