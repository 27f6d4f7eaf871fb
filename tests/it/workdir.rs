//! A folder of a test's own, and the real binary in it; a failure prints the command and all it said.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub struct Workdir {
    folder: tempfile::TempDir,
}

/// What the binary did.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Workdir {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).expect("a folder for the file");
        }
        std::fs::write(&path, content).expect("a file in the temporary folder");
        path
    }

    /// Runs `segearth` in the folder, with caches and models of the folder's own.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segearth"));
        command.args(args).current_dir(self.folder.path());
        command.env("SEGEARTH_CACHE", self.path("cache")).env("SEGEARTH_MODELS", self.path("models"));
        command.env_remove("RUST_BACKTRACE");
        let Output { status, stdout, stderr } = command.output().expect("the binary starts");
        Ran {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// As [`run`](Self::run), and it must succeed.
    pub fn ok<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "the command failed\nstdout: {}\nstderr: {}", ran.stdout, ran.stderr);
        ran
    }

    /// Names of the files in the folder, hidden ones too, sorted.
    pub fn files(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.path(folder))
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Material of the repository.
pub fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Material beside the checkout (`$SEGEARTH_SHARED`, else `../shared`); `None`, said loudly, where it is not there.
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SEGEARTH_SHARED").map_or_else(|| repository("../shared"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there", path.display());
    None
}
