//! Errors on files of weights in formats that are not supported, with what to do instead.

use std::path::Path;

use segearth_error::Error;

const OTHER_FILE: &str = "Use the PyTorch or safetensors file of the same weights (pytorch_model.bin, model.safetensors), which \
                          publishers usually offer too, or convert the file with the program that wrote it.";
const UNPACK: &str = "Unpack it, and use the checkpoint inside.";

/// Returns the error on a file that begins with `head` (up to 512 bytes), if its format is known and not supported.
pub fn refused(head: &[u8]) -> Option<Error> {
    let text = head.trim_ascii_start();
    let is_text = |start: &str| text.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start.as_bytes()));
    let starts: [(&[u8], &str, &str); 10] = [
        (b"\x89HDF\r\n\x1a\n", "HDF5, as TensorFlow and Keras write it (tf_model.h5)", OTHER_FILE),
        (b"\x08\x01\x12", "a TensorFlow SavedModel (saved_model.pb)", OTHER_FILE),
        (b"GGUF", "a GGUF file", OTHER_FILE),
        (b"\x93NUMPY", "a NumPy array", OTHER_FILE),
        (b"\x1f\x8b", "compressed with gzip", UNPACK),
        (b"\xfd7zXZ", "compressed with xz", UNPACK),
        (b"BZh", "compressed with bzip2", UNPACK),
        (b"\x28\xb5\x2f\xfd", "compressed with zstd", UNPACK),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
        (b"Rar!", "a RAR archive", UNPACK),
    ];
    let (what, hint) = if let Some(&(_, what, hint)) = starts.iter().find(|(start, ..)| head.starts_with(start)) {
        (what, hint)
    } else if is_onnx(head) {
        ("an ONNX model", OTHER_FILE)
    } else if is_msgpack(head) {
        ("msgpack, as Flax writes it (flax_model.msgpack)", OTHER_FILE)
    } else if head.get(257..262) == Some(b"ustar") {
        ("a tar archive", UNPACK)
    } else if is_text("version https://git-lfs") {
        ("a Git LFS pointer, not the weights themselves", "Fetch the weights with `git lfs pull`.")
    } else if is_text("<!doctype") || is_text("<html") {
        ("a web page, not weights", "The download link led to a page: download the file itself.")
    } else {
        return None;
    };
    Some(Error::input(format!("the file is {what}")).with_hint(hint))
}

/// Recognises a protobuf message with a version from 3 on as first field and the name of the producer as second.
fn is_onnx(head: &[u8]) -> bool {
    matches!(head, [0x08, 3..=30, 0x12, len, name @ ..] if name.iter().take((*len).into()).all(u8::is_ascii_graphic))
}

/// Recognises a map whose first key is an identifier.
fn is_msgpack(head: &[u8]) -> bool {
    let key = match head {
        [0x81..=0x8f, key @ ..] | [0xde, _, _, key @ ..] | [0xdf, _, _, _, _, key @ ..] => key,
        _ => return false,
    };
    let name = match key {
        [len @ 0xa1..=0xbf, name @ ..] => name.get(..usize::from(len & 0x1f)),
        [0xd9, len @ 1..=255, name @ ..] => name.get(..usize::from(*len)),
        _ => None,
    };
    name.is_some_and(|name| name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'))
}

/// Returns the error on a folder in place of a file, with the likely files in it.
pub fn folder(path: &Path) -> Error {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    if names.iter().any(|name| name == "saved_model.pb") {
        return Error::input("the folder is a TensorFlow SavedModel (it has saved_model.pb)").with_hint(OTHER_FILE);
    }
    if names.iter().any(|name| name == "data.pkl") {
        return Error::input("the folder is an unpacked file of torch.save")
            .with_hint("Give the archive as it was downloaded.");
    }
    let error = Error::input("the path is a folder, not a file");
    let weights: Vec<&str> = names.iter().map(String::as_str).filter(|name| may_be_weights(name)).take(5).collect();
    error.with_hint(match weights.as_slice() {
        [] => "Give the file itself, for example the model.safetensors inside.".to_owned(),
        found => format!("Give the file itself: {}.", found.join(" or ")),
    })
}

/// Returns whether a name is that of a checkpoint or the index of one, but not of one shard of several.
pub fn may_be_weights(name: &str) -> bool {
    let name = name.to_lowercase();
    let endings = [".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".index.json"];
    endings.iter().any(|ending| name.ends_with(ending)) && !name.contains("-of-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_formats_are_named() {
        let mut tar = vec![b'a'; 300];
        tar[257..262].copy_from_slice(b"ustar");
        for (head, what) in [
            (b"\x89HDF\r\n\x1a\n\0\0".as_slice(), "TensorFlow and Keras"),
            (b"\x08\x01\x12\xff\x01", "SavedModel"),
            (b"\x08\x08\x12\x07pytorch", "ONNX"),
            (b"GGUF\x03\0\0\0", "GGUF"),
            (b"\x84\xablogit_scale\xc7", "Flax"),
            (b"\x81\xd9\x0atext_model\x81", "Flax"),
            (b"\xde\0\x10\xa6params", "Flax"),
            (b"\x1f\x8b\x08", "gzip"),
            (&tar, "tar archive"),
            (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
            (b"  <!DOCTYPE html>", "web page"),
        ] {
            let error = refused(head).unwrap_or_else(|| panic!("{what}"));
            assert!(error.to_string().contains(what), "{error}");
            assert!(error.hint().is_some());
        }
        // A pickle, noise, and a safetensors header are none of these.
        for other in [b"\x80\x02}q\0".as_slice(), b"\xfe\xed\0\x0b", b"\x40\0\0\0\0\0\0\0{}", b"\x85\x01\x02", b""] {
            assert!(refused(other).is_none(), "{other:?}");
        }
    }
}
