//! A folder of a test's own, and the real binary in it; a failure prints the command and all it said.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::PermissionsExt as _;
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

impl From<Output> for Ran {
    fn from(Output { status, stdout, stderr }: Output) -> Self {
        Self {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
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

    /// Writes a program that others call, and puts its folder before all others: gives the PATH.
    pub fn write_program(&self, name: &str, content: &str) -> String {
        let path = self.write(&format!("bin/{name}"), content);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("an executable");
        format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap_or_default())
    }

    /// Runs `segearth` in the folder, with caches and models of the folder's own.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        self.run_with(args, &[])
    }

    /// As [`run`](Self::run), with more of an environment.
    pub fn run_with<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, environment: &[(&str, &str)]) -> Ran {
        let mut command = self.command(args);
        command.envs(environment.iter().copied());
        command.output().expect("the binary starts").into()
    }

    /// What [`run`](Self::run) runs.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segearth"));
        command.args(args).current_dir(self.folder.path());
        command.env("SEGEARTH_CACHE", self.path("cache")).env("SEGEARTH_MODELS", self.path("models"));
        command.env("SEGEARTH_DOWNLOADS", self.path("downloads")).env_remove("RUST_BACKTRACE");
        command.env_remove("SEGEARTH_LOG");
        command
    }

    /// As [`run`](Self::run), and it must succeed.
    #[track_caller]
    pub fn ok<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "the command failed\nstdout: {}\nstderr: {}", ran.stdout, ran.stderr);
        ran
    }

    /// Runs what must be refused, its words parted by blanks: exit code 1, nothing on standard output, no file left behind or
    /// changed (a folder made for outputs may stay). Gives what was said.
    #[track_caller]
    pub fn refused(&self, words: &str) -> String {
        self.refused_args(words.split_whitespace())
    }

    #[track_caller]
    pub fn refused_args<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let before = self.files();
        let ran = self.run(args);
        assert_eq!(ran.code, 1, "not refused\nstdout: {}\nstderr: {}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout, "", "nothing is to be had from what is refused");
        assert_eq!(self.files(), before, "files were left behind or changed");
        ran.stderr.replace(&self.folder.path().display().to_string(), "[WORK]")
    }

    /// All files below the folder with a hash of their content, hidden ones too, and hidden folders; the cache of text features
    /// is left out.
    pub fn files(&self) -> BTreeMap<PathBuf, u64> {
        fn look(folder: &Path, found: &mut BTreeMap<PathBuf, u64>) {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let entry = entry.expect("an entry");
                let path = entry.path();
                let kind = entry.file_type().expect("a kind");
                if kind.is_dir() {
                    if entry.file_name().as_encoded_bytes().starts_with(b".") {
                        found.insert(path.clone(), 0);
                    }
                    look(&path, found);
                } else {
                    let mut hash = DefaultHasher::new();
                    std::fs::read(&path).unwrap_or_default().hash(&mut hash);
                    found.insert(path, hash.finish());
                }
            }
        }
        let mut found = BTreeMap::new();
        look(self.folder.path(), &mut found);
        let cache = self.path("cache");
        found.retain(|path, _| !path.starts_with(&cache));
        found
    }
}

/// What was said without the words of libraries, which change with their versions.
pub fn without_causes(said: &str) -> String {
    said.lines().filter(|line| !line.starts_with("  cause:")).map(|line| format!("{line}\n")).collect()
}

/// Material of the repository.
pub fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// All files below a folder with their content and the time of their last change.
pub fn files_below(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let pattern = folder.join("**/*").display().to_string();
    let files = glob::glob(&pattern).expect("a pattern").flatten().filter(|path| path.is_file());
    let changed = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).expect("a time");
    files.map(|path| (path.clone(), (std::fs::read(&path).expect("content"), changed(&path)))).collect()
}
