use proptest::prelude::*;

use super::super::testing::Pickler;
use super::*;

fn root(bytes: &[u8]) -> Value<'_> {
    let parsed = parse(bytes).unwrap();
    parsed.get(parsed.root).clone()
}

fn error_of(bytes: &[u8]) -> String {
    parse(bytes).unwrap_err().to_string()
}

#[test]
fn plain_values_are_read() {
    assert_eq!(root(b"\x80\x02K\x07."), Value::Int(7));
    assert_eq!(root(b"\x80\x02J\xff\xff\xff\xff."), Value::Int(-1));
    assert_eq!(root(b"\x80\x02\x8a\x02\x00\xff."), Value::Int(-256));
    assert_eq!(root(b"\x80\x02\x8a\x00."), Value::Int(0));
    assert_eq!(root(b"\x80\x02X\x02\x00\x00\x00ab."), Value::Str("ab"));
    assert_eq!(root(b"\x80\x04\x95\x01\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94."), Value::Str("a"));
}

#[test]
fn unknown_calls_become_inert_objects() {
    let bytes = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.";
    let parsed = parse(bytes).unwrap();
    assert!(matches!(parsed.get(parsed.root), Value::Object { state: None, .. }));
    assert_eq!(parsed.describe(parsed.root), "an object of os.system");
}

#[test]
fn unsupported_opcodes_are_refused_with_their_position() {
    // Extension registry, text integer, instance, out-of-band buffer, text persistent id.
    for opcode in [0x82, b'I', b'i', 0x97, b'P'] {
        let message = error_of(&[0x80, 2, opcode, b'1', b'\n', b'.']);
        assert!(message.contains(&format!("opcode 0x{opcode:02x} at byte 2")), "{message}");
    }
    assert!(error_of(b"\x80\x00.").contains("protocol"));
}

#[test]
fn invalid_structures_are_refused() {
    for (bytes, expected) in [
        (&b"\x80\x02"[..], "unexpected end"),
        (b"\x80\x02.", "missing on the stack"),
        (b"\x80\x02t.", "mark"),
        (b"\x80\x02K\x01(0K\x01(K\x02.", ""),
        (b"\x80\x02h\x05.", "memo entry is missing"),
        (b"\x80\x02}(K\x01u.", "no value"),
        (b"\x80\x02K\x01K\x02a.", "not a list"),
        (b"\x80\x02X\xff\xff\xff\xffab.", "unexpected end"),
        (b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xffab.", "unexpected end"),
        (b"\x80\x02K\x01Q.", "not a storage"),
        (b"\x80\x02(K\x01(00.", "missing on the stack"),
    ] {
        match parse(bytes) {
            Ok(_) => assert!(expected.is_empty(), "{bytes:?} was read"),
            Err(error) => assert!(error.to_string().contains(expected), "{bytes:?}: {error}"),
        }
    }
}

#[test]
fn a_value_may_contain_itself() {
    // l = []; l.append(l)
    let parsed = parse(b"\x80\x02]q\x00h\x00a.").unwrap();
    assert_eq!(*parsed.get(parsed.root), Value::List(vec![parsed.root]));
}

#[test]
fn number_of_values_is_limited() {
    let mut bytes = vec![0x80, 2];
    bytes.resize(3_000_000, b')');
    assert!(error_of(&bytes).contains("more values than allowed"));
}

#[test]
fn a_tensor_needs_a_storage() {
    let bytes = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x00K\x01\x85K\x01\x85\x89Nt\x52.";
    assert!(error_of(bytes).contains("arguments of a tensor"));
    let mut pickler = Pickler::new();
    pickler.tensor("torch FloatStorage", "0", 6, 0, &[2, 3], &[3, 1]);
    let bytes = pickler.finish();
    let Value::Tensor(tensor) = root(&bytes) else { panic!("no tensor") };
    assert_eq!((tensor.dtype, tensor.shape, tensor.strides), (Dtype::F32, vec![2, 3], vec![3, 1]));
}

#[test]
fn tensor_of_unknown_type_is_inert() {
    let mut pickler = Pickler::new();
    pickler.tensor("torch ComplexFloatStorage", "0", 6, 0, &[6], &[1]);
    assert!(matches!(root(&pickler.finish()), Value::Object { .. }));
}

proptest! {
    #[test]
    fn no_bytes_make_the_machine_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes);
    }

    /// Random bytes rarely get far; random opcodes do.
    #[test]
    fn no_opcodes_make_the_machine_panic(
        opcodes in proptest::collection::vec(
            proptest::sample::select(&b"(.012NK\x88\x89)]}\x8f\x85\x86\x87tld\x91ae\x90suqh\x94\x93QR\x81\x92b"[..]), 0..300)
    ) {
        let bytes: Vec<u8> = [0x80, 2].into_iter().chain(opcodes.into_iter().flat_map(|opcode| match opcode {
            b'K' | b'q' | b'h' => vec![opcode, opcode % 5],
            _ => vec![opcode],
        })).collect();
        let _ = parse(&bytes);
    }
}
