//! Where an installed program is, and what its environment needs: its data files, and the libtorch to use.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::libtorch;

/// Why the program cannot be started, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Without a full stop.
    pub message: String,
    /// A full sentence.
    pub hint: String,
}

impl Problem {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// Tells the program where its launcher is.
pub const LAUNCHER: &str = "SEGEARTH_LAUNCHER";
/// Names another libtorch than the one that is installed with the program.
pub const LIBTORCH: &str = "SEGEARTH_LIBTORCH";

/// The library by which a folder is recognised as libtorch's.
const TORCH_LIBRARY: &str = "libtorch_cpu.so";
/// The libtorch that the program is built for: its C++ interface changes with each minor version.
const TORCH: &str = "2.11.";
/// Where distributions keep the certificates of authorities; a library that was built elsewhere does not know.
const CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// An installed program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    folder: PathBuf,
}

/// An environment variable, and its value; `None` removes it.
pub type Variable = (&'static str, Option<OsString>);

impl Installed {
    /// Finds the program that belongs to a launcher.
    ///
    /// # Errors
    /// There is none.
    pub fn of(launcher: &Path) -> Result<Self, Problem> {
        let bin = launcher.parent().unwrap_or(launcher);
        let root = bin.parent().unwrap_or(bin);
        let candidates = [root.join("lib/segearth"), root.join("segearth")];
        let candidates = candidates.into_iter().chain(python_packages(root));
        let found = candidates.map(|folder| Self { folder }).find(|installed| installed.program().is_file());
        found.ok_or_else(|| {
            Problem::new(
                format!("the program that belongs to {} is missing", launcher.display()),
                "Install segearth again; `bin` and `lib` of the archive belong together.",
            )
        })
    }

    /// The program itself.
    pub fn program(&self) -> PathBuf {
        self.folder.join("segearth")
    }

    /// The folder of the help that was written when the package was made.
    pub fn help(&self) -> PathBuf {
        self.folder.join("share/help")
    }

    /// What the program's environment needs, `of` being the environment of the launcher.
    ///
    /// # Errors
    /// There is no libtorch of the right version.
    pub fn environment(
        &self,
        launcher: &Path,
        of: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Vec<Variable>, Problem> {
        let mut variables: Vec<Variable> = vec![(LAUNCHER, Some(launcher.into()))];
        let of = |name: &str| of(name).filter(|value| !value.is_empty());
        if let Some(folder) = self.libtorch(of(LIBTORCH))? {
            variables.push(("LD_LIBRARY_PATH", Some(joined(folder, of("LD_LIBRARY_PATH")))));
        }
        // Data files belong to the version of their library: those of another GDAL, as in an active conda environment, do harm.
        let data = self.folder.join("share/gdal");
        if data.is_dir() {
            variables.push(("GDAL_DATA", Some(data.into())));
            // Drivers in files of their own are for the GDAL that they were built with.
            variables.push(("GDAL_DRIVER_PATH", Some("disable".into())));
        }
        let data = self.folder.join("share/proj");
        if data.is_dir() {
            // The user's own grids stay, behind.
            variables.push(("PROJ_DATA", Some(joined(data, of("PROJ_DATA").or_else(|| of("PROJ_LIB"))))));
            variables.push(("PROJ_LIB", None));
        }
        if data_is_bundled(&variables) && of("CURL_CA_BUNDLE").or_else(|| of("SSL_CERT_FILE")).is_none() {
            let found = CERTIFICATES.iter().find(|file| Path::new(file).is_file());
            variables.extend(found.map(|file| ("CURL_CA_BUNDLE", Some(file.into()))));
        }
        Ok(variables)
    }

    /// The folder of the libtorch to use, where it is not the installed one: the one that the user names, else the one of PyTorch in
    /// the same Python environment, which may have CUDA.
    fn libtorch(&self, named: Option<OsString>) -> Result<Option<PathBuf>, Problem> {
        if let Some(named) = named {
            let named = PathBuf::from(named);
            let folder =
                [named.join("lib"), named.clone()].into_iter().find(|folder| folder.join(TORCH_LIBRARY).is_file());
            let Some(folder) = folder else {
                return Err(Problem::new(
                    format!("{LIBTORCH}={} holds no {TORCH_LIBRARY}", named.display()),
                    "Name the folder `torch` of a Python package or an unpacked libtorch, or unset the variable.",
                ));
            };
            return match libtorch::version(&folder) {
                Some(version) if !version.starts_with(TORCH) => Err(Problem::new(
                    format!("{LIBTORCH}={} is libtorch {version}; {TORCH}x is needed", named.display()),
                    "Name a libtorch of that version, or unset the variable.",
                )),
                _ => Ok(Some(folder)),
            };
        }
        let beside = self.folder.parent().map(|packages| packages.join("torch/lib"));
        let beside = beside.filter(|folder| folder.join(TORCH_LIBRARY).is_file());
        if let Some(folder) =
            beside.filter(|folder| libtorch::version(folder).is_some_and(|found| found.starts_with(TORCH)))
        {
            return Ok(Some(folder));
        }
        if self.folder.join("lib").join(TORCH_LIBRARY).is_file() {
            return Ok(None);
        }
        Err(Problem::new(
            format!("there is no libtorch {TORCH}x"),
            format!("Install it (`pip install 'torch=={TORCH}*'`), or name its folder in {LIBTORCH}."),
        ))
    }
}

fn data_is_bundled(variables: &[Variable]) -> bool {
    variables.iter().any(|(name, _)| *name == "GDAL_DATA")
}

/// The package `segearth` of each Python below a folder, the newest Python first.
fn python_packages(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for lib in ["lib", "lib64", "local/lib"] {
        for entry in fs::read_dir(root.join(lib)).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("python3") {
                found.extend(["site-packages", "dist-packages"].map(|name| entry.path().join(name).join("segearth")));
            }
        }
    }
    found.sort();
    found.reverse();
    found
}

/// A search path with a folder in front.
fn joined(folder: PathBuf, rest: Option<OsString>) -> OsString {
    let mut path = OsString::from(folder);
    if let Some(rest) = rest {
        path.push(":");
        path.push(rest);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(at: &str, files: &[&str]) -> (tempfile::TempDir, Result<Installed, Problem>) {
        let root = tempfile::tempdir().unwrap();
        for file in files.iter().chain(&[at]) {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = if file.ends_with("version.py") { "__version__ = '2.11.0+cpu'\n" } else { "" };
            fs::write(path, text).unwrap();
        }
        let found = Installed::of(&root.path().join("bin/segearth"));
        (root, found)
    }

    fn value(variables: &[Variable], name: &str) -> Option<String> {
        let (_, value) = variables.iter().find(|(found, _)| *found == name)?;
        value.as_ref().map(|value| value.to_string_lossy().into_owned())
    }

    #[test]
    fn programs_of_every_layout_are_found() {
        for at in [
            "lib/segearth/segearth",
            "segearth/segearth",
            "lib/python3.12/site-packages/segearth/segearth",
            "lib64/python3.9/site-packages/segearth/segearth",
            "local/lib/python3.11/dist-packages/segearth/segearth",
        ] {
            let (root, found) = installed(at, &[]);
            assert_eq!(found.unwrap().program(), root.path().join(at));
        }
        let (_root, found) = installed("lib/other/segearth", &[]);
        assert!(found.unwrap_err().message.contains("is missing"));
    }

    #[test]
    fn data_files_of_other_versions_are_not_used() {
        let files =
            ["lib/segearth/lib/libtorch_cpu.so", "lib/segearth/share/gdal/a", "lib/segearth/share/proj/proj.db"];
        let (root, found) = installed("lib/segearth/segearth", &files);
        let of = |name: &str| match name {
            "GDAL_DATA" | "PROJ_LIB" => Some(OsString::from("/conda/share")),
            "CURL_CA_BUNDLE" => Some("/own.pem".into()),
            _ => None,
        };
        let variables = found.unwrap().environment(Path::new("/bin/segearth"), &of).unwrap();
        let own = |name: &str| root.path().join("lib/segearth/share").join(name).display().to_string();
        assert_eq!(value(&variables, "GDAL_DATA"), Some(own("gdal")));
        assert_eq!(value(&variables, "PROJ_DATA"), Some(own("proj") + ":/conda/share"));
        assert!(variables.contains(&("PROJ_LIB", None)));
        assert_eq!(value(&variables, "CURL_CA_BUNDLE"), None, "the user's is kept");
        assert_eq!(value(&variables, "LD_LIBRARY_PATH"), None);
    }

    #[test]
    fn libtorch_of_the_environment_is_used_where_its_version_fits() {
        let packages = "lib/python3.12/site-packages";
        let program = format!("{packages}/segearth/segearth");
        let torch = [format!("{packages}/torch/lib/libtorch_cpu.so"), format!("{packages}/torch/version.py")];
        let (root, found) = installed(&program, &[&torch[0], &torch[1]]);
        let found = found.unwrap();
        let environment = |of: &dyn Fn(&str) -> Option<OsString>| found.environment(Path::new("/bin/segearth"), of);
        let folder = root.path().join(packages).join("torch/lib");
        let variables = environment(&|name| (name == "LD_LIBRARY_PATH").then(|| "/own".into())).unwrap();
        assert_eq!(value(&variables, "LD_LIBRARY_PATH"), Some(format!("{}:/own", folder.display())));

        fs::write(root.path().join(&torch[1]), "__version__ = '2.9.1'\n").unwrap();
        let error = environment(&|_| None).unwrap_err();
        assert!(error.message.contains("no libtorch 2.11"), "{error:?}");
        let named = folder.parent().unwrap();
        let error = environment(&|name| (name == LIBTORCH).then(|| named.into())).unwrap_err();
        assert!(error.message.contains("is libtorch 2.9.1"), "{error:?}");
        let error = environment(&|name| (name == LIBTORCH).then(|| "/nowhere".into())).unwrap_err();
        assert!(error.message.contains("/nowhere holds no libtorch_cpu.so"), "{error:?}");
    }
}
