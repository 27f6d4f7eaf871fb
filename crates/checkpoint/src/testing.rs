//! Checkpoints made in the test: pickles and stored zip archives, right and wrong ones.

use std::path::PathBuf;

use flate2::Crc;

use super::clip_sizes::ClipSizes;
use super::tensor::TensorData;

/// The small reference checkpoints that are part of the repository.
pub fn small(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/small").join(name)
}

/// Of a CLIP that is as small as can be and has different sizes wherever two may differ.
pub fn tiny_sizes() -> ClipSizes {
    ClipSizes {
        patch: 4,
        image_grid: 2,
        vision_width: 128,
        vision_layers: 2,
        vision_heads: 2,
        vision_hidden: 8,
        embed_dim: 3,
        text_width: 64,
        text_layers: 1,
        text_heads: 1,
        text_hidden: 6,
        vocab: 9,
        context: 5,
    }
}

/// Writes pickles of protocol 2.
pub struct Pickler(pub Vec<u8>);

impl Pickler {
    pub fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub fn op(&mut self, opcode: u8) -> &mut Self {
        self.0.push(opcode);
        self
    }

    pub fn int(&mut self, value: i64) -> &mut Self {
        self.0.extend([0x8a, 8]);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.0.push(b'X');
        self.0.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    /// `"module name"`.
    pub fn global(&mut self, name: &str) -> &mut Self {
        self.0.push(b'c');
        self.0.extend(name.replace(' ', "\n").as_bytes());
        self.op(b'\n')
    }

    fn ints(&mut self, values: &[i64]) -> &mut Self {
        self.op(b'(');
        for &value in values {
            self.int(value);
        }
        self.op(b't')
    }

    pub fn tensor(
        &mut self,
        storage: &str,
        key: &str,
        count: i64,
        offset: i64,
        shape: &[i64],
        strides: &[i64],
    ) -> &mut Self {
        self.global("torch._utils _rebuild_tensor_v2").op(b'(');
        self.op(b'(').text("storage").global(storage).text(key).text("cpu").int(count).op(b't').op(b'Q');
        self.int(offset).ints(shape).ints(strides).op(0x89).global("collections OrderedDict").op(b')').op(b'R');
        self.op(b't').op(b'R')
    }

    pub fn finish(&mut self) -> Vec<u8> {
        self.op(b'.');
        std::mem::take(&mut self.0)
    }
}

/// A zip archive of stored entries with right checksums.
pub fn zip(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let mut crc = Crc::new();
        crc.update(data);
        let start = u32::try_from(file.len()).unwrap();
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        common.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        file.extend(b"PK\x03\x04");
        file.extend(&common);
        file.extend(name.as_bytes());
        file.extend(data);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(start.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, len, count) = (file.len() as u32, directory.len() as u32, entries.len() as u16);
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend(count.to_le_bytes());
    file.extend(count.to_le_bytes());
    file.extend(len.to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0, 0]);
    file
}

/// A checkpoint of `torch.save`: the pickle, and the storages by key.
pub fn torch_zip(pickle: Vec<u8>, storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let names: Vec<String> = storages.iter().map(|(key, _)| format!("archive/data/{key}")).collect();
    let mut entries = vec![("archive/data.pkl", pickle), ("archive/byteorder", b"little".to_vec())];
    entries.extend(names.iter().map(String::as_str).zip(storages.iter().map(|(_, data)| data.clone())));
    zip(&entries)
}

/// A safetensors file of float32 tensors.
pub fn safetensors<'a>(tensors: impl IntoIterator<Item = (&'a String, &'a TensorData)>) -> Vec<u8> {
    let (mut header, mut numbers) = (serde_json::Map::new(), Vec::new());
    for (name, tensor) in tensors {
        let start = numbers.len();
        numbers.extend(tensor.bytes());
        let entry =
            serde_json::json!({"dtype": "F32", "shape": tensor.shape(), "data_offsets": [start, numbers.len()]});
        header.insert(name.clone(), entry);
    }
    let header = serde_json::Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &numbers].concat()
}

pub fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Writes the bytes to a file that lives as long as the test.
pub fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}
