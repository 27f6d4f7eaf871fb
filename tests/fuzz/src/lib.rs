//! What reads the files and texts of others, each as a function of any bytes: it reads them or refuses them with a sentence,
//! and does neither panic, nor hang, nor take memory that the bytes do not have.
//!
//! libFuzzer calls these functions with bytes that it makes (`make fuzz`), `make test` with the corpora that are kept. Inputs
//! of several files have them one after another, parted by [`SEAM`].

mod bundle;
mod checkpoint;
mod job;
mod journal;
mod place;
mod store;

use std::path::{Path, PathBuf};

pub use bundle::bundle;
pub use checkpoint::checkpoint;
pub use job::job;
pub use journal::journal;
pub use place::place;
use segearth::error::{Error, Kind};
pub use store::store;

/// Between the files of an input: YAML's end of a document.
const SEAM: &[u8] = b"\n...\n";

/// Longer messages are no sentences.
const LONGEST: usize = 64 << 10;

/// The parts of an input; those that are missing are empty.
fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut rest = Some(data);
    std::array::from_fn(|index| {
        let Some(bytes) = rest else { return &[][..] };
        let seam = bytes.windows(SEAM.len()).position(|window| window == SEAM).filter(|_| index + 1 < N);
        rest = seam.map(|at| &bytes[at + SEAM.len()..]);
        &bytes[..seam.unwrap_or(bytes.len())]
    })
}

/// The error of a refusal must be about the input, and fit to be shown.
fn refused(error: &Error) {
    assert!(matches!(error.kind(), Kind::Input | Kind::OutOfMemory), "not about the input: {error:?}");
    let length = error.to_string().len();
    assert!((1..LONGEST).contains(&length), "a message of {length} bytes");
    error.causes();
    error.hint();
}

/// A folder for the files of one input.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, bytes).expect("a file in the temporary folder");
        path
    }
}
